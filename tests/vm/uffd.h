#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the two ends of a restore by page faults agree on: the monitor connects
 * to the handler's socket and sends one message, a JSON array of regions, with
 * its userfaultfd as the one descriptor. Nothing follows; the socket stays open
 * as long as both live.
 */
enum { REGIONS_MAX = 8, MESSAGE_MAX = 4096 };

struct region {
	uint64_t base;	    /* where it lies in the monitor */
	uint64_t size;	    /* in bytes */
	uint64_t offset;    /* in the memory file */
	uint64_t page_size; /* in bytes */
};

/* Says what failed and why, and exits with 1. */
void die(const char *what) __attribute__((noreturn));

/* Of a message; -1 where it is none. */
int regions_parse(const char *text, struct region out[REGIONS_MAX]);
