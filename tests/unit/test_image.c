/*
 * Memory files: byte for byte what the guest has, holes where it has nothing,
 * and no look at what was never touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/fd.h"
#include "vmm/mem/image.h"

static int copy_image(int from, int to, uint64_t size, struct err *e)
{
	const struct image_place a = {.fd = from}, b = {.fd = to};

	return image_copy(a, b, size, e);
}

enum { PAGE = 4096, PAGES = 600, SIZE = PAGES * PAGE, LOW = 512 };

/* What the host says of its swap, and whether files copy one another. */
static bool has_swapped;
static bool is_no_file_copied;
static bool is_cut;	      /* the file, as soon as it is copied */
static unsigned copied_bytes; /* by the file system */

/* The C library's declarations, in whose place these stand. */
int sysinfo(struct sysinfo *out)
{
	memset(out, 0, sizeof(*out));
	out->totalswap = 100;
	out->freeswap = has_swapped ? 99 : 100;
	return 0;
}

ssize_t copy_file_range(int from, off_t *in, int to, off_t *out, size_t len,
			unsigned flags)
{
	uint8_t page[PAGE];
	ssize_t n;

	(void)flags;
	if (is_no_file_copied) {
		errno = EXDEV;
		return -1;
	}
	if (is_cut)
		assert_int_equal(ftruncate(from, PAGE), 0);
	n = pread(from, page, len < PAGE ? len : PAGE, *in);
	if (n <= 0)
		return n;
	assert_int_equal(pwrite(to, page, (size_t)n, *out), n);
	*in += n;
	*out += n;
	copied_bytes += (unsigned)n;
	return n;
}

