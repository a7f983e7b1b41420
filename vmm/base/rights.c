/* Descriptors over a Unix socket. */
#include "vmm/base/rights.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/fd.h"

unsigned rights_count(const int fds[RIGHTS_MAX])
{
	unsigned count = 0;

	while (count < RIGHTS_MAX && fds[count] >= 0)
		count++;
	return count;
}

void rights_close(int fds[RIGHTS_MAX])
{
	unsigned i;

	for (i = 0; i < RIGHTS_MAX; i++)
		fd_close(&fds[i]);
}

ssize_t rights_send(int socket_fd, const void *bytes, size_t len,
		    const int *fds, unsigned count)
{
	const size_t room = count * sizeof(int);
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes,
			    .iov_len = len};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
	} control = {0};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = (socklen_t)CMSG_SPACE(room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	ssize_t n;

	assert(count && count <= RIGHTS_MAX && len);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = (socklen_t)CMSG_LEN(room);
	memcpy(CMSG_DATA(c), fds, room);
	do
		n = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
