/* A kernel file, the memory it is loaded into, and what must come of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/elf_bench.h"

struct guest_mem mem;
struct kernel_file file;
struct kernel_image image;
struct err err;

int elf_bench_setup(void **state)
{
	const struct guest_range ram = {0, RAM + FENCE};

	(void)state;
	if (guest_mem_open(&mem, &ram, 1,
			   &(struct guest_mem_backing){GUEST_MEM_SMALL}, NULL))
		return -1;
	mem.regions[0].size = RAM;
	return 0;
}

int elf_bench_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

int elf_bench_file(void **state)
{
	(void)state;
	kernel_file_elf(&file);
	memset(&err, 0, sizeof(err));
	memset(mem.map, 0, mem.size);
	return 0;
}

int load_from(int fd)
{
	struct boot_file f = {.fd = fd};
	const ssize_t len = pread(fd, f.head, sizeof(f.head), 0);

	f.head_len = len > 0 ? (size_t)len : 0;
	memset(&err, 0, sizeof(err));
	return elf_load(&f, &mem, KERNEL_FILE_MIN_GPA, &image, &err);
}

int load(void)
{
	int fd = kernel_file_open(&file), rc;

	assert_true(fd > 0);
	memset(&image, 0xa5, sizeof(image));
	rc = load_from(fd);
	close(fd);
	assert_int_equal(rc, err.code);
	return rc;
}

void refused(int code, const char *words)
{
	assert_int_equal(load(), code);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" lacks \"%s\"", err.text, words);
}

Elf64_Phdr *text(void)
{
	return kernel_file_phdr(&file, KERNEL_FILE_TEXT);
}

Elf64_Phdr *data(void)
{
	return kernel_file_phdr(&file, KERNEL_FILE_DATA);
}

Elf64_Phdr *note(void)
{
	return kernel_file_phdr(&file, KERNEL_FILE_NOTE);
}
