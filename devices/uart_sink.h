#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/* Where a serial port's output goes. Thread: one at a time. */
struct uart_sink {
	int fd;		  /* owned, but stdout; -1 for nowhere */
	bool is_known;	  /* what follows is: from the first output on */
	bool is_file;	  /* a regular one, which says that it is ready */
	bool may_wait;	  /* and a write may wait all the same */
	bool is_bounded;  /* a file that must not grow for ever */
	uint64_t base;	  /* bytes that stood in it before us */
	uint64_t written; /* bytes of ours in it */
};

/* So much of the guest's output a bounded file holds. */
enum { UART_SINK_FILE_MAX = 16 << 20 };

/*
 * Writes to standard output where fd is that, else to a copy of its own.
 * Returns 0 or a negative errno.
 */
int uart_sink_open(struct uart_sink *s, int fd, struct err *e);

/*
 * Has it hold at most UART_SINK_FILE_MAX bytes of ours, where it is a regular
 * file: then what we wrote is cut off and it begins anew. It must be open for
 * appending.
 */
void uart_sink_bound(struct uart_sink *s);
void uart_sink_close(struct uart_sink *s);

/*
 * Whether writes may wait for long: into a file of another host's or of a
 * process's (NFS, FUSE), and into any in which one has done so. Then that stays
 * true.
 */
bool uart_sink_may_wait(struct uart_sink *s);

/*
 * As fd_write_ready(): never waits, but for a file. Without a descriptor all is
 * taken.
 */
ssize_t uart_sink_write(struct uart_sink *s, const void *bytes, size_t len);
