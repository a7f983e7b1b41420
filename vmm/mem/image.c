/*
 * Which pages to look at: a guest of 1 GiB has often touched 60 MiB of it, and
 * reading the rest would make it touched. What is not there is found without
 * reading, by what is behind the mapping:
 *
 *	memfd		its holes, by lseek()
 *	anonymous	what is not resident, by mincore(). A page in swap isn't
 *			either, so this holds only while the host has nothing
 *			in swap; otherwise all is looked at.
 *	memory file	what is a hole in the file and not resident. In swap may
 *			be a private copy of a page that is none in the file.
 *
 * All that is left is looked at, and is a hole again where it is zeroes.
 */
#include "vmm/mem/image.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* Pages that one mincore() tells of, and the most that one write takes. */
enum { WINDOW_PAGES = 16384, WRITE_BYTES = 1 << 20 };

struct writer {
	const struct guest_mem *m;
	int fd;
	uint64_t offset; /* of the image in fd */
	bool are_zeroes_written;
	/* [begin, end) of the mapping is to be written. */
	uint64_t begin;
	uint64_t end;
	struct image_data data;
	struct image_figures *figures;
	struct err *e;
};

static bool is_zero(const uint8_t *page)
{
	const uint64_t *words = (const uint64_t *)(const void *)page;
	uint64_t any = 0;
	unsigned i, k;

	for (i = 0; i < GUEST_PAGE / sizeof(*words) && !any; i += 32)
		for (k = 0; k < 32; k++)
			any |= words[i + k];
	return !any;
}

static int flush(struct writer *w)
{
	const uint64_t len = w->end - w->begin;
	int rc = fd_pwrite(w->fd, w->m->map + w->begin, len,
			   w->offset + w->begin);

	if (rc)
		return err_set(w->e, rc, "can't write the memory file: %s",
			       strerror(-rc));
	w->figures->written += len;
	w->begin = w->end;
	return 0;
}

/* Takes the page at that byte of the mapping. */
static int take(struct writer *w, uint64_t at)
{
	int rc = 0;

	w->figures->looked_at += GUEST_PAGE;
	if (!w->are_zeroes_written && is_zero(w->m->map + at))
		return 0;
	if (at != w->end || w->end - w->begin >= WRITE_BYTES) {
		rc = flush(w);
		w->begin = at;
	}
	w->end = at + GUEST_PAGE;
	return rc;
}

static int take_range(struct writer *w, uint64_t begin, uint64_t end)
{
	int rc = 0;

	for (; begin < end && !rc; begin += GUEST_PAGE)
		rc = take(w, begin);
	return rc;
}

/* Where data begins at or behind at; end where none does. */
static uint64_t data_from(int fd, uint64_t at, uint64_t end)
{
	const off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0) /* none, or a file system that doesn't tell */
		return errno == ENXIO ? end : at;
	return (uint64_t)data < end ? (uint64_t)data : end;
}

static uint64_t hole_from(int fd, uint64_t at, uint64_t end)
{
	const off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);

	return hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
}

/*
 * The next stretch of the file that has data, from *begin on, as bytes of the
 * mapping. False where there is none.
 */
static bool next_data(const struct guest_mem *m, uint64_t *begin, uint64_t *end)
{
	const uint64_t limit = m->offset + m->size;
	const uint64_t data = data_from(m->fd, m->offset + *begin, limit);
	uint64_t hole;

	if (data >= limit)
		return false;
	hole = hole_from(m->fd, data, limit);
	*begin = (data - m->offset) / GUEST_PAGE * GUEST_PAGE;
	*end = (hole - m->offset + GUEST_PAGE - 1) / GUEST_PAGE * GUEST_PAGE;
	return true;
}

static bool has_swapped(void)
{
	struct sysinfo host;

	return sysinfo(&host) || host.freeswap != host.totalswap;
}

/*
 * Which pages of a window may have been touched, a byte each. Whether the host
 * has swapped is asked after: what went there before is then seen in the one
 * way or in the other.
 */
