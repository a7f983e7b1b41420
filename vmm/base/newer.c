/* System calls by their numbers. */
#include "vmm/base/newer.h"

#ifndef __GLIBC__
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* of each architecture */
#endif

int epoll_pwait2(int fd, struct epoll_event *events, int max,
		 const struct timespec *timeout, const sigset_t *mask)
{
	return (int)syscall(SYS_epoll_pwait2, fd, events, max, timeout, mask,
			    _NSIG / 8);
}

/* The place in two halves; the upper one is empty where a word has 64 bits. */
ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
	return syscall(SYS_preadv2, fd, iov, count, at, 0, flags);
}
#endif
