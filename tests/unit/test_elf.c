/* The ELF loader: a whole kernel, and every way in which one can be broken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/elf_bench.h"

enum { MUTATIONS = 20000 };

static void a_whole_kernel_is_loaded(void **state)
{
	size_t i;

	(void)state;
	assert_int_equal(load(), 0);
	assert_int_equal(image.entry, KERNEL_FILE_ENTRY);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
	assert_int_equal(image.start, KERNEL_FILE_TEXT_GPA);
	assert_int_equal(image.end,
			 KERNEL_FILE_DATA_GPA + KERNEL_FILE_DATA_MEMORY);
	assert_int_equal(image.header_len, 0);
	assert_int_equal(image.initrd_max, UINT64_MAX);
	for (i = 0; i < mem.size; i++) {
		uint8_t want = 0;

		if (i - KERNEL_FILE_TEXT_GPA < KERNEL_FILE_TEXT_BYTES)
			want = 0x90;
		if (i - KERNEL_FILE_DATA_GPA < KERNEL_FILE_DATA_BYTES)
			want = 0xd5;
		if (mem.map[i] != want)
			fail_msg("0x%02x at 0x%zx", mem.map[i], i);
	}
}

static void position_independent_kernels_are_taken(void **state)
{
	(void)state;
	kernel_file_ehdr(&file)->e_type = ET_DYN;
	assert_int_equal(load(), 0);
}

static void another_file_is_no_elf_file(void **state)
{
	(void)state;
	memcpy(file.bytes, "#!/bin/sh", 9);
	refused(-ENOEXEC, "not an ELF file");
}

static void class_and_byte_order_matter(void **state)
{
	(void)state;
	kernel_file_ehdr(&file)->e_ident[EI_CLASS] = ELFCLASSNONE;
	refused(-ENOEXEC, "64-bit little-endian");
	kernel_file_elf(&file);
	kernel_file_ehdr(&file)->e_ident[EI_DATA] = ELFDATA2MSB;
	refused(-ENOEXEC, "64-bit little-endian");
}

static void another_machine_is_named(void **state)
{
	(void)state;
	kernel_file_ehdr(&file)->e_machine = EM_S390;
	refused(-ENOEXEC, "another machine (ELF machine 22");
}

static void an_object_file_is_no_kernel(void **state)
{
	(void)state;
	kernel_file_ehdr(&file)->e_type = ET_REL;
	refused(-ENOEXEC, "no executable (type 1)");
	kernel_file_ehdr(&file)->e_type = ET_CORE;
	refused(-ENOEXEC, "no executable (type 4)");
}

static void the_count_of_program_headers_is_bounded(void **state)
{
	static const uint16_t counts[] = {0, 65, 0x7fff, 0xffff};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		kernel_file_ehdr(&file)->e_phnum = counts[i];
		refused(-ENOEXEC, "program headers");
	}
	/* 64 are well, those behind ours being PT_NULL. */
	kernel_file_ehdr(&file)->e_phnum = 64;
	assert_int_equal(load(), 0);
}

static void program_headers_have_one_size(void **state)
{
	static const uint16_t sizes[] = {0, 32, 55, 57, 0xffff};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		kernel_file_ehdr(&file)->e_phentsize = sizes[i];
		refused(-ENOEXEC, "program headers");
	}
}

static void program_headers_outside_the_file_are_missed(void **state)
{
	static const uint64_t offsets[] = {
		0x1d00,	   0x1d00 - 3 * 56 + 1, UINT32_MAX,
		INT64_MAX, INT64_MAX + 1ULL,	UINT64_MAX,
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		kernel_file_ehdr(&file)->e_phoff = offsets[i];
		refused(-ENOEXEC, "truncated before its program headers");
	}
}

