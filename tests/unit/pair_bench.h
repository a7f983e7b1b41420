#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/state/file.h"

/*
 * A folder for each test, which is the working one, and pairs in it that tell
 * which save they are of: the state names a number, the memory is full of it.
 */
enum { PAIR_MEM_LEN = 8 * 4096 };

/* A third file of saves and looks, full of the number too; NULL for none. */
extern const char *pair_bench_beside;

int pair_bench_enter(void **state);
int pair_bench_leave(void **state);

/* How many names the folder has. */
unsigned pair_bench_entries(void);

/* Writes the memory of save number n; returns the state's bytes, to be freed.
 */
uint8_t *pair_bench_fill(struct state_pair *p, uint32_t n, size_t *len);

/* A whole save; aborts where it fails. */
void pair_bench_save(const char *state, const char *mem, uint32_t n,
		     bool want_sync);

/*
 * The number of the save that is there, 0 where there is none. Aborts where a
 * file is broken, or one of each of two saves is there.
 */
uint32_t pair_bench_look(const char *state, const char *mem);
