/*
 * The io_uring engine. A request is one operation of the ring, or several one
 * after the other where the kernel moved less than was asked.
 *
 * Reads and writes that the page cache can serve are done within the system
 * call that submits them, so their completions are looked for right after it,
 * and a batch of them never waits for the loop to come round.
 */
#include "devices/block_async.h"

#include <assert.h>
#include <errno.h>

static const uint8_t operations[] = {IORING_OP_READV, IORING_OP_WRITEV,
				     IORING_OP_FSYNC};

/*
 * What is longer than this goes to the kernel's threads at once: to copy it out
 * of the page cache would keep whoever submits it, the loop thread, too long.
 * So does all of a file that can't say whether it would block: where such a one
 * can be polled (FUSE), Linux takes that for a promise, and submitting waits.
 */
enum { INLINE_BYTES = 1 << 20 };

int block_async_open(struct block_async *a, const struct block_file *f,
		     unsigned depth, struct err *e)
{
	a->is_inline = f->is_in_memory || block_file_can_tell(f);
	return uring_open(&a->uring, depth, f->fd, operations,
			  sizeof(operations), e);
}

void block_async_close(struct block_async *a)
{
	assert(!a->in_flight);
	uring_close(&a->uring);
}

static bool may_inline(const struct block_async *a,
		       const struct block_request *r)
{
	return a->is_inline && r->data.bytes <= INLINE_BYTES;
}

static void prepare(struct block_async *a, struct block_request *r)
{
	/* The ring has room for all that may be in flight. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&a->uring.ring);

	assert(sqe);
	switch (r->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, 0, r->data.at, r->data.count,
				    r->offset);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev(sqe, 0, r->data.at, r->data.count,
				     r->offset);
		break;
	default:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
	}
	io_uring_sqe_set_flags(
		sqe, IOSQE_FIXED_FILE | (may_inline(a, r) ? 0 : IOSQE_ASYNC));
	io_uring_sqe_set_data(sqe, r);
	a->unsent++;
}

void block_async_begin(struct block_async *a, struct block_request *r)
{
	a->in_flight++;
	prepare(a, r);
}

/* One operation of r ended with res: goes on with r, or tells its end. */
static void ended(struct block_async *a, struct block_request *r, int res)
{
	const bool moves = r->op == BLOCK_READ || r->op == BLOCK_WRITE;

	if (res == -EINTR || res == -EAGAIN) {
		prepare(a, r);
		return;
	}
	if (res >= 0 && moves) {
		iov_drop_front(&r->data, (size_t)res);
		r->offset += (uint64_t)res;
		if (r->data.bytes && res > 0) {
			prepare(a, r);
			return;
		}
		/* The file has become shorter, or takes no more. */
		if (r->data.bytes)
			res = r->op == BLOCK_READ ? -ENODATA : -EIO;
	}
	a->in_flight--;
	a->done(a->owner, r, res < 0 ? res : 0);
}

void block_async_reap(struct block_async *a)
{
	struct io_uring_cqe *cqe;
	struct block_request *r;
	int res;

	while (a->in_flight && !io_uring_peek_cqe(&a->uring.ring, &cqe)) {
		r = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&a->uring.ring, cqe);
		ended(a, r, res);
	}
}

bool block_async_send(struct block_async *a)
{
	int n = 1;

	/* What is done may have asked for more: the rest of a short read. */
	while (a->unsent && n > 0) {
		n = io_uring_submit(&a->uring.ring);
		if (n > 0)
			a->unsent -= (unsigned)n;
		block_async_reap(a);
	}
	return !a->unsent;
}
