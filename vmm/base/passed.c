#include "vmm/base/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Written once, before there is a second thread. */
static int passed[PASSED_MAX];
static unsigned count;

/* A number without sign, blank or leading zero, and where it ends. */
static int take_number(const char *at, const char **end)
{
	char *after;
	unsigned long n;

	if (*at < '1' || *at > '9')
		return -1;
	errno = 0;
	n = strtoul(at, &after, 10);
	*end = after;
	return errno || n > INT32_MAX ? -1 : (int)n;
}

int passed_take(const char *list, struct err *e)
{
	const char *at = list;
	int last = 2;

	count = 0;
	while (count < PASSED_MAX) {
		const int fd = take_number(at, &at);

		if (fd <= last)
			break;
		passed[count++] = last = fd;
		if (!*at)
			return 0;
		if (*at++ != ',')
			break;
	}
	count = 0;
	return err_set(e, -EINVAL,
		       "--file-fds needs up to %d descriptors of 3 or more in "
		       "ascending order, as in 3,4,7, not '%.64s'",
		       PASSED_MAX, list);
}

static int find(const char *path)
{
	const char *end = "";
	unsigned i;
	int fd;

	if (strncmp(path, "fd:", 3) != 0)
		return -1;
	fd = take_number(path + 3, &end);
	/* What a person calls it may follow. */
	for (i = 0; i < count && (!*end || *end == ':'); i++)
		if (passed[i] == fd)
			return fd;
	return -1;
}

bool passed_has(const char *path)
{
	return find(path) >= 0;
}

/* A file in memory has no other descriptors than for both (memfd_create(2)). */
static bool is_sealed(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

/* Whether a descriptor opened one way serves for another. */
static bool serves(int fd, int how, int flags)
{
	how &= O_ACCMODE;
	flags &= O_ACCMODE;
	return how == flags ||
	       (flags == O_RDONLY && how == O_RDWR && is_sealed(fd));
}

int passed_open(const char *path, int flags)
{
	const int fd = find(path);
	int how;

	if (fd < 0)
		return openat(AT_FDCWD, path, flags | O_CLOEXEC);
	how = fcntl(fd, F_GETFL);
	if (how >= 0 && !serves(fd, how, flags)) {
		errno = EACCES;
		return -1;
	}
	return how < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}
