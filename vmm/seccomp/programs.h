#pragma once

#include <linux/filter.h>
#include <stdint.h>

#include "vmm/seccomp/rules.h"

/* Made by vmm/seccomp/generate.c when mayfly is built. */

extern const struct sock_filter *const programs[FILTERS];
extern const uint16_t program_lengths[FILTERS]; /* instructions */

/*
 * Names of system calls by number: where each begins in the text, 0 for none.
 * Not pointers, which would have to be relocated at each start.
 */
extern const char call_name_text[];
extern const uint16_t call_names[];
extern const unsigned call_name_count;
