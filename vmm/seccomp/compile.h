#pragma once

#include <linux/filter.h>

#include "vmm/base/err.h"
#include "vmm/seccomp/rules.h"

/* Whose system calls they are, as libseccomp has it. */
#ifndef FILTER_ARCH
#define FILTER_ARCH SCMP_ARCH_NATIVE
#endif

/*
 * From tables to a program of the kernel's BPF, by libseccomp: calls of another
 * architecture kill the process, what no rule names raises SIGSYS. tables are
 * count of them, of which a call has to pass one. The program's instructions
 * are the caller's to free(). Takes milliseconds: used when mayfly is built,
 * and at run time only for a policy of the user's. Returns 0 or a negative
 * errno.
 */
int compile_rules(const struct rules *const tables[], unsigned count,
		  struct sock_fprog *out, struct err *e);

/* The tables that the program of a kind is made of; returns how many. */
unsigned compile_tables(enum filter_kind kind,
			const struct rules *const tables[FILTERS],
			const struct rules *out[FILTERS]);
