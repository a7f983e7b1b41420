#pragma once

#include "tests/unit/kernel_file.h"
#include "vmm/arch/x86_64/elf.h"

/*
 * A whole kernel file, broken by a test, and the loading of it. Include
 * cmocka's headers before.
 */
enum { RAM = 0x100000, FENCE = 0x1000 };

extern struct guest_mem mem;
extern struct kernel_file file;
extern struct kernel_image image; /* of the last load() */
extern struct err err;

/* RAM ends a page before its mapping does, so that we see a write behind it. */
int elf_bench_setup(void **state);
int elf_bench_teardown(void **state);

/* Before each test: a whole kernel, and empty memory. */
int elf_bench_file(void **state);

/* Loads the file as it is now; what fd has. */
int load(void);
int load_from(int fd);

/* The load is refused with this code and with these words. */
void refused(int code, const char *words);

Elf64_Phdr *text(void);
Elf64_Phdr *data(void);
Elf64_Phdr *note(void);
