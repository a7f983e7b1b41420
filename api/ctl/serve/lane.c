#include "api/ctl/serve/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

size_t lane_room(const struct lane *l)
{
	return LANE_SIZE - l->len;
}

/* Makes all that is free stand in one piece behind what is there. */
static bool make_room(struct lane *l)
{
	if (!l->bytes)
		l->bytes = malloc(LANE_SIZE);
	if (!l->bytes)
		return false;
	if (l->at)
		memmove(l->bytes, l->bytes + l->at, l->len);
	l->at = 0;
	return true;
}

bool lane_put(struct lane *l, const void *bytes, size_t len)
{
	if (len > lane_room(l) || !make_room(l))
		return false;
	memcpy(l->bytes + l->len, bytes, len);
	l->len += len;
	return true;
}

void lane_take(struct lane *l, size_t len)
{
	l->at += len;
	l->len -= len;
	if (!l->len)
		l->at = 0;
}

bool lane_pass(struct lane *from, struct lane *to)
{
	const size_t room = lane_room(to),
		     n = from->len < room ? from->len : room;

	if (!n || !lane_put(to, from->bytes + from->at, n))
		return false;
	lane_take(from, n);
	return true;
}

ssize_t lane_read(struct lane *l, int fd)
{
	ssize_t n;

	if (!lane_room(l))
		return -EAGAIN;
	if (!make_room(l))
		return -ENOMEM;
	n = recv(fd, l->bytes + l->len, lane_room(l), MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	l->len += (size_t)n;
	return n;
}

int lane_write(struct lane *l, int fd)
{
	while (l->len) {
		const ssize_t n = send(fd, l->bytes + l->at, l->len,
				       MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		lane_take(l, (size_t)n);
	}
	return 0;
}

void lane_fini(struct lane *l)
{
	free(l->bytes);
	*l = (struct lane){0};
}