static int file_of(uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* Memory of two regions, with a hole of the guest's between them. */
static void open_memory(struct guest_mem *m, enum guest_mem_kind kind, int fd,
			uint64_t offset)
{
	static const struct guest_range ranges[] = {
		{0, (uint64_t)LOW * PAGE},
		{1ULL << 32, (uint64_t)(PAGES - LOW) * PAGE},
	};
	const struct guest_mem_backing backing = {kind, fd, offset};
	struct err e = {0};

	if (guest_mem_open(m, ranges, 2, &backing, &e))
		fail_msg("%s", e.text);
}

static void fill(uint8_t *page, uint8_t seed)
{
	unsigned i;

	for (i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(seed + i * 7);
}

/* Where a guest writes: both ends, neighbours, over both regions' border. */
static const unsigned written[] = {0, 1, 5, LOW - 1, LOW, PAGES - 1};

enum { WRITTEN = sizeof(written) / sizeof(written[0]) };

static void write_some(struct guest_mem *m)
{
	unsigned i;

	for (i = 0; i < WRITTEN; i++)
		fill(m->map + (size_t)written[i] * PAGE, (uint8_t)(i + 1));
	/* Touched, and zeroes still; and one byte, the last of its page. */
	m->map[(size_t)9 * PAGE] = 0;
	m->map[(size_t)8 * PAGE - 1] = 1;
}

static bool is_data(int fd, uint64_t at)
{
	return lseek(fd, (off_t)at, SEEK_DATA) == (off_t)at;
}

static void expect_same(const struct guest_mem *m, int fd, uint64_t offset)
{
	uint8_t *got = malloc(SIZE);

	assert_non_null(got);
	assert_int_equal(fd_pread(fd, got, SIZE, offset), 0);
	assert_memory_equal(got, m->map, SIZE);
	free(got);
}

/* Pages of the image that are there, which a memfd tells page by page. */
static unsigned data_pages(int fd, uint64_t offset)
{
	unsigned page, n = 0;

	for (page = 0; page < PAGES; page++)
		n += is_data(fd, offset + (uint64_t)page * PAGE);
	return n;
}

static struct image_figures write_all(const struct guest_mem *m, int fd,
				      uint64_t offset)
{
	struct image_figures figures;
	struct err e = {0};

	if (image_write(m, fd, offset, &figures, &e))
		fail_msg("%s", e.text);
	expect_same(m, fd, offset);
	return figures;
}

static void written_of(enum guest_mem_kind kind, uint64_t offset)
{
	struct guest_mem m;
	struct image_figures f;
	CLEAN_FD int fd = file_of(SIZE + offset);

	open_memory(&m, kind, -1, 0);
	if (kind == GUEST_MEM_TRANSPARENT)
		/* One page touched must not be 512 of them. */
		madvise(m.map, m.size, MADV_NOHUGEPAGE);
	write_some(&m);
	f = write_all(&m, fd, offset);
	assert_int_equal(f.written, (WRITTEN + 1) * PAGE);
	assert_int_equal(data_pages(fd, offset), WRITTEN + 1);
	if (offset)
		assert_false(is_data(fd, 0));
	if (kind == GUEST_MEM_MISSING)
		assert_int_equal(f.looked_at, SIZE);
	else /* and the one that is zeroes */
		assert_int_equal(f.looked_at, (WRITTEN + 2) * PAGE);
	guest_mem_close(&m);
}

static void each_kind_of_memory_is_written_as_it_is(void **state)
{
	(void)state;
	written_of(GUEST_MEM_SMALL, 0);
	written_of(GUEST_MEM_TRANSPARENT, 0);
	written_of(GUEST_MEM_MISSING, 0);
}

static void an_image_stands_where_it_shall(void **state)
{
	(void)state;
	written_of(GUEST_MEM_SMALL, 3 * PAGE);
	written_of(GUEST_MEM_TRANSPARENT, 3 * PAGE);
}

/* A file with data that nobody touched, and writes of the guest over holes. */
static void memory_of_a_file_is_its_data_and_what_was_written(void **state)
{
	static const unsigned data[] = {2, 5, 300, LOW, PAGES - 2};
	const uint64_t offset = 4 * PAGE;
	CLEAN_FD int from = file_of(SIZE + offset);
	CLEAN_FD int fd = file_of(SIZE);
	struct image_figures f;
	struct guest_mem m;
	uint8_t page[PAGE];
	unsigned i;

	(void)state;
	fill(page, 99);
	for (i = 0; i < 5; i++)
		assert_int_equal(fd_pwrite(from, page, PAGE,
					   offset + (uint64_t)data[i] * PAGE),
				 0);
	assert_int_equal(fd_pwrite(from, page, PAGE, 0), 0);
	open_memory(&m, GUEST_MEM_FILE, from, offset);
	write_some(&m);
	memset(m.map + (size_t)300 * PAGE, 0, PAGE);
	f = write_all(&m, fd, 0);
	/* Two of the file's are below the guest's, one became zeroes. */
	assert_int_equal(f.written, (WRITTEN + 1 + 2) * PAGE);
	assert_int_equal(data_pages(fd, 0), WRITTEN + 1 + 2);
	assert_true(f.looked_at < 32 * PAGE);
	/* And the file is as it was. */
	assert_int_equal(fd_pread(from, page, 1, offset + 2 * PAGE), 0);
	assert_int_equal(page[0], 99);
	assert_int_equal(fd_pread(from, page, 1, offset), 0);
	assert_int_equal(page[0], 0);
	guest_mem_close(&m);
}

static void a_host_that_swaps_has_all_looked_at(void **state)
{
	struct image_figures f;
	struct guest_mem m;
	CLEAN_FD int fd = file_of(SIZE);
	uint64_t touched[(PAGES + 63) / 64] = {0};
	struct err e = {0};
	unsigned i;

	(void)state;
	has_swapped = true;
	open_memory(&m, GUEST_MEM_TRANSPARENT, -1, 0);
	madvise(m.map, m.size, MADV_NOHUGEPAGE);
	write_some(&m);
	assert_int_equal(image_touched(&m, touched, &e), 0);
	for (i = 0; i < PAGES; i++)
		assert_true(touched[i / 64] >> i % 64 & 1);
	assert_int_equal(touched[PAGES / 64] >> PAGES % 64, 0);
	f = write_all(&m, fd, 0);
	assert_int_equal(f.looked_at, SIZE);
	assert_int_equal(f.written, (WRITTEN + 1) * PAGE);
	guest_mem_close(&m);
}

static bool is_set(const uint64_t *pages, unsigned page)
{
	return pages[page / 64] >> page % 64 & 1;
}

static void what_was_touched_is_told_by_page(void **state)
{
	uint64_t touched[(PAGES + 63) / 64] = {0};
	struct guest_mem m;
	struct err e = {0};
	unsigned page, i, n = 0;

	(void)state;
	open_memory(&m, GUEST_MEM_SMALL, -1, 0);
	write_some(&m);
	assert_int_equal(image_touched(&m, touched, &e), 0);
	for (i = 0; i < WRITTEN; i++)
		assert_true(is_set(touched, written[i]));
	assert_true(is_set(touched, 7));
	assert_true(is_set(touched, 9));
	for (page = 0; page < PAGES; page++)
		n += is_set(touched, page);
	assert_int_equal(n, WRITTEN + 2);
	guest_mem_close(&m);
}

/* A diff: the base's bytes, and over them the pages that are set. */
static void diff_over_base(void)
{
	uint64_t pages[(PAGES + 63) / 64] = {0};
	CLEAN_FD int base = file_of(SIZE);
	CLEAN_FD int fd = file_of(SIZE);
	struct image_figures f;
	struct guest_mem m;
	struct err e = {0};

	open_memory(&m, GUEST_MEM_SMALL, -1, 0);
	write_some(&m);
	write_all(&m, base, 0);
	/* One page more, one less, one changed, over a word's border too. */
	fill(m.map + (size_t)63 * PAGE, 201);
	fill(m.map + (size_t)64 * PAGE, 202);
	memset(m.map + (size_t)5 * PAGE, 0, PAGE);
	fill(m.map + (size_t)(PAGES - 1) * PAGE, 203);
	pages[0] = 1ULL << 63 | 1ULL << 5;
	pages[1] = 1;
	/* Bits behind the last page are nobody's. */
	pages[(PAGES - 1) / 64] = ~0ULL << (PAGES - 1) % 64;
	assert_int_equal(copy_image(base, fd, SIZE, &e), 0);
	assert_int_equal(data_pages(fd, 0), WRITTEN + 1);
	assert_int_equal(image_write_pages(&m, pages, fd, 0, &f, &e), 0);
	assert_int_equal(f.written, 4 * PAGE);
	assert_int_equal(f.looked_at, 4 * PAGE);
	expect_same(&m, fd, 0);
	guest_mem_close(&m);
}

static void a_diff_goes_over_its_base(void **state)
{
	(void)state;
	copied_bytes = 0;
	diff_over_base();
	assert_int_equal(copied_bytes, (WRITTEN + 1) * PAGE);
}

static void a_base_of_another_file_system_is_copied_by_us(void **state)
{
	(void)state;
	is_no_file_copied = true;
	copied_bytes = 0;
	diff_over_base();
	assert_int_equal(copied_bytes, 0);
}

/* Meanwhile, by whoever else has it. */
static void a_base_that_is_cut_is_no_base(void **state)
{
	CLEAN_FD int base = file_of(SIZE);
	CLEAN_FD int fd = file_of(SIZE);
	struct err e = {0};
	uint8_t page[PAGE];
	unsigned i;

	(void)state;
	fill(page, 1);
	for (i = 0; i < 4; i++)
		assert_int_equal(
			fd_pwrite(base, page, PAGE, (uint64_t)i * PAGE), 0);
	is_cut = true;
	errno = 0;
	assert_int_equal(copy_image(base, fd, SIZE, &e), -ENODATA);
	assert_non_null(strstr(e.text, "the memory that the diff goes over"));
}

static void a_copy_that_a_full_disk_ends_is_told(void **state)
{
	CLEAN_FD int base = file_of(PAGE);
	CLEAN_FD int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct err e = {0};

	(void)state;
	assert_int_equal(fd_pwrite(base, "x", 1, 0), 0);
	is_no_file_copied = true;
	assert_int_equal(copy_image(base, fd, PAGE, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "No space left"));
}

static void a_disk_that_is_full_is_told(void **state)
{
	uint64_t pages[(PAGES + 63) / 64] = {1};
	CLEAN_FD int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct image_figures f;
	struct guest_mem m;
	struct err e = {0};

	(void)state;
	open_memory(&m, GUEST_MEM_SMALL, -1, 0);
	write_some(&m);
	assert_int_equal(image_write(&m, fd, 0, &f, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "can't write the memory file"));
	assert_int_equal(image_write_pages(&m, pages, fd, 0, &f, &e), -ENOSPC);
	guest_mem_close(&m);
}

/* More than a write takes, and a guest's that has nothing at all. */
static void large_and_empty_memory(void **state)
{
	const struct guest_range range = {0, 3 << 20};
	const struct guest_mem_backing backing = {GUEST_MEM_SMALL, -1, 0};
	CLEAN_FD int fd = file_of(3 << 20);
	struct image_figures f;
	struct guest_mem m;
	struct err e = {0};
	uint8_t *got = malloc(3 << 20);

	(void)state;
	assert_non_null(got);
	assert_int_equal(guest_mem_open(&m, &range, 1, &backing, &e), 0);
	assert_int_equal(image_write(&m, fd, 0, &f, &e), 0);
	assert_int_equal(f.written + f.looked_at, 0);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), -1);
	memset(m.map, 0xa5, m.size);
	assert_int_equal(image_write(&m, fd, 0, &f, &e), 0);
	assert_int_equal(f.written, 3 << 20);
	assert_int_equal(fd_pread(fd, got, 3 << 20, 0), 0);
	assert_memory_equal(got, m.map, 3 << 20);
	free(got);
	guest_mem_close(&m);
}

static int setup(void **state)
{
	(void)state;
	has_swapped = false;
	is_no_file_copied = false;
	is_cut = false;
	return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_of_memory_is_written_as_it_is),
		TEST(an_image_stands_where_it_shall),
		TEST(memory_of_a_file_is_its_data_and_what_was_written),
		TEST(a_host_that_swaps_has_all_looked_at),
		TEST(what_was_touched_is_told_by_page),
		TEST(a_diff_goes_over_its_base),
		TEST(a_base_of_another_file_system_is_copied_by_us),
		TEST(a_base_that_is_cut_is_no_base),
		TEST(a_copy_that_a_full_disk_ends_is_told),
		TEST(a_disk_that_is_full_is_told),
		TEST(large_and_empty_memory),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
