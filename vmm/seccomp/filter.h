#pragma once

#include <linux/filter.h>
#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/seccomp/rules.h"

/*
 * Puts filters on. The programs are made from rules.c when mayfly is built
 * (generate.c); a sanitizer's build has none, because the sanitizers' own run
 * time makes calls of its own.
 */

/* Whether this build has filters at all. */
bool filter_is_built_in(void);

/*
 * Forbids the calling process, for good, to gain privileges by execve(), which
 * the kernel wants of whoever filters. Before there are other threads.
 * Returns 0 or a negative errno.
 */
int filter_prepare(struct err *e);

/*
 * Confines the calling thread, and those it makes, to the calls of its table.
 * Anything else raises SIGSYS. It can't be taken off again. One system call, of
 * 0.1 ms. Returns 0 or a negative errno. Thread: any.
 */
int filter_load(enum filter_kind kind, struct err *e);

/* The same with a program of the caller's; NULL filters are skipped. */
int filter_load_program(const struct sock_fprog *program, struct err *e);

/*
 * The name of a system call by its number, "?" where there is none of this
 * number. Async-signal-safe.
 */
const char *filter_call_name(int number);
