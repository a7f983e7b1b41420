/* ELF files of 32 bits: kernels of other people's, which have a PVH note. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/elf_bench.h"

static void a_32_bit_kernel_is_entered_by_its_note(void **state)
{
	(void)state;
	kernel_file_narrow(&file);
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
	assert_int_equal(image.entry, 0);
	assert_int_equal(image.start, KERNEL_FILE_TEXT_GPA);
	assert_int_equal(image.end,
			 KERNEL_FILE_DATA_GPA + KERNEL_FILE_DATA_MEMORY);
	assert_int_equal(mem.map[KERNEL_FILE_TEXT_GPA], 0x90);
	assert_int_equal(mem.map[KERNEL_FILE_DATA_GPA], 0xd5);
}

static void a_32_bit_kernel_without_the_note_has_no_entry(void **state)
{
	(void)state;
	kernel_file_phdr(&file, KERNEL_FILE_NOTE)->p_type = PT_NULL;
	kernel_file_narrow(&file);
	refused(-ENOEXEC, "is a 32-bit ELF file without a PVH note");
}

/* Class and machine belong together. */
static void a_32_bit_file_is_for_a_32_bit_machine(void **state)
{
	(void)state;
	kernel_file_ehdr(&file)->e_machine = EM_386;
	refused(-ENOEXEC, "another machine (ELF machine 3,");
	kernel_file_elf(&file);
	kernel_file_narrow(&file);
	kernel_file_ehdr32(&file)->e_machine = EM_X86_64;
	refused(-ENOEXEC, "another machine (ELF machine 62,");
	kernel_file_ehdr32(&file)->e_machine = EM_ARM;
	refused(-ENOEXEC, "another machine (ELF machine 40,");
}

static void a_32_bit_file_is_judged_as_hard(void **state)
{
	const size_t whole = file.len;
	const Elf64_Phdr *data = kernel_file_phdr(&file, KERNEL_FILE_DATA);
	const uint64_t data_end = data->p_offset + data->p_filesz;
	size_t len;

	(void)state;
	kernel_file_narrow(&file);
	for (len = 0; len < data_end; len++) {
		file.len = len;
		refused(-ENOEXEC,
			len < sizeof(Elf32_Ehdr) ? "too short" : "truncated");
	}
	file.len = whole;
	kernel_file_ehdr32(&file)->e_phentsize = sizeof(Elf64_Phdr);
	refused(-ENOEXEC, "3 program headers of 56 bytes; 1 to 64 of 32");
	kernel_file_ehdr32(&file)->e_phentsize = sizeof(Elf32_Phdr);
	kernel_file_ehdr32(&file)->e_phnum = 65;
	refused(-ENOEXEC, "65 program headers");
	kernel_file_ehdr32(&file)->e_phnum = 3;
	kernel_file_ehdr32(&file)->e_phoff = UINT32_MAX;
	refused(-ENOEXEC, "truncated before its program headers");
}

int main(void)
{
#define ON_FILE(f) cmocka_unit_test_setup(f, elf_bench_file)
	const struct CMUnitTest tests[] = {
		ON_FILE(a_32_bit_kernel_is_entered_by_its_note),
		ON_FILE(a_32_bit_kernel_without_the_note_has_no_entry),
		ON_FILE(a_32_bit_file_is_for_a_32_bit_machine),
		ON_FILE(a_32_bit_file_is_judged_as_hard),
	};

	return cmocka_run_group_tests_name("elf32", tests, elf_bench_setup,
					   elf_bench_teardown);
}
