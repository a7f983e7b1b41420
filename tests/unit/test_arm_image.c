/* Linux's Image, as aarch64 boots it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/arch/aarch64/image.h"
#include "vmm/arch/aarch64/layout.h"
#include "vmm/base/le.h"

enum { FILE_BYTES = 8192, IMAGE_BYTES = 3 << 20, MIB = 1 << 20 };

static uint8_t file[FILE_BYTES];
static size_t file_len;
static struct guest_mem mem;
static struct kernel_image image;
static struct err err;

static void put64(unsigned at, uint64_t value)
{
	le64_t wire;

	le64_put(&wire, value);
	memcpy(&file[at], &wire, sizeof(wire));
}

/* A kernel of two pages that wants 3 MiB, at text_offset 0. */
static int setup(void **state)
{
	const struct guest_range ram = {LAYOUT_RAM, 16 * MIB};
	const struct guest_mem_backing backing = {.kind = GUEST_MEM_SMALL};

	(void)state;
	memset(&err, 0, sizeof(err));
	memset(file, 0xc3, sizeof(file));
	memset(file, 0, 64);
	file[0] = 'M';
	file[1] = 'Z';
	put64(8, 0);
	put64(16, IMAGE_BYTES);
	put64(24, 0xa); /* little-endian, pages of 4 KiB, anywhere */
	memcpy(&file[56], "ARM\x64", 4);
	file_len = sizeof(file);
	return guest_mem_open(&mem, &ram, 1, &backing, &err);
}

static int teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

static int load(void)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, file_len), file_len);
	rc = kernel_load(fd, "/k/Image", &mem, &image_formats, &image, &err);
	close(fd);
	return rc;
}

static void it_is_put_where_it_belongs(void **state)
{
	(void)state;
	assert_int_equal(load(), 0);
	assert_int_equal(image.entry, LAYOUT_KERNEL);
	assert_int_equal(image.start, LAYOUT_KERNEL);
	assert_int_equal(image.end, LAYOUT_KERNEL + IMAGE_BYTES);
	assert_memory_equal(guest_mem_at(&mem, LAYOUT_KERNEL, FILE_BYTES), file,
			    FILE_BYTES);
	/* 32 GiB from the multiple of 1 GiB below it. */
	assert_int_equal(image.initrd_max, 0x80000000ULL + (32ULL << 30) - 1);
}

static void a_text_offset_is_kept(void **state)
{
	(void)state;
	put64(8, 0x80000);
	assert_int_equal(load(), 0);
	assert_int_equal(image.entry, LAYOUT_KERNEL + 0x80000);
	assert_int_equal(image.end, LAYOUT_KERNEL + 0x80000 + IMAGE_BYTES);
}

static void what_is_behind_it_is_not_loaded(void **state)
{
	(void)state;
	put64(16, 4096);
	assert_int_equal(load(), 0);
	assert_int_equal(image.end, LAYOUT_KERNEL + 4096);
	assert_int_equal(
		*(uint8_t *)guest_mem_at(&mem, LAYOUT_KERNEL + 4095, 1), 0xc3);
	assert_int_equal(
		*(uint8_t *)guest_mem_at(&mem, LAYOUT_KERNEL + 4096, 1), 0);
}

static void refused(int rc, const char *why)
{
	assert_int_equal(load(), rc);
	assert_non_null(strstr(err.text, "the kernel /k/Image "));
	assert_non_null(strstr(err.text, why));
}

static void a_header_is_judged(void **state)
{
	(void)state;
	put64(16, 0);
	refused(-ENOEXEC, "does not say its size");
	put64(16, (1ULL << 32) + 1);
	refused(-ENOEXEC, "makes no sense");
	put64(16, UINT64_MAX);
	refused(-ENOEXEC, "makes no sense");
	put64(16, IMAGE_BYTES);
	put64(8, 2 * MIB);
	refused(-ENOEXEC, "makes no sense");
	put64(8, UINT64_MAX);
	refused(-ENOEXEC, "makes no sense");
	put64(8, 0);
	put64(24, 0xb);
	refused(-ENOEXEC, "big-endian");
}

static void what_does_not_fit_says_how_much_does(void **state)
{
	(void)state;
	put64(16, 12 * MIB);
	assert_int_equal(load(), 0);
	put64(16, 12 * MIB + 1);
	refused(-ENOMEM, "give the machine at least 17 MiB");
}

static void other_files_are_refused_by_name(void **state)
{
	(void)state;
	memcpy(&file[56], "x86!", 4);
	refused(-ENOEXEC, "is not a kernel; give an uncompressed Image");
	memcpy(file, "MZ\0\0zimg", 8);
	refused(-ENOEXEC, "is packed for EFI");
	memcpy(file, "\x1f\x8b", 2);
	refused(-ENOEXEC, "is a gzip file; give an uncompressed Image");
	file_len = 63;
	refused(-ENOEXEC, "is a gzip file");
}

static void each_truncated_header_is_refused(void **state)
{
	(void)state;
	for (file_len = 2; file_len < 64; file_len++)
		refused(-ENOEXEC, "is not a kernel");
	file_len = 64;
	assert_int_equal(load(), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_is_put_where_it_belongs),
		TEST(a_text_offset_is_kept),
		TEST(what_is_behind_it_is_not_loaded),
		TEST(a_header_is_judged),
		TEST(what_does_not_fit_says_how_much_does),
		TEST(other_files_are_refused_by_name),
		TEST(each_truncated_header_is_refused),
	};

	return cmocka_run_group_tests_name("arm_image", tests, NULL, NULL);
}
