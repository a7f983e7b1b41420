#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * Making microVMs takes what waits: files, processes, the kernel's locks. The
 * front waits for nothing, so all of it is done by children that are mayctl
 * themselves: what they leave when they die, the next mayctl tidies up.
 */
enum { MAKER_WORDS_MAX = 64, MAKER_SAID_MAX = 400 };

struct maker {
	struct loop *loop; /* borrowed */
	struct loop_watch watch;
	int fd; /* owned; a pidfd */
	pid_t pid;
	int said_fd; /* owned; what it writes to stderr */
	/* ok: it ended with 0; else said is its last sentence. */
	void (*ended)(struct maker *m, bool is_ok, const char *said);
};

/*
 * Starts `mayctl WORDS`, words ending with NULL. ended() is called from the
 * loop, once.
 */
int maker_start(struct maker *m, struct loop *loop, const char *const *words,
		struct err *e);

bool maker_is_busy(const struct maker *m);

/* Kills it; ended() is not called. Accepts a zeroed one. */
void maker_stop(struct maker *m);
