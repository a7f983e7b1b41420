#pragma once

#include <stddef.h>
#include <sys/uio.h>

/*
 * A run of bytes scattered over memory: what the driver gave us, which may be
 * split anywhere (virtio 1.2, 2.6: "no assumptions about message framing"). So
 * devices count bytes and never segments. The bytes lie in guest memory and
 * may change while we look: take a copy and judge that.
 */
struct iov {
	struct iovec *at; /* borrowed: the chain's; cut in place */
	unsigned count;
	size_t bytes; /* sum of the segments */
};

/*
 * Copy len bytes from or to offset. They return how many there were, which is
 * less than len only where the run ends.
 */
size_t iov_read(const struct iov *iov, size_t offset, void *buf, size_t len);
size_t iov_write(const struct iov *iov, size_t offset, const void *buf,
		 size_t len);

/* Drop len bytes at one end, all of them where there are fewer. */
void iov_drop_front(struct iov *iov, size_t len);
void iov_drop_back(struct iov *iov, size_t len);

/* Reads and drops len bytes at the front; returns how many there were. */
size_t iov_take(struct iov *iov, void *buf, size_t len);
