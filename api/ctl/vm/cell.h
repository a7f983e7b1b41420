#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "api/ctl/vm/cgroups.h"
#include "api/ctl/vm/uids.h"
#include "vmm/base/err.h"

/*
 * What a monitor is locked up in. Root starts it by mayfly-jailer with a uid of
 * its own; a user in a user namespace, where the kernel lets users have one; a
 * user without gets what needs no namespace. In all of them it is started
 * without environment and with the descriptors that it is to have, and its root
 * or working directory is DIR/jail/PROGRAM/ID/root.
 */
enum cell_kind {
	CELL_NONE,    /* --no-jail */
	CELL_FILTERS, /* no_new_privs and Landlock */
	CELL_USERNS,  /* a jail of the caller's own uid */
	CELL_UID,     /* a jail of a uid of its own */
};

struct cell {
	int kind;
	int root_fd;	/* owned; -1 before cell_make() */
	char base[128]; /* DIR/jail, without links in it */
	struct uid_claim claim;
	struct cgroups cgroups;
};

/* A monitor to start; all borrowed. */
struct cell_monitor {
	const char *program;
	const char *jailer; /* "" where there is none */
	const char *id;
	const char *const *args; /* the monitor's, NULL behind the last */
	int standard[3];	 /* become 0 to 2 */
	const int *fds; /* kept open, as they are numbered: ascending, 3 on */
	unsigned fd_count;
	int record_fd; /* gets "PID START" of the monitor; -1 for none */
	bool is_bound; /* the monitor ends with this process */
};

/*
 * Decides what this caller can have, and claims a uid where it needs one.
 * Nothing is made but that. jailer is where mayfly-jailer is, "" for nowhere.
 */
int cell_choose(struct cell *c, bool is_wanted, const char *jailer,
		struct err *e);

/* Makes directories below dir, and cgroups. */
int cell_make(struct cell *c, const char *dir, const char *program,
	      const char *id, const struct cgroups_limits *limits,
	      struct err *e);

/*
 * The monitor's directory, of a monitor that lives in DIR: its root, or where
 * it works. What is in there may be a monitor's that means ill. Returns an fd
 * or a negative errno.
 */
int cell_open(const char *dir, int kind, const char *id, struct err *e);

/*
 * A Unix stream socket that listens at a name in a directory, of a path of any
 * length. Returns an fd or a negative errno.
 */
int cell_listen_at(int dir_fd, const char *name, struct err *e);

/* In the monitor's directory, where the monitor can connect to it. */
int cell_listen(const struct cell *c, const char *name, struct err *e);

/* Starts the monitor as a child of this process. Returns 0 and its pid. */
int cell_start(const struct cell *c, const struct cell_monitor *m, pid_t *pid,
	       struct err *e);

/* Closes what is open here. A claim then holds as long as its monitor lives. */
void cell_close(struct cell *c);

/* Removes dir/jail, the cgroups and the claim of a uid, 0 for none. */
void cell_remove(const char *dir, uid_t uid);

/* Removes claims and cgroups that were left by what was killed. */
void cell_sweep(void);

/* "none", "filters", "userns", "uid"; NULL ends them. */
extern const char *const cell_words[];

/* What a kind lacks beside CELL_UID, as a sentence; NULL for nothing. */
const char *cell_warning(int kind);
