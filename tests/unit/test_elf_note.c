/* The notes of an ELF file, where a kernel says how it is entered. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/elf_bench.h"

/* Replaces the notes by one of this name, type and descriptor. */
static void renote(const char *name, uint32_t type, uint64_t entry,
		   uint32_t desc_len)
{
	size_t at = note()->p_offset;

	kernel_file_put_note(&file, &at, name, type, &entry, desc_len);
	note()->p_filesz = at - note()->p_offset;
}

static void a_pvh_entry_outside_the_segments_is_refused(void **state)
{
	(void)state;
	renote("Xen", 18, 0x1000, 4);
	refused(-ENOEXEC, "PVH entry 0x1000 is outside");
	renote("Xen", 18, UINT64_MAX, 8);
	refused(-ENOEXEC, "PVH entry 0xffffffffffffffff is outside");
}

static void a_pvh_entry_may_have_eight_bytes(void **state)
{
	(void)state;
	renote("Xen", 18, KERNEL_FILE_PVH_ENTRY, 8);
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
}

static void other_notes_tell_no_entry(void **state)
{
	static const struct {
		const char *name;
		uint32_t type, desc_len;
	} others[] = {
		{"Xen", 17, 4}, {"GNU", 18, 4},	 {"Xe", 18, 4},
		{"Xen", 18, 0}, {"Xen", 18, 2},	 {"Xen", 18, 5},
		{"Xen", 18, 7}, {"XenX", 18, 4}, {"", 18, 4},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		renote(others[i].name, others[i].type, KERNEL_FILE_PVH_ENTRY,
		       others[i].desc_len);
		assert_int_equal(load(), 0);
		assert_int_equal(image.pvh_entry, 0);
		assert_int_equal(image.entry, KERNEL_FILE_ENTRY);
	}
}

static void the_entry_is_found_behind_other_notes(void **state)
{
	const uint64_t entry = KERNEL_FILE_PVH_ENTRY;
	size_t at = note()->p_offset;

	(void)state;
	kernel_file_put_note(&file, &at, "GNU", 3, "twenty bytes of text", 20);
	kernel_file_put_note(&file, &at, "odd", 1, "abc", 3);
	kernel_file_put_note(&file, &at, "long name", 1, "", 0);
	kernel_file_put_note(&file, &at, "Xen", 5, "6.1", 4);
	kernel_file_put_note(&file, &at, "Xen", 18, &entry, 4);
	file.len = at;
	note()->p_filesz = at - note()->p_offset;
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
}

/* As linkers have it. A segment that has half of it is as good as none. */
static void notes_in_a_segment_are_found_where_it_was_loaded(void **state)
{
	const uint64_t all = KERNEL_FILE_DATA_BYTES;
	uint64_t i;

	(void)state;
	renote("Xen", 18, KERNEL_FILE_PVH_ENTRY, 4);
	memcpy(file.bytes + data()->p_offset + all - note()->p_filesz,
	       kernel_file_notes(&file), note()->p_filesz);
	note()->p_offset = data()->p_offset + all - note()->p_filesz;
	for (i = 0; i <= note()->p_filesz; i++) {
		data()->p_filesz = all - i;
		assert_int_equal(load(), 0);
		assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
	}
	/* The segment's bytes are the file's at another place in memory. */
	data()->p_filesz = all;
	data()->p_paddr += 0x123;
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
}

static void broken_notes_are_no_entry_and_no_harm(void **state)
{
	static const uint32_t sizes[] = {5,	     0x7fffffff, 0x80000000,
					 0xfffffff4, 0xfffffffc, 0xffffffff};
	size_t i;

	(void)state;
	for (i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		kernel_file_elf(&file);
		memcpy(kernel_file_notes(&file) + 4 * (i % 2), &sizes[i / 2],
		       4);
		assert_int_equal(load(), 0);
		assert_int_equal(image.pvh_entry, 0);
	}
	/* Cut at each byte of the one note. */
	kernel_file_elf(&file);
	for (i = 0; i < 20; i++) {
		note()->p_filesz = i;
		assert_int_equal(load(), 0);
		assert_int_equal(image.pvh_entry, 0);
	}
}

static void a_note_segment_outside_the_file_tells_nothing(void **state)
{
	(void)state;
	note()->p_offset = UINT64_MAX;
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, 0);
	kernel_file_elf(&file);
	note()->p_filesz = UINT64_MAX;
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, 0);
}

int main(void)
{
#define ON_FILE(f) cmocka_unit_test_setup(f, elf_bench_file)
	const struct CMUnitTest tests[] = {
		ON_FILE(a_pvh_entry_outside_the_segments_is_refused),
		ON_FILE(a_pvh_entry_may_have_eight_bytes),
		ON_FILE(other_notes_tell_no_entry),
		ON_FILE(the_entry_is_found_behind_other_notes),
		ON_FILE(notes_in_a_segment_are_found_where_it_was_loaded),
		ON_FILE(broken_notes_are_no_entry_and_no_harm),
		ON_FILE(a_note_segment_outside_the_file_tells_nothing),
	};

	return cmocka_run_group_tests_name("elf_note", tests, elf_bench_setup,
					   elf_bench_teardown);
}
