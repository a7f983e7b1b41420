/* The bzImage loader: where a kernel goes, and which ones are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/kernel_file.h"
#include "vmm/arch/x86_64/bzimage.h"

enum { RAM = 0x100000, FENCE = 0x1000, MUTATIONS = 20000 };
enum { ENTRY64_AT = 0x200, HEADER_AT = 0x1f1 };

static struct guest_mem mem;
static struct kernel_file file;
static struct kernel_image image;
static struct err err;

/* RAM ends a page before its mapping does, so that we see a write behind it. */
static int mem_setup(void **state)
{
	const struct guest_range ram = {0, RAM + FENCE};

	(void)state;
	if (guest_mem_open(&mem, &ram, 1,
			   &(struct guest_mem_backing){GUEST_MEM_SMALL}, NULL))
		return -1;
	mem.regions[0].size = RAM;
	return 0;
}

static int mem_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

static int file_setup(void **state)
{
	(void)state;
	kernel_file_bzimage(&file);
	memset(mem.map, 0, mem.size);
	return 0;
}

static struct setup_header *setup(void)
{
	return kernel_file_setup(&file);
}

static int load(void)
{
	int fd = kernel_file_open(&file), rc;

	assert_true(fd > 0);
	memset(&image, 0xa5, sizeof(image));
	memset(&err, 0, sizeof(err));
	rc = bzimage_load(fd, &mem, KERNEL_FILE_MIN_GPA, &image, &err);
	close(fd);
	assert_int_equal(rc, err.code);
	return rc;
}

/* The load is refused with this code and with these words. */
static void refused(int code, const char *words)
{
	assert_int_equal(load(), code);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" lacks \"%s\"", err.text, words);
}

static void loaded_at(uint64_t start)
{
	if (load())
		fail_msg("%s", err.text);
	assert_int_equal(image.start, start);
	assert_int_equal(image.entry, start + ENTRY64_AT);
}

static void a_bzimage_is_known_by_its_magic(void **state)
{
	(void)state;
	assert_true(bzimage_is(file.bytes, file.len));
	assert_true(bzimage_is(file.bytes, 0x206));
	assert_false(bzimage_is(file.bytes, 0x205));
	assert_false(bzimage_is(file.bytes, 0));
	file.bytes[0x205] = 's';
	assert_false(bzimage_is(file.bytes, file.len));
}

static void a_whole_kernel_is_loaded_where_it_likes(void **state)
{
	size_t i;

	(void)state;
	loaded_at(KERNEL_FILE_PREF_GPA);
	assert_int_equal(image.pvh_entry, 0);
	assert_int_equal(image.end,
			 KERNEL_FILE_PREF_GPA + KERNEL_FILE_INIT_BYTES);
	assert_int_equal(image.initrd_max, 0x7fffffff);
	for (i = 0; i < mem.size; i++) {
		const bool is_kernel = i - KERNEL_FILE_PREF_GPA <
				       KERNEL_FILE_PROTECTED_BYTES;

		if (mem.map[i] != (is_kernel ? 0xb2 : 0))
			fail_msg("0x%02x at 0x%zx", mem.map[i], i);
	}
}

static void the_setup_header_is_kept_for_the_zero_page(void **state)
{
	(void)state;
	assert_int_equal(load(), 0);
	assert_int_equal(image.header_len, 0x26c - HEADER_AT);
	assert_memory_equal(image.header, file.bytes + HEADER_AT,
			    image.header_len);
}

static void the_header_s_length_is_bounded(void **state)
{
	(void)state;
	setup()->jump = 0xffeb;
	assert_int_equal(load(), 0);
	assert_int_equal(image.header_len, sizeof(image.header));
	setup()->jump = 0x00eb;
	assert_int_equal(load(), 0);
	assert_int_equal(image.header_len, 0x202 - HEADER_AT);
}

static void a_kernel_may_move_out_of_our_way(void **state)
{
	(void)state;
	setup()->pref_address = KERNEL_FILE_MIN_GPA - 1;
	loaded_at(KERNEL_FILE_MIN_GPA);
	setup()->kernel_alignment = 0x20000;
	loaded_at(0x20000);
	setup()->pref_address = 0;
	loaded_at(0x20000);
	setup()->pref_address = KERNEL_FILE_MIN_GPA;
	loaded_at(KERNEL_FILE_MIN_GPA);
}

static void a_kernel_that_may_not_move_is_refused(void **state)
{
	(void)state;
	setup()->relocatable_kernel = 0;
	loaded_at(KERNEL_FILE_PREF_GPA);
	setup()->pref_address = KERNEL_FILE_MIN_GPA - 1;
	refused(-ENOEXEC, "wants to be loaded at 0xffff");
	setup()->pref_address = 0;
	refused(-ENOEXEC, "wants to be loaded at 0x0");
}

