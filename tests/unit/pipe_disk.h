#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/unit/block_bench.h"

/*
 * Requests that are in flight for as long as a test likes. A disk answers when
 * it likes; a pipe answers when we do. So once the device has opened its file,
 * and before its first request, a pipe takes the place of the descriptor: reads
 * wait until the test feeds the pipe, and what is written comes out of it.
 * Syncs and discards fail on a pipe, which tells that they were tried.
 *
 * For the Async engine: the other one would wait for ever.
 */

/* The test's ends; neither of them blocks. */
extern int pipe_in, pipe_out;

/* bench_setup_up(), with a pipe; and likewise for a disk of that size. */
int pipe_disk_setup(void **state);
int pipe_disk_setup_with(off_t bytes, bool is_writeback);
/* Whatever is still in flight is given what it waits for. */
int pipe_disk_teardown(void **state);

/* Puts a pipe into the place of the file that the device has just opened. */
void pipe_disk_open(void);

/* The disk says something: so many bytes of what. */
void feed(size_t bytes, uint8_t what);

/* Makes chain `at` of three descriptors a read of bytes to GOT_GPA + to. */
void describe_read(uint16_t at, size_t to, uint32_t bytes);
/* Offers n reads of a sector, all to the same place, and serves them. */
void begin_reads(unsigned n);
/* How many requests the driver has seen no answer to. */
unsigned unanswered(void);
/* Takes the answers of n requests, each of so many bytes. */
void take_answers(unsigned n, uint32_t bytes);
