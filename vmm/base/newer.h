#pragma once

/*
 * Linux' newer calls, which musl 1.2.3 has no functions of. As in glibc.
 */
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifndef __GLIBC__
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <signal.h>

int epoll_pwait2(int fd, struct epoll_event *events, int max,
		 const struct timespec *timeout, const sigset_t *mask);
ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t at,
		int flags);
#endif
