#pragma once

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

struct confine;

/*
 * The backend Uffd: a process that listens at path has the guest's memory.
 * Sends it where the memory is, and the descriptor by which it gives pages, and
 * has a thread end this process, with a sentence, when it closes the
 * connection: without it the guest, and we, would wait for ever. The thread
 * also ends it where a signal waits in signal_fd and nobody takes it, as when
 * this thread waits for a page of a handler that says nothing. Everything stays
 * until the process ends. Thread: the loop's, before anybody touches the
 * memory.
 */
int pager_open(const struct guest_mem *m, const char *path, int signal_fd,
	       const struct confine *confine, struct err *e);

/*
 * The process ends, with that status at the latest in two seconds: its vCPUs
 * may wait for pages. Nothing where there is no pager. Thread: the loop's.
 */
void pager_end(int status);
