#pragma once

/*
 * The part of the agent's wire that is about a container's walls: what RUN and
 * EXEC have at their ends with PROTO_SECURITY. Without it a container is as
 * docker's are.
 *
 * struct proto_security, and of RUN also
 * struct proto_walls
 * bytes: a seccomp filter as seccomp(2) takes it, at most PROTO_FILTER_MAX of
 *         struct sock_filter; counted as a string is. Empty: none. EXEC's
 *         processes have it as well.
 * string: id of the container whose IPC namespace it shares, with all that is
 *         in its /dev/shm and its queues of messages; empty: its own
 * string: id of the one whose UTS namespace; its hostname is then not set
 * string: id of the one whose PID namespace. With its own process all others
 *         that are in its control group end.
 * list of strings: paths that are hidden: under /dev/null, or a directory that
 *         is empty. What is not there needs no mask, here and in the next.
 * list of strings: paths that can't be written
 * list of strings, two for each: path below /proc/sys, and what is written
 * list of devices, at most PROTO_DEVICES, each:
 *         struct proto_device
 *         string: path, below /dev
 * list of rules, at most PROTO_DEVICE_RULES, each:
 *         struct proto_device_rule
 *
 * With any rule the container has a GROUP, and what no rule lets it do with a
 * device it can't; of several the last counts that fits. Reading and writing of
 * disks, of memory and of ports is never let.
 */

#include "guest/proto.h"

#define PROTO_FILTER_MAX   4096 /* the kernel's BPF_MAXINSNS */
#define PROTO_DEVICES	   1024
#define PROTO_DEVICE_RULES 512
#define PROTO_PATHS	   256 /* of each list of them, and of sysctls */

enum proto_security_flags {
	/*
	 * The five sets are told apart: bounding and ambient by struct
	 * proto_process, the others here, and none is by the user's id. What a
	 * set has beyond the one that it has to be in, it has not.
	 */
	PROTO_SECURITY_SETS = 1 << 0,
	PROTO_SECURITY_UMASK = 1 << 1, /* else 022; of EXEC the container's */
	PROTO_SECURITY_SCORE = 1 << 2, /* oom_score_adj; else as it is */
	/* of RUN only */
	PROTO_SECURITY_SYS = 1 << 3,	/* /sys can be written */
	PROTO_SECURITY_GROUPS = 1 << 4, /* /sys/fs/cgroup, below its own */
	/* Device nodes that it makes are devices, as far as rules let them. */
	PROTO_SECURITY_NODES = 1 << 5,
};

struct proto_security {
	struct proto_le32 flags; /* enum proto_security_flags */
	struct proto_le32 umask; /* permission bits */
	struct proto_le32 score; /* two's complement, -1000 to 1000 */
	struct proto_le64 effective, permitted, inheritable;
};

struct proto_walls {
	struct proto_le32 filter_flags; /* SECCOMP_FILTER_FLAG_… */
	/* Of the root: MS_PRIVATE, … as mount(2) has them; 0: private. */
	struct proto_le32 propagation;
};

enum proto_device_kind {
	PROTO_DEVICE_ANY = 0, /* of rules */
	PROTO_DEVICE_CHAR = 1,
	PROTO_DEVICE_FIFO = 2,
	PROTO_DEVICE_BLOCK = 3, /* of rules */
};

struct proto_device {
	struct proto_le32 kind; /* enum proto_device_kind */
	struct proto_le32 major, minor;
	struct proto_le32 mode; /* permission bits */
	struct proto_le32 uid, gid;
	/* 1: it is left out where the guest has no such device. */
	struct proto_le32 is_optional;
};

enum proto_access {
	PROTO_MAKE = 1 << 0,
	PROTO_READ = 1 << 1,
	PROTO_WRITE = 1 << 2,
};

#define PROTO_ANY UINT32_MAX

struct proto_device_rule {
	struct proto_le32 kind;
	struct proto_le32 major, minor; /* PROTO_ANY: all */
	struct proto_le32 access;	/* enum proto_access */
	struct proto_le32 is_allowed;
};