/* Cut at each byte: a kernel or a sentence, and never half a note's entry. */
static void a_file_cut_anywhere_is_refused_or_whole(void **state)
{
	const size_t whole = file.len;
	const uint64_t data_end = data()->p_offset + data()->p_filesz;
	size_t len;

	(void)state;
	for (len = 0; len < whole; len++) {
		file.len = len;
		if (len >= data_end) {
			const bool has_note =
				len >= note()->p_offset + note()->p_filesz;

			assert_int_equal(load(), 0);
			assert_int_equal(image.pvh_entry,
					 has_note ? KERNEL_FILE_PVH_ENTRY : 0);
			continue;
		}
		refused(-ENOEXEC,
			len < sizeof(Elf64_Ehdr) ? "too short" : "truncated");
	}
}

static void a_segment_outside_memory_says_how_much_it_takes(void **state)
{
	(void)state;
	data()->p_paddr = 0x0a000000;
	refused(-ENOMEM, "at least 161 MiB");
	/* Its last byte is the last of memory, then one more. */
	data()->p_paddr = RAM - KERNEL_FILE_DATA_MEMORY;
	assert_int_equal(load(), 0);
	assert_int_equal(image.end, RAM);
	data()->p_memsz++;
	refused(-ENOMEM, "up to 0x100001; give the machine at least 2 MiB");
	/* No memory size would do for one linked at virtual addresses. */
	data()->p_paddr = 0xffffffff81000000;
	refused(-ENOEXEC, "has a segment at 0xffffffff81000000, where no "
			  "machine has memory; link it for a physical");
}

static void a_bss_outside_memory_is_seen_before_the_guest_runs(void **state)
{
	(void)state;
	data()->p_memsz = 1ULL << 40;
	refused(-ENOMEM, "at least 1048577 MiB");
	data()->p_memsz = UINT64_MAX - KERNEL_FILE_DATA_GPA;
	refused(-ENOMEM, "MiB");
}

static void low_memory_is_ours(void **state)
{
	(void)state;
	text()->p_paddr = KERNEL_FILE_MIN_GPA - 1;
	refused(-ENOEXEC, "below 0x10000 is not free");
	text()->p_paddr = 0;
	refused(-ENOEXEC, "segment at 0x0");
	text()->p_paddr = KERNEL_FILE_MIN_GPA;
	kernel_file_ehdr(&file)->e_entry = KERNEL_FILE_MIN_GPA;
	note()->p_type = PT_NULL;
	assert_int_equal(load(), 0);
	assert_int_equal(image.start, KERNEL_FILE_MIN_GPA);
}

static void an_empty_segment_may_stand_anywhere(void **state)
{
	(void)state;
	/* Linkers leave such behind; their addresses mean nothing. */
	data()->p_filesz = 0;
	data()->p_memsz = 0;
	data()->p_paddr = 0;
	assert_int_equal(load(), 0);
	assert_int_equal(image.end,
			 KERNEL_FILE_TEXT_GPA + KERNEL_FILE_TEXT_BYTES);
}

static void a_segment_of_bss_alone_is_no_file_access(void **state)
{
	(void)state;
	data()->p_filesz = 0;
	data()->p_offset = INT64_MAX;
	assert_int_equal(load(), 0);
	assert_int_equal(image.end,
			 KERNEL_FILE_DATA_GPA + KERNEL_FILE_DATA_MEMORY);
}

static void segments_that_overlap_are_refused(void **state)
{
	(void)state;
	data()->p_paddr = KERNEL_FILE_TEXT_GPA + KERNEL_FILE_TEXT_BYTES - 1;
	refused(-ENOEXEC, "overlap");
	data()->p_paddr = KERNEL_FILE_TEXT_GPA - KERNEL_FILE_DATA_MEMORY + 1;
	refused(-ENOEXEC, "overlap");
	data()->p_paddr = KERNEL_FILE_TEXT_GPA;
	refused(-ENOEXEC, "overlap");
	data()->p_paddr = KERNEL_FILE_TEXT_GPA + KERNEL_FILE_TEXT_BYTES;
	assert_int_equal(load(), 0);
	data()->p_paddr = KERNEL_FILE_TEXT_GPA - KERNEL_FILE_DATA_MEMORY;
	assert_int_equal(load(), 0);
}

