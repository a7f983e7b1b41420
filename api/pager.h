#pragma once

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

struct confine;

/*
 * The backend Uffd: a process that listens at path has the guest's memory.
 * Sends it where the memory is, and the descriptor by which it gives pages, and
 * has a thread end this process, with a sentence, when it closes the
 * connection: without it the guest, and we, would wait for ever. Everything
 * stays until the process ends. Thread: the loop's, before anybody touches the
 * memory.
 */
int pager_open(const struct guest_mem *m, const char *path,
	       const struct confine *confine, struct err *e);
