/* Guest memory: which ranges are made, and which addresses are in it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/mem/guest_mem.h"

enum { PAGE = 4096 };

/* Two regions with a hole between: [0, 4 pages) and [16, 18 pages). */
static const struct guest_range with_hole[] = {
	{0, 4 * PAGE},
	{16 * PAGE, 2 * PAGE},
};

static int open_with_hole(void **state)
{
	static struct guest_mem mem;

	*state = &mem;
	return guest_mem_open(&mem, with_hole, 2,
			      &(struct guest_mem_backing){GUEST_MEM_SMALL},
			      NULL);
}

static int close_mem(void **state)
{
	guest_mem_close(*state);
	return 0;
}

static int try_open(uint64_t gpa0, uint64_t size0, uint64_t gpa1,
		    uint64_t size1, unsigned count)
{
	const struct guest_range ranges[] = {{gpa0, size0}, {gpa1, size1}};
	struct guest_mem mem;
	struct err e = {0};
	int rc = guest_mem_open(&mem, ranges, count,
				&(struct guest_mem_backing){GUEST_MEM_SMALL},
				&e);

	assert_int_equal(rc, e.code);
	assert_int_equal(!rc, !e.text[0]);
	guest_mem_close(&mem);
	return rc;
}

static void memory_is_zero_and_keeps_what_is_written(void **state)
{
	const struct guest_mem *mem = *state;
	char zero[32] = {0}, got[32];

	assert_int_equal(guest_mem_read(mem, 100, got, sizeof(got)), 0);
	assert_memory_equal(got, zero, sizeof(got));
	assert_int_equal(guest_mem_write(mem, 100, "mayfly", 7), 0);
	assert_int_equal(guest_mem_read(mem, 100, got, 7), 0);
	assert_string_equal(got, "mayfly");
	assert_string_equal((char *)guest_mem_at(mem, 100, 7), "mayfly");
}

static void regions_follow_one_another_in_the_file(void **state)
{
	const struct guest_mem *mem = *state;
	struct stat st;
	char got[4];

	assert_int_equal(mem->count, 2);
	assert_int_equal(mem->size, 6 * PAGE);
	assert_int_equal(fstat(mem->fd, &st), 0);
	assert_int_equal(st.st_size, 6 * PAGE);
	assert_ptr_equal(mem->regions[0].hva, mem->map);
	assert_ptr_equal(mem->regions[1].hva, mem->map + 4 * PAGE);
	assert_int_equal(guest_mem_write(mem, 16 * PAGE, "high", 4), 0);
	assert_int_equal(pread(mem->fd, got, 4, 4 * PAGE), 4);
	assert_memory_equal(got, "high", 4);
}

static void both_ends_of_a_region_are_its_own(void **state)
{
	const struct guest_mem *mem = *state;
	unsigned i;

	for (i = 0; i < 2; i++) {
		const struct guest_region *r = &mem->regions[i];
		const uint64_t end = r->gpa + r->size;

		assert_ptr_equal(guest_mem_at(mem, r->gpa, 1), r->hva);
		assert_ptr_equal(guest_mem_at(mem, r->gpa, r->size), r->hva);
		assert_ptr_equal(guest_mem_at(mem, end - 1, 1),
				 r->hva + r->size - 1);
		assert_null(guest_mem_at(mem, r->gpa, r->size + 1));
		assert_null(guest_mem_at(mem, end - 1, 2));
		assert_null(guest_mem_at(mem, end, 1));
		if (r->gpa)
			assert_null(guest_mem_at(mem, r->gpa - 1, 1));
		if (r->gpa)
			assert_null(guest_mem_at(mem, r->gpa - 1, 2));
	}
}

static void an_empty_range_has_no_address(void **state)
{
	const struct guest_mem *mem = *state;

	assert_null(guest_mem_at(mem, 0, 0));
	assert_null(guest_mem_at(mem, PAGE, 0));
	assert_null(guest_mem_at(mem, UINT64_MAX, 0));
	assert_int_equal(guest_mem_read(mem, 0, NULL, 0), -EFAULT);
	assert_int_equal(guest_mem_write(mem, 0, NULL, 0), -EFAULT);
}