static void more_in_the_file_than_in_memory_is_impossible(void **state)
{
	(void)state;
	data()->p_filesz = data()->p_memsz + 1;
	refused(-ENOEXEC, "segment 1 has impossible sizes");
	data()->p_filesz = UINT64_MAX;
	refused(-ENOEXEC, "impossible sizes");
	data()->p_filesz = 1;
	data()->p_memsz = 0;
	refused(-ENOEXEC, "impossible sizes");
}

static void sums_that_overflow_are_impossible(void **state)
{
	(void)state;
	data()->p_memsz = UINT64_MAX;
	refused(-ENOEXEC, "impossible sizes");
	kernel_file_elf(&file);
	data()->p_paddr = UINT64_MAX - 0xff;
	refused(-ENOEXEC, "impossible sizes");
	kernel_file_elf(&file);
	data()->p_offset = UINT64_MAX - 1;
	refused(-ENOEXEC, "impossible sizes");
	/* Wraps to an end inside the file: offset + size is 0x100. */
	data()->p_offset = UINT64_MAX - 0xfff + 0x100;
	data()->p_filesz = 0x1000;
	refused(-ENOEXEC, "impossible sizes");
}

static void an_offset_that_no_file_has_cannot_be_read(void **state)
{
	(void)state;
	data()->p_offset = 1ULL << 63;
	assert_true(load() < 0);
	assert_true(err.text[0]);
	data()->p_offset = INT64_MAX - 0x10;
	assert_true(load() < 0);
	data()->p_offset = 1ULL << 40;
	refused(-ENOEXEC, "truncated");
}

static void a_kernel_without_segments_is_refused(void **state)
{
	(void)state;
	text()->p_type = PT_NULL;
	data()->p_type = PT_DYNAMIC;
	refused(-ENOEXEC, "no segment to load");
}

static void an_entry_outside_the_segments_is_refused(void **state)
{
	Elf64_Ehdr *h = kernel_file_ehdr(&file);

	(void)state;
	/* The PVH entry is enough, and the other is not to be used. */
	h->e_entry = 0;
	assert_int_equal(load(), 0);
	assert_int_equal(image.entry, 0);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
	note()->p_type = PT_NULL;
	refused(-ENOEXEC, "entry is outside its segments");
	h->e_entry = KERNEL_FILE_TEXT_GPA - 1;
	refused(-ENOEXEC, "entry is outside its segments");
	h->e_entry = KERNEL_FILE_DATA_GPA + KERNEL_FILE_DATA_MEMORY;
	refused(-ENOEXEC, "entry is outside its segments");
	h->e_entry = UINT64_MAX;
	refused(-ENOEXEC, "entry is outside its segments");
	/* Between two segments there are only zeroes. */
	h->e_entry = KERNEL_FILE_TEXT_GPA + KERNEL_FILE_TEXT_BYTES;
	refused(-ENOEXEC, "entry is outside its segments");
	h->e_entry = KERNEL_FILE_DATA_GPA - 1;
	refused(-ENOEXEC, "entry is outside its segments");
	h->e_entry = KERNEL_FILE_TEXT_GPA;
	assert_int_equal(load(), 0);
	assert_int_equal(image.entry, KERNEL_FILE_TEXT_GPA);
	assert_int_equal(image.pvh_entry, 0);
}

static void what_cannot_be_read_is_said(void **state)
{
	(void)state;
	assert_int_equal(load_from(-1), -EBADF);
	assert_non_null(strstr(err.text, "can't be read"));
}