static void an_absurd_alignment_becomes_two_mebibytes(void **state)
{
	static const uint32_t absurd[] = {0,	      3,	  0x30000,
					  0x80000000, 0xffffffff, 0x40000001};
	size_t i;

	(void)state;
	setup()->pref_address = 0;
	for (i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		setup()->kernel_alignment = absurd[i];
		refused(-ENOMEM, "up to 0x208000; give the machine at least "
				 "3 MiB");
	}
	setup()->kernel_alignment = 1 << 30;
	refused(-ENOMEM, "at least 1025 MiB");
}

static void init_size_must_fit_into_memory(void **state)
{
	(void)state;
	setup()->init_size = RAM - KERNEL_FILE_PREF_GPA;
	assert_int_equal(load(), 0);
	assert_int_equal(image.end, RAM);
	setup()->init_size++;
	refused(-ENOMEM, "needs guest memory up to 0x100001");
	setup()->init_size = UINT32_MAX;
	refused(-ENOMEM, "at least 4097 MiB");
}

static void a_small_init_size_does_not_shrink_the_file(void **state)
{
	(void)state;
	setup()->init_size = 0;
	assert_int_equal(load(), 0);
	assert_int_equal(image.end,
			 KERNEL_FILE_PREF_GPA + KERNEL_FILE_PROTECTED_BYTES);
	/* The file alone is one byte too long for memory. */
	setup()->pref_address = RAM - KERNEL_FILE_PROTECTED_BYTES + 1;
	refused(-ENOMEM, "up to 0x100001");
	setup()->pref_address--;
	assert_int_equal(load(), 0);
}

static void addresses_that_overflow_are_refused(void **state)
{
	(void)state;
	setup()->pref_address = UINT64_MAX;
	refused(-ENOEXEC, "wants to be loaded at 0xffffffffffffffff");
	setup()->pref_address = UINT64_MAX - KERNEL_FILE_INIT_BYTES + 1;
	refused(-ENOEXEC, "wants to be loaded");
	setup()->pref_address = UINT64_MAX - KERNEL_FILE_INIT_BYTES;
	refused(-ENOMEM, "MiB");
	setup()->pref_address = RAM;
	refused(-ENOMEM, "at least 2 MiB");
}

static void an_old_or_32_bit_kernel_has_no_64_bit_entry(void **state)
{
	(void)state;
	setup()->version = 0x020b;
	refused(-ENOEXEC, "boot protocol 2.11");
	setup()->version = 0;
	refused(-ENOEXEC, "boot protocol 0.00");
	setup()->version = 0x020c;
	assert_int_equal(load(), 0);
	setup()->xloadflags = (uint16_t)~XLF_KERNEL_64;
	refused(-ENOEXEC, "no 64-bit entry");
}

static void a_zimage_is_named(void **state)
{
	(void)state;
	setup()->loadflags = (uint8_t)~LOADED_HIGH;
	refused(-ENOEXEC, "is a zImage; give a bzImage");
}

static void another_file_is_no_bzimage(void **state)
{
	(void)state;
	setup()->header = 0;
	refused(-ENOEXEC, "not a bzImage");
}

/* Cut at each byte, the file is refused with one sentence or another. */
static void a_file_cut_anywhere_is_refused(void **state)
{
	const size_t whole = file.len;
	size_t len;

	(void)state;
	/* Up to 15 bytes short is whole: see below. */
	for (len = 0; len <= whole - 16; len++) {
		file.len = len;
		if (len < HEADER_AT + sizeof(image.header))
			refused(-ENOEXEC, "inside its setup header");
		else if (len <= KERNEL_FILE_SETUP_BYTES + ENTRY64_AT)
			refused(-ENOEXEC, "before its protected-mode part");
		else
			refused(-ENOEXEC, "bytes of kernel");
	}
}

/* boot.rst: syssize counts paragraphs of 16 bytes; files end in one. */
static void the_last_paragraph_need_not_be_whole(void **state)
{
	const uint64_t end = KERNEL_FILE_PREF_GPA + KERNEL_FILE_PROTECTED_BYTES;
	size_t missing;

	(void)state;
	for (missing = 1; missing < 16; missing++) {
		kernel_file_bzimage(&file);
		file.len -= missing;
		memset(mem.map, 0, mem.size);
		loaded_at(KERNEL_FILE_PREF_GPA);
		assert_int_equal(image.end,
				 KERNEL_FILE_PREF_GPA + KERNEL_FILE_INIT_BYTES);
		assert_int_equal(mem.map[end - missing - 1], 0xb2);
		assert_int_equal(mem.map[end - missing], 0);
	}
	file.len--;
	refused(-ENOEXEC, "is truncated: 4080 of 4096 bytes of kernel");
}

