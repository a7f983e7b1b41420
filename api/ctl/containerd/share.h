#pragma once

#include "api/ctl/agent/session.h"
#include "vmm/event/loop.h"

/*
 * Directories of the host's that a kubelet writes and the guest has copies of:
 * what changes there changes here. For the containers of one microVM.
 */
struct share;

struct shares {
	struct loop *loop;	 /* borrowed, as the words */
	const char *socket, *id; /* the microVM's; the shim's, for its log */
	struct loop_watch watch;
	int fd;		    /* owned: inotify's; -1 while nothing is watched */
	struct share *list; /* owned */
};

/*
 * A container runs that has the directory path as m, which is shared. What has
 * changed since m was read is told the guest as well, and what changes from
 * then on, also while nobody has it: the guest keeps its copy for who comes
 * next.
 */
void share_join(struct shares *all, const char *path,
		const struct session_mount *m);

/*
 * Nobody knows which state of it the guest has: with the next container that
 * has it, it is sent whatever the guest was told before.
 */
void share_doubt(struct shares *all, const char *path,
		 const struct session_mount *m);

/* The microVM ends. Accepts what was never used. */
void shares_end(struct shares *all);
