#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * The jailer's command line. Names, defaults and what follows `--` are those
 * of Firecracker's jailer, which clients start with fixed sets of flags.
 */

enum {
	JAIL_CGROUPS_MAX = 32,
	JAIL_CGROUP_FILE_MAX = 64, /* with its NUL */
	JAIL_NAME_MAX = 251,	   /* a file name with `.pid` behind it */
	JAIL_FDS_MAX = 64,
};

/* `cpu.shares=512`: one file of a cgroup, and what to write into it. */
struct jail_cgroup {
	char file[JAIL_CGROUP_FILE_MAX];
	size_t controller_len; /* of file up to its first point */
	const char *value;     /* borrowed from argv */
};

/* Strings are borrowed from argv. Where help or version is set, only that. */
struct jail_options {
	const char *id;
	const char *exec_file;
	const char *exec_name; /* the last part of exec_file */
	const char *chroot_base_dir;
	const char *netns;	   /* NULL to stay in this one */
	const char *parent_cgroup; /* relative, or NULL */
	struct jail_cgroup cgroups[JAIL_CGROUPS_MAX];
	unsigned cgroup_count;
	unsigned cgroup_version; /* 1 or 2 */
	uid_t uid;
	gid_t gid;
	uint64_t no_file;
	bool has_no_file;     /* that was asked for */
	uint64_t fsize_bytes; /* where has_fsize */
	bool has_fsize;
	int fds[JAIL_FDS_MAX]; /* kept open: ascending, each 3 or more */
	unsigned fd_count;
	bool minimal_dev;
	bool userns;
	bool allow_root;
	bool daemonize;
	bool new_pid_ns;
	bool memory_exec;
	bool die_with_parent;
	bool help;
	bool version;
	char **extra; /* what follows `--`: the monitor's own arguments */
	int extra_count;
};

/*
 * Reads and checks the command line; looks at no file. Returns 0, or -EINVAL
 * with a sentence.
 */
int jail_options_parse(struct jail_options *o, int argc, char **argv,
		       struct err *e);

/*
 * Takes value for --exec-file, and its last part for the program's name: once
 * more where the first was a link. Borrowed. -EINVAL with a sentence.
 */
int jail_options_exec_file(struct jail_options *o, const char *value,
			   struct err *e);

/* What --help and --version say. */
void jail_options_help(FILE *to);
void jail_options_version(FILE *to);