static void more_than_syssize_is_loaded_too(void **state)
{
	(void)state;
	/* A signature follows a signed kernel; it does no harm. */
	setup()->syssize = 1;
	assert_int_equal(load(), 0);
	assert_int_equal(
		mem.map[KERNEL_FILE_PREF_GPA + KERNEL_FILE_PROTECTED_BYTES - 1],
		0xb2);
	setup()->syssize = UINT32_MAX;
	refused(-ENOEXEC, "of 68719476720 bytes of kernel");
}

static void no_setup_sectors_means_four(void **state)
{
	(void)state;
	setup()->setup_sects = 0;
	setup()->syssize = 0;
	assert_int_equal(load(), 0);
	assert_int_equal(image.end,
			 KERNEL_FILE_PREF_GPA + KERNEL_FILE_INIT_BYTES);
	assert_int_equal(mem.map[KERNEL_FILE_PREF_GPA + file.len - 5 * 512 - 1],
			 0xb2);
	assert_int_equal(mem.map[KERNEL_FILE_PREF_GPA + file.len - 5 * 512], 0);
	setup()->setup_sects = 255;
	refused(-ENOEXEC, "before its protected-mode part");
}

static void what_cannot_be_read_is_said(void **state)
{
	(void)state;
	assert_true(bzimage_load(-1, &mem, 0, &image, &err) < 0);
	assert_true(err.text[0]);
}

/* Whatever a file says, what comes out holds, and nothing else is touched. */
static void check_fuzzed(int rc)
{
	static const uint8_t zero[KERNEL_FILE_MIN_GPA];

	assert_memory_equal(mem.map, zero, KERNEL_FILE_MIN_GPA);
	assert_memory_equal(mem.map + RAM, zero, FENCE);
	if (rc) {
		assert_true(rc == -ENOEXEC || rc == -ENOMEM);
		assert_true(err.text[0]);
		return;
	}
	assert_true(image.start >= KERNEL_FILE_MIN_GPA);
	assert_true(image.start < image.end && image.end <= RAM);
	assert_true(image.entry > image.start && image.entry < image.end);
	assert_int_equal(image.pvh_entry, 0);
	assert_in_range(image.header_len, 1, sizeof(image.header));
}

static void mutated_kernels_do_no_harm(void **state)
{
	uint64_t seed = 0x627a496d616765;
	unsigned i, loaded = 0;
	int fd = kernel_file_open(&file), rc;

	(void)state;
	assert_true(fd > 0);
	for (i = 0; i < MUTATIONS; i++) {
		struct kernel_file header;

		/* Mutations aim at the start: bring the header there. */
		kernel_file_bzimage(&file);
		header.len = file.len;
		memcpy(header.bytes, file.bytes + HEADER_AT, 128);
		kernel_file_mutate(&header, 0x7b, &seed);
		memcpy(file.bytes + HEADER_AT, header.bytes, 128);
		file.len = header.len;
		assert_int_equal(kernel_file_rewrite(&file, fd), 0);
		memset(&err, 0, sizeof(err));
		rc = bzimage_load(fd, &mem, KERNEL_FILE_MIN_GPA, &image, &err);
		check_fuzzed(rc);
		loaded += !rc;
	}
	close(fd);
	/* Both ways were taken, so the mutator neither spares nor kills all. */
	assert_in_range(loaded, MUTATIONS / 20, MUTATIONS * 19 / 20);
}

int main(void)
{
#define ON_FILE(f) cmocka_unit_test_setup(f, file_setup)
	const struct CMUnitTest tests[] = {
		ON_FILE(a_bzimage_is_known_by_its_magic),
		ON_FILE(a_whole_kernel_is_loaded_where_it_likes),
		ON_FILE(the_setup_header_is_kept_for_the_zero_page),
		ON_FILE(the_header_s_length_is_bounded),
		ON_FILE(a_kernel_may_move_out_of_our_way),
		ON_FILE(a_kernel_that_may_not_move_is_refused),
		ON_FILE(an_absurd_alignment_becomes_two_mebibytes),
		ON_FILE(init_size_must_fit_into_memory),
		ON_FILE(a_small_init_size_does_not_shrink_the_file),
		ON_FILE(addresses_that_overflow_are_refused),
		ON_FILE(an_old_or_32_bit_kernel_has_no_64_bit_entry),
		ON_FILE(a_zimage_is_named),
		ON_FILE(another_file_is_no_bzimage),
		ON_FILE(a_file_cut_anywhere_is_refused),
		ON_FILE(the_last_paragraph_need_not_be_whole),
		ON_FILE(more_than_syssize_is_loaded_too),
		ON_FILE(no_setup_sectors_means_four),
		ON_FILE(what_cannot_be_read_is_said),
		ON_FILE(mutated_kernels_do_no_harm),
	};

	return cmocka_run_group_tests_name("bzimage", tests, mem_setup,
					   mem_teardown);
}
