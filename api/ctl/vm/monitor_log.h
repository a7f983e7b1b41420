#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * The monitor's stderr, kept in a file of bounded size. The monitor has the end
 * of a pipe and no file: it may be a guest's by now, and whatever it writes,
 * and however fast, is bounded by who reads it. What came first says how it
 * began and stays; when the file is full, what came later begins anew behind
 * it.
 *
 * Nobody waits: what a full pipe does not take is lost to the log.
 */
enum { MONITOR_LOG_MAX = 512 << 10, MONITOR_LOG_FIRST = MONITOR_LOG_MAX / 2 };

#define MONITOR_LOG_FILE "monitor.log"

struct monitor_log {
	int fd;	      /* owned: the file; -1 while closed */
	int pipe_fd;  /* owned: its reader's end */
	int write_fd; /* owned: the monitor's, until it has it */
};

int monitor_log_open(struct monitor_log *log, const char *path, struct err *e);

/*
 * Writes what has come. -EAGAIN where more may come, -EPIPE where nobody is
 * left who could write.
 */
int monitor_log_drain(struct monitor_log *log);

/* "the monitor ended", and its last line as the best reason there is. */
void monitor_log_said(const char *path, char *out, size_t size);

/* Accepts one whose descriptors are -1. */
void monitor_log_close(struct monitor_log *log);
