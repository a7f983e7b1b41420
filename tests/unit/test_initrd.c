/* Where an initrd goes, and what is said of one that can't. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/boot/initrd.h"

enum { RAM = 0x100000, FENCE = 0x1000, KERNEL_END = 0x80000, PAGE = 4096 };

static struct guest_mem mem;
static struct kernel_image kernel;
static struct err err;
static uint64_t gpa, size;

/* RAM ends a page before its mapping does, so that we see a write behind it. */
static int mem_setup(void **state)
{
	const struct guest_range ram[] = {{0, RAM + FENCE},
					  {1ULL << 32, 16 * PAGE}};

	(void)state;
	if (guest_mem_open(&mem, ram, 2,
			   &(struct guest_mem_backing){GUEST_MEM_SMALL}, NULL))
		return -1;
	mem.regions[0].size = RAM;
	kernel = (struct kernel_image){
		.start = 0x20000, .end = KERNEL_END, .initrd_max = UINT64_MAX};
	return 0;
}

static int mem_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

/* Loads an initrd of so many bytes, all 0x1d. */
static int load(size_t bytes)
{
	int fd = memfd_create("initrd", MFD_CLOEXEC), rc;
	uint8_t *content = malloc(bytes + 1);

	assert_true(fd > 0);
	assert_non_null(content);
	memset(content, 0x1d, bytes);
	assert_int_equal(write(fd, content, bytes), bytes);
	free(content);
	memset(&err, 0, sizeof(err));
	gpa = size = UINT64_MAX;
	rc = initrd_load(fd, "/i/initrd", &mem, &kernel, &gpa, &size, &err);
	close(fd);
	assert_int_equal(rc, err.code);
	return rc;
}

static void placed_at(size_t bytes, uint64_t want)
{
	size_t i;

	memset(mem.map, 0, mem.size);
	if (load(bytes))
		fail_msg("%s", err.text);
	assert_int_equal(gpa, want);
	assert_int_equal(size, bytes);
	assert_true(gpa % PAGE == 0 && gpa >= kernel.end);
	for (i = 0; i < mem.size; i++)
		if (mem.map[i] != (i - gpa < bytes ? 0x1d : 0))
			fail_msg("0x%02x at 0x%zx", mem.map[i], i);
}

static void it_goes_to_the_highest_whole_pages(void **state)
{
	(void)state;
	placed_at(1, RAM - PAGE);
	placed_at(PAGE - 1, RAM - PAGE);
	placed_at(PAGE, RAM - PAGE);
	placed_at(PAGE + 1, RAM - 2 * PAGE);
	placed_at(100000, RAM - 25 * PAGE);
}

static void it_may_touch_the_kernel_and_not_meet_it(void **state)
{
	(void)state;
	placed_at(RAM - KERNEL_END, KERNEL_END);
	assert_int_equal(load(RAM - KERNEL_END + 1), -ENOMEM);
	/* A kernel that ends inside a page keeps that page. */
	kernel.end = KERNEL_END + 1;
	assert_int_equal(load(RAM - KERNEL_END), -ENOMEM);
	placed_at(RAM - KERNEL_END - PAGE, KERNEL_END + PAGE);
}

static void it_stays_below_what_the_kernel_can_reach(void **state)
{
	(void)state;
	kernel.initrd_max = 0x9ffff;
	placed_at(PAGE, 0x9f000);
	placed_at(0x20000, KERNEL_END);
	/* More memory would not help, so it isn't asked for. */
	assert_int_equal(load(0x20001), -ENOMEM);
	assert_string_equal(err.text,
			    "the initrd /i/initrd (131073 bytes) does not fit "
			    "between the kernel's end at 0x80000 and 0xa0000, "
			    "the highest this kernel takes one at; give a "
			    "smaller initrd");
	kernel.initrd_max = 0x9fffe;
	placed_at(PAGE, 0x9e000);
	kernel.initrd_max = RAM - 1;
	placed_at(PAGE, RAM - PAGE);
	kernel.initrd_max = RAM;
	placed_at(PAGE, RAM - PAGE);
	kernel.initrd_max = 0;
	assert_int_equal(load(PAGE), -ENOMEM);
	kernel.initrd_max = KERNEL_END - 1;
	assert_int_equal(load(1), -ENOMEM);
}