static int residency(const struct guest_mem *m, uint64_t at, uint64_t bytes,
		     unsigned char vec[WINDOW_PAGES], struct err *e)
{
	if (mincore(m->map + at, bytes, vec))
		return err_errno(e, "can't tell which memory was touched");
	if (has_swapped())
		memset(vec, 1, bytes / GUEST_PAGE);
	return 0;
}

/* Whether the file has data behind at; w->data is the first stretch of it. */
static bool has_data(struct writer *w, uint64_t at)
{
	struct image_data *d = &w->data;

	while (!d->is_over && at >= d->end) {
		d->begin = at;
		d->is_over = w->m->fd < 0 ||
			     !next_data(w->m, &d->begin, &d->end);
	}
	return !d->is_over;
}

/*
 * Without a memory file: all that is in memory. With one, its data too, in the
 * order of addresses, so that each page comes once.
 */
static int take_private(struct writer *w, uint64_t first, uint64_t last)
{
	static unsigned char vec[WINDOW_PAGES];
	const struct guest_mem *m = w->m;
	uint64_t at, bytes, i;
	int rc = 0;

	for (at = first; at < last && !rc; at += bytes) {
		bytes = last - at;
		if (bytes > (uint64_t)WINDOW_PAGES * GUEST_PAGE)
			bytes = (uint64_t)WINDOW_PAGES * GUEST_PAGE;
		rc = residency(m, at, bytes, vec, w->e);
		for (i = 0; i < bytes && !rc; i += GUEST_PAGE)
			if (vec[i / GUEST_PAGE] & 1 ||
			    (has_data(w, at + i) && at + i >= w->data.begin))
				rc = take(w, at + i);
	}
	return rc;
}

static int take_memfd(struct writer *w, uint64_t first, uint64_t last)
{
	uint64_t at, begin, end;
	int rc = 0;

	for (at = first; !rc && at < last && has_data(w, at); at = end) {
		begin = at > w->data.begin ? at : w->data.begin;
		end = w->data.end < last ? w->data.end : last;
		rc = take_range(w, begin, end);
	}
	return rc;
}

static int write_range(struct writer *w, uint64_t begin, uint64_t end)
{
	const enum guest_mem_kind kind = w->m->kind;
	int rc;

	if (kind == GUEST_MEM_MISSING)
		rc = take_range(w, begin, end);
	else if (kind == GUEST_MEM_SMALL || kind == GUEST_MEM_HUGE_2M)
		rc = take_memfd(w, begin, end);
	else
		rc = take_private(w, begin, end);
	return rc ? rc : flush(w);
}

int image_write(const struct guest_mem *m, int fd, uint64_t offset,
		struct image_figures *figures, struct err *e)
{
	struct writer w = {
		.m = m,
		.fd = fd,
		.offset = offset,
		.figures = figures,
		.e = e,
	};

	*figures = (struct image_figures){0};
	return write_range(&w, 0, m->size);
}

int image_write_range(const struct guest_mem *m, uint64_t begin, uint64_t end,
		      struct image_data *data, int fd, struct err *e)
{
	struct image_figures figures = {0};
	struct writer w = {
		.m = m,
		.fd = fd,
		.begin = begin,
		.end = begin,
		.data = *data,
		.figures = &figures,
		.e = e,
	};
	int rc = write_range(&w, begin, end);

	*data = w.data;
	return rc;
}

int image_move_pages(const struct guest_mem *m, uint64_t *pages, uint64_t *word,
		     uint64_t max, int fd, struct err *e)
{
	struct image_figures figures = {0};
	struct writer w = {
		.m = m,
		.fd = fd,
		.are_zeroes_written = true,
		.figures = &figures,
		.e = e,
	};
	const uint64_t words = guest_mem_words(m);
	int rc = 0;

	for (; *word < words && max && !rc; *word += !pages[*word])
		for (; pages[*word] && max && !rc; max--) {
			const uint64_t page =
				*word * GUEST_WORD +
				(uint64_t)__builtin_ctzll(pages[*word]);

			pages[*word] &= pages[*word] - 1;
			if (page < m->size / GUEST_PAGE)
				rc = take(&w, page * GUEST_PAGE);
		}
	return rc ? rc : flush(&w);
}

