#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * The tools that do the work, as child processes. One runs at a time, in the
 * import's folder and in a process group of its own, and dies with us.
 *
 * image_tool_begin() blocks SIGINT, SIGTERM and SIGHUP for the whole import;
 * the first that comes ends the tool and whatever waits, with -EINTR.
 */
struct image_tools {
	int signals;   /* signalfd */
	sigset_t mask; /* the caller's */
	int folder; /* borrowed: import; where tools may write, their TMPDIR */
	const char *temp; /* borrowed: import; the path of folder */
	/*
	 * Called ten times a second with how many bytes the tool has read
	 * and written so far. May be NULL.
	 */
	void (*tick)(void *ctx, uint64_t read, uint64_t written);
	void *ctx;
};

struct image_tool {
	const char *const *argv; /* argv[0] is looked for in PATH */
	const char *const *env;	 /* "NAME=value", more than it inherits; NULL */
	const char *input;	 /* a file for stdin, NULL for none */
	unsigned walls;		 /* enum image_wall */
	/*
	 * Reads its output as it comes: every byte goes to sink, until that
	 * returns other than 0, which ends the tool and is the result. With a
	 * NULL sink up to 8 MiB are collected in *out (owned by the caller,
	 * NUL-terminated), or, with a NULL out, output counts as words of the
	 * tool, like its stderr.
	 */
	int (*sink)(void *ctx, const void *data, size_t len, struct err *e);
	void *sink_ctx;
	char **out;
	size_t *out_len; /* may be NULL */
};

int image_tools_begin(struct image_tools *t, struct err *e);
void image_tools_end(struct image_tools *t);

/* -EINTR with a sentence if a signal has come. */
int image_tools_check(struct image_tools *t, struct err *e);

/* The same after waiting a moment: for locks that others hold. */
int image_tools_pause(struct image_tools *t, struct err *e);

/*
 * Runs it to its end. 0 where it ended with 0; -EINTR; -ENOENT where it is not
 * installed, with the package to install; -ENOSPC where the disk is full; else
 * -EIO with the last line it said.
 */
int image_tool_run(struct image_tools *t, const struct image_tool *tool,
		   struct err *e);
