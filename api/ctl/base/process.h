#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/* Processes and small files of the host, as mayctl needs them. */

/*
 * When a process was started, in clock ticks since the host was: 0 where there
 * is none of that pid, or only its corpse.
 */
uint64_t process_start_time(pid_t pid);

/* pidfd_open(): a descriptor that is readable when the process has ended. */
int process_open(pid_t pid);

/*
 * Whatever somebody waits to see closed is let go of: stdin and stdout become
 * /dev/null, and stderr log, which is borrowed, or /dev/null where it is -1.
 */
void process_leave_streams(int log);

/* Sends a signal through a pidfd. 0 or a negative errno. */
int process_signal(int pidfd, int signal);

/*
 * Waits for the end, at most timeout_ms (-1: for ever). 0, or -ETIMEDOUT.
 */
int process_wait(int pidfd, int timeout_ms);

/*
 * Runs a program with stdin from /dev/null and waits for it; what it writes to
 * stderr (its first 400 bytes) ends up in the sentence where it fails. argv
 * ends with NULL; argv[0] is looked up in PATH. -EINTR where a signal that is
 * heeded (interrupt.h) has ended it.
 */
int process_run(const char *const argv[], struct err *e);

/*
 * As process_run(); *out is what it wrote to stdout: owned, NUL-terminated, at
 * most max bytes.
 */
int process_ask(const char *const argv[], size_t max, char **out,
		struct err *e);

/* As process_run(), with text on its stdin. */
int process_feed(const char *const argv[], const char *text, struct err *e);

/*
 * Reads a whole file of at most max bytes into *out: owned, NUL-terminated.
 */
int process_read_file(const char *path, size_t max, char **out, struct err *e);

/* Replaces a file by a text, by rename: a reader sees the old or the new. */
int process_write_file(const char *path, const char *text, struct err *e);

/*
 * The directory of this program, without a slash at its end, links resolved.
 */
int process_own_dir(char *out, size_t size, struct err *e);