/* Whatever a file says, what comes out holds, and nothing else is touched. */
static void check_fuzzed(int rc)
{
	static const uint8_t zero[KERNEL_FILE_MIN_GPA];

	assert_memory_equal(mem.map, zero, KERNEL_FILE_MIN_GPA);
	assert_memory_equal(mem.map + RAM, zero, FENCE);
	if (rc) {
		assert_true(rc == -ENOEXEC || rc == -ENOMEM || rc == -EINVAL);
		assert_true(err.text[0]);
		return;
	}
	assert_true(image.start >= KERNEL_FILE_MIN_GPA);
	assert_true(image.start < image.end && image.end <= RAM);
	assert_true(image.entry || image.pvh_entry);
	assert_true(!image.entry ||
		    (image.entry >= image.start && image.entry < image.end));
	assert_true(!image.pvh_entry || (image.pvh_entry >= image.start &&
					 image.pvh_entry < image.end));
	assert_int_equal(image.header_len, 0);
}

static void mutate(void (*narrow)(struct kernel_file *))
{
	uint64_t seed = 0x6d6179666c79;
	unsigned i, loaded = 0;
	int fd = kernel_file_open(&file), rc;

	assert_true(fd > 0);
	for (i = 0; i < MUTATIONS; i++) {
		kernel_file_elf(&file);
		if (narrow)
			narrow(&file);
		if (i % 4)
			kernel_file_mutate(&file, 64 + 3 * 56, &seed);
		else
			kernel_file_mutate(&file, file.len, &seed);
		if (i % 4 == 1)
			kernel_file_notes(&file)[i / 4 % 20] ^=
				(uint8_t)kernel_file_random(&seed);
		assert_int_equal(kernel_file_rewrite(&file, fd), 0);
		rc = load_from(fd);
		check_fuzzed(rc);
		loaded += !rc;
	}
	close(fd);
	/* Both ways were taken, so the mutator neither spares nor kills all. */
	assert_in_range(loaded, MUTATIONS / 20, MUTATIONS * 19 / 20);
}

static void mutated_kernels_do_no_harm(void **state)
{
	(void)state;
	mutate(NULL);
#if defined(__x86_64__)
	mutate(kernel_file_narrow);
#endif
}

int main(void)
{
#define ON_FILE(f) cmocka_unit_test_setup(f, elf_bench_file)
	const struct CMUnitTest tests[] = {
		ON_FILE(a_whole_kernel_is_loaded),
		ON_FILE(position_independent_kernels_are_taken),
		ON_FILE(another_file_is_no_elf_file),
		ON_FILE(class_and_byte_order_matter),
		ON_FILE(another_machine_is_named),
		ON_FILE(an_object_file_is_no_kernel),
		ON_FILE(the_count_of_program_headers_is_bounded),
		ON_FILE(program_headers_have_one_size),
		ON_FILE(program_headers_outside_the_file_are_missed),
		ON_FILE(a_file_cut_anywhere_is_refused_or_whole),
		ON_FILE(a_segment_outside_memory_says_how_much_it_takes),
		ON_FILE(a_bss_outside_memory_is_seen_before_the_guest_runs),
		ON_FILE(low_memory_is_ours),
		ON_FILE(an_empty_segment_may_stand_anywhere),
		ON_FILE(a_segment_of_bss_alone_is_no_file_access),
		ON_FILE(segments_that_overlap_are_refused),
		ON_FILE(more_in_the_file_than_in_memory_is_impossible),
		ON_FILE(sums_that_overflow_are_impossible),
		ON_FILE(an_offset_that_no_file_has_cannot_be_read),
		ON_FILE(a_kernel_without_segments_is_refused),
		ON_FILE(an_entry_outside_the_segments_is_refused),
		ON_FILE(what_cannot_be_read_is_said),
		ON_FILE(mutated_kernels_do_no_harm),
	};

	return cmocka_run_group_tests_name("elf", tests, elf_bench_setup,
					   elf_bench_teardown);
}
