#pragma once

#include <elf.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/bootparam.h>

#include "vmm/mem/guest_mem.h"

/*
 * Kernels that boot nothing: small files of the right form, for tests of what
 * reads them. A test makes a whole one, breaks it in one place and loads it.
 */
enum {
	KERNEL_FILE_MAX = 16384,
	KERNEL_FILE_MIN_GPA = 0x10000, /* what tests pass as min_gpa */
	KERNEL_FILE_TEXT_GPA = 0x20000,
	KERNEL_FILE_TEXT_BYTES = 0x200,
	KERNEL_FILE_DATA_GPA = 0x22000,
	KERNEL_FILE_DATA_BYTES = 0x100,
	KERNEL_FILE_DATA_MEMORY = 0x1000, /* the rest is .bss */
	KERNEL_FILE_ENTRY = KERNEL_FILE_TEXT_GPA + 0x10,
	KERNEL_FILE_PVH_ENTRY = KERNEL_FILE_TEXT_GPA + 0x20,
	/* The bzImage: a setup part of two sectors, then 4 KiB of kernel. */
	KERNEL_FILE_SETUP_BYTES = 3 * 512,
	KERNEL_FILE_PROTECTED_BYTES = 4096,
	KERNEL_FILE_PREF_GPA = 0x40000,
	KERNEL_FILE_INIT_BYTES = 0x8000,
};

/* The order of the ELF file's program headers. */
enum { KERNEL_FILE_TEXT, KERNEL_FILE_DATA, KERNEL_FILE_NOTE };

struct kernel_file {
	alignas(8) uint8_t bytes[KERNEL_FILE_MAX];
	size_t len;
};

/* A vmlinux: .text, .data with .bss, and a note that tells the PVH entry. */
void kernel_file_elf(struct kernel_file *f);

/* Makes an ELF file of it that says the same in the headers of 32 bits. */
void kernel_file_narrow(struct kernel_file *f);

/* A relocatable bzImage of boot protocol 2.15. */
void kernel_file_bzimage(struct kernel_file *f);

/* Places in the bytes, to read or to break. */
Elf64_Ehdr *kernel_file_ehdr(struct kernel_file *f);
Elf32_Ehdr *kernel_file_ehdr32(struct kernel_file *f);
Elf64_Phdr *kernel_file_phdr(struct kernel_file *f, unsigned index);
uint8_t *kernel_file_notes(struct kernel_file *f);
struct setup_header *kernel_file_setup(struct kernel_file *f);

/* One ELF note at *at, which moves past it. */
void kernel_file_put_note(struct kernel_file *f, size_t *at, const char *name,
			  uint32_t type, const void *desc, uint32_t desc_len);

/* A memfd with the bytes in it; -1 where the host has none. */
int kernel_file_open(const struct kernel_file *f);

/* Writes the bytes over what a memfd holds, cut or grown to their length. */
int kernel_file_rewrite(const struct kernel_file *f, int fd);

/* The same numbers for the same seed, on every host. seed is not 0. */
uint32_t kernel_file_random(uint64_t *seed);

/*
 * Breaks a few places among the first `among` bytes: flips bits, writes words
 * that are known to hurt, and now and then cuts the file.
 */
void kernel_file_mutate(struct kernel_file *f, size_t among, uint64_t *seed);
