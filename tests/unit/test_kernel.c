/* Which loader a kernel file gets, and what is said of files that get none. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/kernel_file.h"
#include "vmm/arch/x86_64/load.h"
#include "vmm/boot/kernel.h"

enum { RAM = 0x100000, MUTATIONS = 20000 };

static struct guest_mem mem;
static struct kernel_file file;
static struct kernel_image image;
static struct err err;

static int mem_setup(void **state)
{
	const struct guest_range ram = {0, RAM};

	(void)state;
	return guest_mem_open(&mem, &ram, 1,
			      &(struct guest_mem_backing){GUEST_MEM_SMALL},
			      NULL);
}

static int mem_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

/* Those of x86_64, from the files' first address on. */
static const struct kernel_formats *formats(void)
{
	static struct kernel_formats lower;

	lower = load_formats;
	lower.min_gpa = KERNEL_FILE_MIN_GPA;
	return &lower;
}

static int load(void)
{
	int fd = kernel_file_open(&file), rc;

	assert_true(fd > 0);
	memset(&err, 0, sizeof(err));
	rc = kernel_load(fd, "/k/vmlinux", &mem, formats(), &image, &err);
	close(fd);
	assert_int_equal(rc, err.code);
	return rc;
}

/* The whole sentence for a file of these bytes. */
static void refused(const void *bytes, size_t len, const char *sentence)
{
	memset(&file, 0, sizeof(file));
	memcpy(file.bytes, bytes, len);
	file.len = len;
	assert_int_equal(load(), -ENOEXEC);
	assert_string_equal(err.text, sentence);
}

static void both_forms_are_loaded(void **state)
{
	(void)state;
	kernel_file_elf(&file);
	assert_int_equal(load(), 0);
	assert_int_equal(image.pvh_entry, KERNEL_FILE_PVH_ENTRY);
	kernel_file_bzimage(&file);
	assert_int_equal(load(), 0);
	assert_int_equal(image.entry, KERNEL_FILE_PREF_GPA + 0x200);
	assert_int_equal(image.pvh_entry, 0);
}

static void an_empty_file_is_called_so(void **state)
{
	(void)state;
	refused("", 0, "the kernel /k/vmlinux is empty");
}

static void files_given_by_mistake_are_named(void **state)
{
	static const struct {
		const char *bytes, *what;
	} mistakes[] = {
		{"\x1f\x8b\x08", "a gzip file"},
		{"\x28\xb5\x2f\xfd\x04", "a zstd file"},
		{"\xfd\x37zXZ", "an xz file"},
		{"BZh91AY", "a bzip2 file"},
		{"07070100", "a cpio archive (an initrd?)"},
		{"!<arch>\n", "an archive (a package?)"},
		{"#!/bin/sh\n", "a script"},
	};
	char sentence[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		snprintf(sentence, sizeof(sentence),
			 "the kernel /k/vmlinux is %s; give an uncompressed "
			 "vmlinux (ELF) or a bzImage",
			 mistakes[i].what);
		refused(mistakes[i].bytes, strlen(mistakes[i].bytes), sentence);
	}
}

static void a_stranger_is_no_kernel(void **state)
{
	static const char sentence[] =
		"the kernel /k/vmlinux is not a kernel; give an uncompressed "
		"vmlinux (ELF) or a bzImage";
	char zero[1024] = {0};

	(void)state;
	refused(zero, sizeof(zero), sentence);
	refused("\x7f", 1, sentence);
	refused("\x1f", 1, sentence);
	refused("0707", 4, sentence);
	refused("\x7f"
		"EL",
		3, sentence);
}

static void a_loader_s_sentence_gets_the_name(void **state)
{
	(void)state;
	refused("\x7f"
		"ELF",
		4, "the kernel /k/vmlinux is too short for an ELF header");
	kernel_file_bzimage(&file);
	file.len = 0x206;
	assert_int_equal(load(), -ENOEXEC);
	assert_string_equal(err.text, "the kernel /k/vmlinux is truncated "
				      "inside its setup header");
	kernel_file_elf(&file);
	kernel_file_phdr(&file, KERNEL_FILE_DATA)->p_paddr = 64 << 20;
	assert_int_equal(load(), -ENOMEM);
	assert_string_equal(err.text,
			    "the kernel /k/vmlinux needs guest memory up to "
			    "0x4001000; give the machine at least 65 MiB");
}

static void a_folder_is_no_kernel(void **state)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(fd > 0);
	assert_int_equal(kernel_load(fd, "/tmp", &mem, formats(), &image, &err),
			 -EISDIR);
	assert_string_equal(err.text,
			    "can't read the kernel /tmp: Is a directory");
	close(fd);
}

static void a_pipe_is_no_kernel(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(
		kernel_load(ends[0], "fifo", &mem, formats(), &image, &err),
		-ESPIPE);
	assert_non_null(strstr(err.text, "fifo"));
	close(ends[0]);
	close(ends[1]);
}

/* A path of any length leaves a sentence that ends. */
static void a_long_path_is_cut(void **state)
{
	static char path[4096];
	int fd;

	(void)state;
	memset(path, 'p', sizeof(path) - 1);
	memset(&file, 0, sizeof(file));
	fd = kernel_file_open(&file);
	assert_true(fd > 0);
	assert_int_equal(kernel_load(fd, path, &mem, formats(), &image, &err),
			 -ENOEXEC);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	close(fd);
}

static void mutated_first_bytes_do_no_harm(void **state)
{
	uint64_t seed = 0x6b65726e656c;
	unsigned i, loaded = 0;
	int fd, rc;

	(void)state;
	kernel_file_elf(&file);
	fd = kernel_file_open(&file);
	assert_true(fd > 0);
	for (i = 0; i < MUTATIONS; i++) {
		if (i % 2)
			kernel_file_elf(&file);
		else
			kernel_file_bzimage(&file);
		kernel_file_mutate(&file, 0x280, &seed);
		assert_int_equal(kernel_file_rewrite(&file, fd), 0);
		memset(&err, 0, sizeof(err));
		rc = kernel_load(fd, "k", &mem, formats(), &image, &err);
		assert_true(rc <= 0);
		assert_true(!rc || !strncmp(err.text, "the kernel k ", 13));
		assert_true(rc || image.end <= RAM);
		loaded += !rc;
	}
	close(fd);
	assert_in_range(loaded, MUTATIONS / 20, MUTATIONS * 19 / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_forms_are_loaded),
		cmocka_unit_test(an_empty_file_is_called_so),
		cmocka_unit_test(files_given_by_mistake_are_named),
		cmocka_unit_test(a_stranger_is_no_kernel),
		cmocka_unit_test(a_loader_s_sentence_gets_the_name),
		cmocka_unit_test(a_folder_is_no_kernel),
		cmocka_unit_test(a_pipe_is_no_kernel),
		cmocka_unit_test(a_long_path_is_cut),
		cmocka_unit_test(mutated_first_bytes_do_no_harm),
	};

	return cmocka_run_group_tests_name("kernel", tests, mem_setup,
					   mem_teardown);
}