int image_write_pages(const struct guest_mem *m, const uint64_t *pages, int fd,
		      uint64_t offset, struct image_figures *figures,
		      struct err *e)
{
	struct writer w = {
		.m = m,
		.fd = fd,
		.offset = offset,
		.are_zeroes_written = true,
		.figures = figures,
		.e = e,
	};
	const uint64_t count = m->size / GUEST_PAGE;
	uint64_t word, bits;
	int rc = 0;

	*figures = (struct image_figures){0};
	for (word = 0; word < guest_mem_words(m); word++)
		for (bits = pages[word]; bits && !rc; bits &= bits - 1) {
			const uint64_t page = word * GUEST_WORD +
					      (uint64_t)__builtin_ctzll(bits);

			rc = page < count ? take(&w, page * GUEST_PAGE) : 0;
		}
	return rc ? rc : flush(&w);
}

int image_touched(const struct guest_mem *m, uint64_t *pages, struct err *e)
{
	static unsigned char vec[WINDOW_PAGES];
	uint64_t at, bytes, i;
	int rc = 0;

	for (at = 0; at < m->size && !rc; at += bytes) {
		bytes = m->size - at;
		if (bytes > (uint64_t)WINDOW_PAGES * GUEST_PAGE)
			bytes = (uint64_t)WINDOW_PAGES * GUEST_PAGE;
		rc = residency(m, at, bytes, vec, e);
		for (i = at / GUEST_PAGE; i < (at + bytes) / GUEST_PAGE && !rc;
		     i++)
			if (vec[i - at / GUEST_PAGE] & 1)
				pages[i / GUEST_WORD] |= 1ULL << i % GUEST_WORD;
	}
	return rc;
}

/* Through here, where the file system does not copy from one to the other. */
static int copy_bytes(struct image_place from, struct image_place to,
		      uint64_t size)
{
	static uint8_t bytes[64 << 10];
	int rc = 0;
	size_t n;

	for (; size && !rc; size -= n, from.at += n, to.at += n) {
		n = size < sizeof(bytes) ? (size_t)size : sizeof(bytes);
		rc = fd_pread(from.fd, bytes, n, from.at);
		rc = rc ? rc : fd_pwrite(to.fd, bytes, n, to.at);
	}
	return rc;
}

/* By the file system, which may share the blocks instead. */
static int copy_range(struct image_place from, struct image_place to,
		      uint64_t size)
{
	ssize_t n;

	while (size) {
		off_t in = (off_t)from.at, out = (off_t)to.at;

		n = copy_file_range(from.fd, &in, to.fd, &out, size, 0);
		/* 0 is the end of a file that was cut meanwhile, or no word. */
		if (n == 0 || (n < 0 && (errno == EXDEV || errno == EINVAL ||
					 errno == EOPNOTSUPP)))
			return copy_bytes(from, to, size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			from.at += (uint64_t)n;
			to.at += (uint64_t)n;
			size -= (uint64_t)n;
		}
	}
	return 0;
}

int image_copy(struct image_place from, struct image_place to, uint64_t size,
	       struct err *e)
{
	const uint64_t begin = from.at, end = from.at + size;
	const uint64_t to_begin = to.at;
	uint64_t hole;
	int rc = 0;

	while (!rc) {
		from.at = data_from(from.fd, from.at, end);
		if (from.at == end)
			return 0;
		hole = hole_from(from.fd, from.at, end);
		to.at = to_begin + (from.at - begin);
		rc = copy_range(from, to, hole - from.at);
		from.at = hole;
	}
	return err_set(e, rc,
		       "can't copy the memory that the diff goes over: %s",
		       strerror(-rc));
}
