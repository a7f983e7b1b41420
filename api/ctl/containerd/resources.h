#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

enum { RESOURCES_MAX = 64 };

/*
 * What the OCI's "resources" allow a container, as limits of a control group of
 * version 2 (runtime-spec's config-linux.md; what of version 1 becomes what is
 * as runc and crun have it). Of processors and memory of the host itself (CPU
 * and node numbers, hugetlb, RDMA, swap) nothing is taken: a guest has its own.
 * Rules for devices are spec_walls.h's.
 */
struct resources {
	char *words[2 * RESOURCES_MAX + 1]; /* owned: a file, its value, … */
	size_t count;
	uint64_t memory_bytes; /* 0 for no limit */
	uint32_t cpus;	       /* how many the quota fills; 0 for none */
};

/* json may be NULL, which is no limits. resources_fini() after a failure, too.
 */
int resources_take(struct resources *r, const json_t *json, struct err *e);

/* Of an Update: the JSON of them. */
int resources_parse(struct resources *r, const char *text, size_t len,
		    struct err *e);

/* Accepts a zeroed struct. */
void resources_fini(struct resources *r);
