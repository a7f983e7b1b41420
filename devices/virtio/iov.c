/* Byte-wise work on scattered buffers. */
#include "devices/virtio/iov.h"

#include <stdint.h>
#include <string.h>

/* The part of segment i that [*offset, …) covers; *offset counts down to it. */
static size_t segment(const struct iov *iov, unsigned i, size_t *offset,
		      uint8_t **at)
{
	size_t have = iov->at[i].iov_len;

	if (*offset >= have) {
		*offset -= have;
		return 0;
	}
	*at = (uint8_t *)iov->at[i].iov_base + *offset;
	have -= *offset;
	*offset = 0;
	return have;
}

size_t iov_read(const struct iov *iov, size_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;
	uint8_t *from;
	size_t done = 0;
	size_t n;

	for (unsigned i = 0; i < iov->count && done < len; i++) {
		n = segment(iov, i, &offset, &from);
		if (n > len - done)
			n = len - done;
		if (n)
			memcpy(to + done, from, n);
		done += n;
	}
	return done;
}

size_t iov_write(const struct iov *iov, size_t offset, const void *buf,
		 size_t len)
{
	const uint8_t *from = buf;
	uint8_t *to;
	size_t done = 0;
	size_t n;

	for (unsigned i = 0; i < iov->count && done < len; i++) {
		n = segment(iov, i, &offset, &to);
		if (n > len - done)
			n = len - done;
		if (n)
			memcpy(to, from + done, n);
		done += n;
	}
	return done;
}

void iov_drop_front(struct iov *iov, size_t len)
{
	struct iovec *first;

	while (len && iov->count) {
		first = iov->at;
		if (len < first->iov_len) {
			first->iov_base = (uint8_t *)first->iov_base + len;
			first->iov_len -= len;
			iov->bytes -= len;
			return;
		}
		len -= first->iov_len;
		iov->bytes -= first->iov_len;
		iov->at++;
		iov->count--;
	}
}

void iov_drop_back(struct iov *iov, size_t len)
{
	struct iovec *last;

	while (len && iov->count) {
		last = &iov->at[iov->count - 1];
		if (len < last->iov_len) {
			last->iov_len -= len;
			iov->bytes -= len;
			return;
		}
		len -= last->iov_len;
		iov->bytes -= last->iov_len;
		iov->count--;
	}
}

size_t iov_take(struct iov *iov, void *buf, size_t len)
{
	size_t done = iov_read(iov, 0, buf, len);

	iov_drop_front(iov, done);
	return done;
}
