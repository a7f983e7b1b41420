/*
 * Reads of a disk with several under way: the kernel's own asynchronous reads,
 * which need no library. What has come back is asked for again in one call.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/bench/work.h"

enum { DEPTH_MAX = 256, ALIGN = 4096 };

struct reader {
	const struct reads *how;
	aio_context_t context;
	struct iocb blocks[DEPTH_MAX];
	uint64_t places; /* whole reads of the disk */
	uint64_t next;
	uint64_t seed;
	int fd;
};

/* xorshift, as good as any here, and the same for everybody. */
static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void aim(struct reader *r, struct iocb *b)
{
	const uint64_t place = r->how->is_random ? random_next(&r->seed)
						 : r->next++;

	b->aio_offset = (int64_t)(place % r->places * r->how->bytes);
}

static void setup(struct reader *r)
{
	const struct reads *how = r->how;
	void *buffers = NULL;
	off_t size;
	unsigned i;

	errno = EINVAL;
	if (!how->depth || how->depth > DEPTH_MAX || !how->bytes)
		end_badly("a depth or a size");
	r->fd = open(how->path,
		     O_RDONLY | O_CLOEXEC | (how->is_direct ? O_DIRECT : 0));
	size = r->fd < 0 ? -1 : lseek(r->fd, 0, SEEK_END);
	if (size < (off_t)how->bytes)
		end_badly(how->path);
	r->places = (uint64_t)size / how->bytes;
	if (posix_memalign(&buffers, ALIGN, how->depth * how->bytes) ||
	    syscall(SYS_io_setup, how->depth, &r->context))
		end_badly("io_setup");
	for (i = 0; i < how->depth; i++)
		r->blocks[i] = (struct iocb){
			.aio_fildes = (uint32_t)r->fd,
			.aio_lio_opcode = IOCB_CMD_PREAD,
			.aio_buf =
				(uint64_t)(uintptr_t)buffers + i * how->bytes,
			.aio_nbytes = how->bytes,
		};
}

static void submit(const struct reader *r, struct iocb **these, long count)
{
	long n;

	while (count) {
		n = syscall(SYS_io_submit, r->context, count, these);
		if (n <= 0)
			end_badly("io_submit");
		these += n;
		count -= n;
	}
}

struct done disk_read(const struct reads *how, unsigned ms)
{
	static struct reader r;
	struct io_event events[DEPTH_MAX];
	struct iocb *these[DEPTH_MAX];
	struct done d = {0};
	uint64_t begin;
	long i, n = how->depth, under_way = how->depth;

	r = (struct reader){.how = how, .seed = 88172645463325252ULL};
	setup(&r);
	for (i = 0; i < n; i++) {
		these[i] = &r.blocks[i];
		aim(&r, these[i]);
	}
	begin = now_ns();
	submit(&r, these, n);
	while (under_way) {
		n = syscall(SYS_io_getevents, r.context, 1, DEPTH_MAX, events,
			    NULL);
		if (n <= 0)
			end_badly("io_getevents");
		for (i = 0; i < n; i++) {
			errno = EIO;
			if (events[i].res != (int64_t)how->bytes)
				end_badly("a read");
			these[i] = (struct iocb *)(uintptr_t)events[i].obj;
			aim(&r, these[i]);
		}
		d.count += (uint64_t)n;
		d.ns = now_ns() - begin;
		if (d.ns < ms * 1000000ULL)
			submit(&r, these, n);
		else
			under_way -= n;
	}
	syscall(SYS_io_destroy, r.context);
	free((void *)(uintptr_t)r.blocks[0].aio_buf);
	close(r.fd);
	return d;
}
