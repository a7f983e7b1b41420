#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * Jails as they lie on the disk: BASE/PROGRAM/ID/root, beside it the list of
 * the jail's cgroups. What is in root belongs to whoever was confined there, so
 * nothing in it is believed: a process is in a jail if its root directory, as
 * /proc says, is the jail's.
 */

enum { JAIL_PIDS_MAX = 8, JAIL_CGROUPS_TEXT = 8192 };

struct jail_entry {
	char program[256];
	char id[256];
	dev_t device; /* of root */
	ino_t inode;
	bool was_started; /* there is a PID file, or root is the jail's user's
			   */
	unsigned pid_count;
	pid_t pids[JAIL_PIDS_MAX];	 /* the first of them */
	char cgroups[JAIL_CGROUPS_TEXT]; /* one path a line */
};

struct jail_list {
	int base_fd;		    /* owned */
	struct jail_entry *entries; /* owned */
	size_t count;
};

/*
 * Finds the jails below base and their processes. Follows no link. A base that
 * is not there holds no jails. Returns 0 or a negative errno with a sentence;
 * jail_list_fini() accepts what either leaves.
 */
int jail_list_read(struct jail_list *l, const char *base, struct err *e);
void jail_list_fini(struct jail_list *l);

/* Looks for the processes of one jail again. Returns how many there are. */
int jail_processes(struct jail_entry *entry, struct err *e);

/*
 * Kills every process of a jail, by descriptors that were checked to be of the
 * jail's after they had been opened, and waits until they are gone.
 */
int jail_kill(struct jail_entry *entry, struct err *e);

/*
 * Removes a jail's directory with all that is in it, and its cgroups. The jail
 * has no processes. What is mounted in there is in the way, and said so.
 */
int jail_remove(const struct jail_list *l, const struct jail_entry *entry,
		struct err *e);

/*
 * open() below dir_fd, or from the root where path begins with '/', through no
 * link. Returns an fd or -1 and errno.
 */
int jail_open(int dir_fd, const char *path, int flags);