static void the_hole_is_no_memory(void **state)
{
	const struct guest_mem *mem = *state;

	assert_null(guest_mem_at(mem, 8 * PAGE, 1));
	assert_null(guest_mem_at(mem, 0, 18 * PAGE));
	assert_null(guest_mem_at(mem, 3 * PAGE, 14 * PAGE));
}

static void sums_that_overflow_are_no_memory(void **state)
{
	static const uint64_t hurtful[] = {
		UINT64_MAX, UINT64_MAX - PAGE,
		1ULL << 63, UINT64_MAX - 2 * PAGE + 1,
		UINT32_MAX, 0,
		16 * PAGE,  18 * PAGE - 1,
		4 * PAGE,
	};
	const struct guest_mem *mem = *state;
	unsigned i, j;

	for (i = 0; i < sizeof(hurtful) / sizeof(hurtful[0]); i++)
		for (j = 0; j < 4; j++)
			assert_null(guest_mem_at(mem, hurtful[i], hurtful[j]));
	/* From inside a region, a length that wraps back into it. */
	assert_null(guest_mem_at(mem, PAGE, UINT64_MAX - PAGE + 2));
}

static void copies_outside_fail_and_copy_nothing(void **state)
{
	const struct guest_mem *mem = *state;
	char got[8] = "before";

	assert_int_equal(guest_mem_read(mem, 4 * PAGE - 4, got, 8), -EFAULT);
	assert_string_equal(got, "before");
	assert_int_equal(guest_mem_write(mem, 4 * PAGE - 4, "12345678", 8),
			 -EFAULT);
	assert_int_equal(guest_mem_read(mem, 4 * PAGE - 4, got, 4), 0);
	assert_memory_equal(got, "\0\0\0\0re", 6);
}