static void one_that_is_too_large_says_how_much_it_takes(void **state)
{
	(void)state;
	assert_int_equal(load(3 << 20), -ENOMEM);
	assert_string_equal(err.text,
			    "the initrd /i/initrd (3145728 bytes) does not fit "
			    "above the kernel, which ends at 0x80000; give the "
			    "machine at least 5 MiB");
	assert_int_equal(load(RAM), -ENOMEM);
	assert_int_equal(load(RAM + 1), -ENOMEM);
}

static void one_of_absurd_size_is_refused_unread(void **state)
{
	int fd = memfd_create("initrd", MFD_CLOEXEC);

	(void)state;
	assert_true(fd > 0);
	assert_int_equal(ftruncate(fd, INT64_MAX & ~0xfffLL), 0);
	assert_int_equal(initrd_load(fd, "i", &mem, &kernel, &gpa, &size, &err),
			 -ENOMEM);
	close(fd);
}

static void a_kernel_in_high_memory_leaves_no_room(void **state)
{
	(void)state;
	kernel.end = (1ULL << 32) + PAGE;
	assert_int_equal(load(PAGE), -ENOMEM);
	kernel.end = UINT64_MAX;
	assert_int_equal(load(PAGE), -ENOMEM);
}

static void an_empty_file_is_called_so(void **state)
{
	(void)state;
	assert_int_equal(load(0), -ENODATA);
	assert_string_equal(err.text, "the initrd /i/initrd is empty");
}

static void what_is_no_regular_file_is_called_so(void **state)
{
	int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), ends[2];

	(void)state;
	assert_true(folder > 0 && null > 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(
		initrd_load(folder, "a", &mem, &kernel, &gpa, &size, &err),
		-EINVAL);
	assert_string_equal(err.text, "the initrd a is not a regular file");
	assert_int_equal(
		initrd_load(null, "b", &mem, &kernel, &gpa, &size, &err),
		-EINVAL);
	assert_int_equal(
		initrd_load(ends[0], "c", &mem, &kernel, &gpa, &size, &err),
		-EINVAL);
	close(folder);
	close(null);
	close(ends[0]);
	close(ends[1]);
}

static void what_cannot_be_read_is_said(void **state)
{
	int fd = open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(initrd_load(-1, "x", &mem, &kernel, &gpa, &size, &err),
			 -EBADF);
	assert_non_null(strstr(err.text, "can't examine the initrd x"));
	if (fd < 0)
		skip(); /* a /tmp without O_TMPFILE */
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(initrd_load(fd, "x", &mem, &kernel, &gpa, &size, &err),
			 -EBADF);
	assert_non_null(strstr(err.text, "can't read the initrd x"));
	close(fd);
}

int main(void)
{
#define ON_MEM(f) cmocka_unit_test_setup_teardown(f, mem_setup, mem_teardown)
	const struct CMUnitTest tests[] = {
		ON_MEM(it_goes_to_the_highest_whole_pages),
		ON_MEM(it_may_touch_the_kernel_and_not_meet_it),
		ON_MEM(it_stays_below_what_the_kernel_can_reach),
		ON_MEM(one_that_is_too_large_says_how_much_it_takes),
		ON_MEM(one_of_absurd_size_is_refused_unread),
		ON_MEM(a_kernel_in_high_memory_leaves_no_room),
		ON_MEM(an_empty_file_is_called_so),
		ON_MEM(what_is_no_regular_file_is_called_so),
		ON_MEM(what_cannot_be_read_is_said),
	};

	return cmocka_run_group_tests_name("initrd", tests, NULL, NULL);
}