static void neighbours_without_a_hole_are_two_regions_still(void **state)
{
	const struct guest_range ranges[] = {{0, PAGE}, {PAGE, PAGE}};
	struct guest_mem mem;

	(void)state;
	assert_int_equal(
		guest_mem_open(&mem, ranges, 2,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	assert_null(guest_mem_at(&mem, PAGE - 1, 2));
	assert_non_null(guest_mem_at(&mem, PAGE, PAGE));
	guest_mem_close(&mem);
}

static void bad_ranges_are_refused(void **state)
{
	(void)state;
	assert_int_equal(try_open(0, PAGE, 0, 0, 0), -EINVAL);
	assert_int_equal(try_open(0, PAGE, 2 * PAGE, PAGE, 3), -EINVAL);
	assert_int_equal(try_open(0, 0, 0, 0, 1), -EINVAL);
	assert_int_equal(try_open(0, PAGE + 1, 0, 0, 1), -EINVAL);
	assert_int_equal(try_open(1, PAGE, 0, 0, 1), -EINVAL);
	/* Out of order, overlapping, twice the same. */
	assert_int_equal(try_open(4 * PAGE, PAGE, 0, PAGE, 2), -EINVAL);
	assert_int_equal(try_open(0, 2 * PAGE, PAGE, PAGE, 2), -EINVAL);
	assert_int_equal(try_open(0, PAGE, 0, PAGE, 2), -EINVAL);
	assert_int_equal(try_open(0, PAGE, PAGE, PAGE, 2), 0);
}

static void sizes_that_overflow_are_refused(void **state)
{
	const uint64_t top = UINT64_MAX - PAGE + 1;

	(void)state;
	assert_int_equal(try_open(top, PAGE, 0, 0, 1), -EINVAL);
	assert_int_equal(try_open(PAGE, top, 0, 0, 1), -EINVAL);
	assert_int_equal(try_open(0, top, 0, 0, 1), -EINVAL);
	/* Possible on paper; the host has no such address space. */
	assert_true(try_open(0, 1ULL << 62, 0, 0, 1) < 0);
}

static void nothing_is_left_open_after_a_refusal(void **state)
{
	const struct guest_range huge = {0, 1ULL << 62};
	struct guest_mem mem;
	int before = dup(STDERR_FILENO), after;

	(void)state;
	close(before);
	assert_true(guest_mem_open(&mem, &huge, 1,
				   &(struct guest_mem_backing){GUEST_MEM_SMALL},
				   NULL) < 0);
	assert_null(mem.map);
	after = dup(STDERR_FILENO);
	close(after);
	assert_int_equal(after, before);
}

static void huge_pages_need_whole_ones(void **state)
{
	const struct guest_range odd = {0, 3 << 20};
	struct guest_mem mem;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		guest_mem_open(&mem, &odd, 1,
			       &(struct guest_mem_backing){GUEST_MEM_HUGE_2M},
			       &e),
		-EINVAL);
	assert_non_null(strstr(e.text, "even"));
}

/* Whether the host has any is its own affair; a fault must never kill us. */
static void huge_pages_are_reserved_or_refused(void **state)
{
	const struct guest_range two = {0, 2 << 20};
	struct guest_mem mem;
	struct err e = {0};
	int rc = guest_mem_open(&mem, &two, 1,
				&(struct guest_mem_backing){GUEST_MEM_HUGE_2M},
				&e);

	(void)state;
	if (rc) {
		assert_true(e.text[0]);
		return;
	}
	memset(mem.map, 1, mem.size);
	guest_mem_close(&mem);
}

static void transparent_huge_pages_are_a_wish(void **state)
{
	const struct guest_range two = {0, 2 << 20};
	struct guest_mem mem;

	(void)state;
	assert_int_equal(guest_mem_open(&mem, &two, 1,
					&(struct guest_mem_backing){
						GUEST_MEM_TRANSPARENT},
					NULL),
			 0);
	assert_int_equal(guest_mem_write(&mem, 12345, "x", 1), 0);
	assert_int_equal((uintptr_t)mem.map % (2 << 20), 0);
	memset(mem.map, 1, mem.size);
	guest_mem_close(&mem);
}

static void a_limit_of_files_is_none_of_memory(void **state)
{
	const struct guest_range range = {0, 64 * PAGE};
	struct rlimit old, small;
	struct guest_mem mem;
	struct err e;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){PAGE, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(
		guest_mem_open(&mem, &range, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       &e),
		0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(guest_mem_write(&mem, 63 * PAGE, "x", 1), 0);
	assert_int_equal(mem.map[63 * PAGE], 'x');
	/* The kind says that there is no file behind it. */
	assert_int_equal(mem.kind, GUEST_MEM_TRANSPARENT);
	assert_int_equal(mem.fd, -1);
	guest_mem_close(&mem);
}

/* ---- memory files ---------------------------------------------------------
 */

static int file_of(uint64_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static int open_file(struct guest_mem *mem, int fd, uint64_t offset,
		     struct err *e)
{
	memset(e, 0, sizeof(*e));
	return guest_mem_open(
		mem, with_hole, 2,
		&(struct guest_mem_backing){GUEST_MEM_FILE, fd, offset}, e);
}

static void a_file_is_the_memory_and_stays_as_it_is(void **state)
{
	struct guest_mem one, two;
	int fd = file_of(9 * PAGE);
	struct err e;
	char got[8];

	(void)state;
	assert_int_equal(pwrite(fd, "before", 7, 3 * PAGE), 7);
	assert_int_equal(pwrite(fd, "mayfly", 7, 3 * PAGE + 100), 7);
	assert_int_equal(pwrite(fd, "high", 5, 3 * PAGE + 4 * PAGE), 5);
	assert_int_equal(open_file(&one, fd, 3 * PAGE, &e), 0);
	assert_int_equal(open_file(&two, fd, 3 * PAGE, &e), 0);
	/* They keep it open themselves. */
	close(fd);
	assert_int_not_equal(one.fd, fd);
	assert_int_equal(guest_mem_read(&one, 100, got, 7), 0);
	assert_string_equal(got, "mayfly");
	assert_int_equal(guest_mem_read(&one, 16 * PAGE, got, 5), 0);
	assert_string_equal(got, "high");
	/* What one writes is nobody else's. */
	assert_int_equal(guest_mem_write(&one, 100, "beetle", 7), 0);
	assert_int_equal(guest_mem_read(&two, 100, got, 7), 0);
	assert_string_equal(got, "mayfly");
	assert_int_equal(pread(one.fd, got, 7, 3 * PAGE + 100), 7);
	assert_string_equal(got, "mayfly");
	guest_mem_close(&one);
	guest_mem_close(&two);
}

static void a_file_need_not_be_writable(void **state)
{
	char path[32];
	int fd = file_of(6 * PAGE), read_only;
	struct guest_mem mem;
	struct err e;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read_only >= 0);
	assert_int_equal(open_file(&mem, read_only, 0, &e), 0);
	assert_int_equal(guest_mem_write(&mem, 0, "x", 1), 0);
	guest_mem_close(&mem);
	close(read_only);
	close(fd);
}

/* A page that isn't there would end us by SIGBUS. */
static void a_file_that_is_too_short_is_refused(void **state)
{
	int fd = file_of(6 * PAGE - 1);
	struct guest_mem mem;
	struct err e;

	(void)state;
	assert_int_equal(open_file(&mem, fd, 0, &e), -EINVAL);
	assert_non_null(strstr(e.text, "has 24575 bytes, and the guest has "
				       "24576"));
	assert_int_equal(ftruncate(fd, 6 * PAGE), 0);
	assert_int_equal(open_file(&mem, fd, PAGE, &e), -EINVAL);
	assert_int_equal(open_file(&mem, fd, 7 * PAGE, &e), -EINVAL);
	assert_int_equal(open_file(&mem, fd, UINT64_MAX - PAGE + 1, &e),
			 -EINVAL);
	assert_int_equal(open_file(&mem, fd, 0, &e), 0);
	guest_mem_close(&mem);
	close(fd);
}

static void what_is_no_file_is_refused(void **state)
{
	struct guest_mem mem;
	int fds[2], before, after;
	struct err e;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	before = dup(STDERR_FILENO);
	close(before);
	assert_int_equal(open_file(&mem, fds[0], 0, &e), -EINVAL);
	assert_non_null(strstr(e.text, "no regular file"));
	assert_int_equal(open_file(&mem, -1, 0, &e), -EBADF);
	/* An offset that no page has. */
	close(fds[0]);
	fds[0] = file_of(8 * PAGE);
	assert_int_equal(open_file(&mem, fds[0], 1, &e), -EINVAL);
	assert_true(e.text[0]);
	assert_null(mem.map);
	after = dup(STDERR_FILENO);
	close(after);
	assert_int_equal(after, before);
	close(fds[0]);
	close(fds[1]);
}

/* Of a handler: nobody but it has the pages, and none are huge. */
static void memory_of_somebody_else_has_no_file(void **state)
{
	struct guest_mem mem;

	(void)state;
	assert_int_equal(
		guest_mem_open(&mem, with_hole, 2,
			       &(struct guest_mem_backing){GUEST_MEM_MISSING},
			       NULL),
		0);
	assert_int_equal(mem.fd, -1);
	assert_int_equal(guest_mem_write(&mem, 0, "x", 1), 0);
	guest_mem_close(&mem);
}

/* ---- what we wrote ourselves ----------------------------------------------
 */

static void our_writes_are_noted_by_page(void **state)
{
	struct guest_mem *mem = *state;
	uint8_t *low = guest_mem_at(mem, 0, 1);

	/* Nobody asks. */
	guest_mem_wrote(mem, low, 1);
	assert_null(mem->written);
	assert_int_equal(guest_mem_track(mem, true), 0);
	assert_int_equal(mem->written[0], 0);
	guest_mem_wrote(mem, low + PAGE, 0);
	assert_int_equal(mem->written[0], 0);
	guest_mem_wrote(mem, low + PAGE - 1, 1);
	assert_int_equal(mem->written[0], 1);
	guest_mem_wrote(mem, low + 2 * PAGE - 1, 2);
	assert_int_equal(mem->written[0], 7);
	/* The second region's pages come after the first's. */
	assert_int_equal(guest_mem_write(mem, 18 * PAGE - 1, "x", 1), 0);
	assert_int_equal(mem->written[0], 7 | 1 << 5);
	/* A copy that fails, and one that only reads, write nothing. */
	assert_int_equal(guest_mem_write(mem, 4 * PAGE - 4, "12345678", 8),
			 -EFAULT);
	assert_int_equal(guest_mem_read(mem, 3 * PAGE, low + 1, 1), 0);
	assert_int_equal(mem->written[0], 7 | 1 << 5);
	/* Again: from nothing. Off: as before. */
	assert_int_equal(guest_mem_track(mem, true), 0);
	assert_int_equal(mem->written[0], 0);
	assert_int_equal(guest_mem_track(mem, false), 0);
	assert_null(mem->written);
	assert_int_equal(guest_mem_write(mem, 0, "x", 1), 0);
}

/* Words of 64 pages, of which the last is not whole. */
static void notes_have_room_for_every_page(void **state)
{
	const struct guest_range range = {0, 130 * PAGE};
	struct guest_mem mem;

	(void)state;
	assert_int_equal(
		guest_mem_open(&mem, &range, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	assert_int_equal(guest_mem_track(&mem, true), 0);
	guest_mem_wrote(&mem, mem.map + (size_t)63 * PAGE, 2 * PAGE);
	guest_mem_wrote(&mem, mem.map + mem.size - 1, 1);
	assert_true(mem.written[0] == 1ULL << 63);
	assert_int_equal(mem.written[1], 1);
	assert_int_equal(mem.written[2], 2);
	guest_mem_wrote(&mem, mem.map, mem.size);
	assert_true(mem.written[0] == UINT64_MAX);
	assert_true(mem.written[1] == UINT64_MAX);
	assert_int_equal(mem.written[2], 3);
	/* Closing takes them along. */
	guest_mem_close(&mem);
	assert_null(mem.written);
}

static void closing_twice_or_unopened_is_fine(void **state)
{
	const struct guest_range one = {0, PAGE};
	struct guest_mem mem = {0};

	(void)state;
	guest_mem_close(&mem);
	assert_int_equal(
		guest_mem_open(&mem, &one, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	guest_mem_close(&mem);
	assert_null(guest_mem_at(&mem, 0, 1));
	guest_mem_close(&mem);
}

int main(void)
{
#define ON_HOLE(f) cmocka_unit_test_setup_teardown(f, open_with_hole, close_mem)
	const struct CMUnitTest tests[] = {
		ON_HOLE(memory_is_zero_and_keeps_what_is_written),
		ON_HOLE(regions_follow_one_another_in_the_file),
		ON_HOLE(both_ends_of_a_region_are_its_own),
		ON_HOLE(an_empty_range_has_no_address),
		ON_HOLE(the_hole_is_no_memory),
		ON_HOLE(sums_that_overflow_are_no_memory),
		ON_HOLE(copies_outside_fail_and_copy_nothing),
		cmocka_unit_test(
			neighbours_without_a_hole_are_two_regions_still),
		cmocka_unit_test(bad_ranges_are_refused),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(nothing_is_left_open_after_a_refusal),
		cmocka_unit_test(huge_pages_need_whole_ones),
		cmocka_unit_test(huge_pages_are_reserved_or_refused),
		cmocka_unit_test(transparent_huge_pages_are_a_wish),
		cmocka_unit_test(a_limit_of_files_is_none_of_memory),
		cmocka_unit_test(a_file_is_the_memory_and_stays_as_it_is),
		cmocka_unit_test(a_file_need_not_be_writable),
		cmocka_unit_test(a_file_that_is_too_short_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(memory_of_somebody_else_has_no_file),
		ON_HOLE(our_writes_are_noted_by_page),
		cmocka_unit_test(notes_have_room_for_every_page),
		cmocka_unit_test(closing_twice_or_unopened_is_fine),
	};

	return cmocka_run_group_tests_name("guest_mem", tests, NULL, NULL);
}
