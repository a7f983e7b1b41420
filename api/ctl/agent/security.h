#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a container's walls are where they are not docker's
 * (guest/proto_security.h). All of it is borrowed; lists end with NULL, and
 * NULL is one of no items.
 */
enum {
	SESSION_PATHS_MAX = 256, /* of each list of paths, and sysctls */
	SESSION_DEVICES_MAX = 1024,
	SESSION_RULES_MAX = 512,
	SESSION_FILTER_MAX = 4096, /* steps of 8 bytes */
};

struct session_device {
	enum { SESSION_CHAR = 1, SESSION_FIFO } kind;
	const char *path; /* below /dev */
	uint32_t major, minor, mode, uid, gid;
	bool is_optional; /* left out where the guest has none */
};

enum { SESSION_MAKE = 1, SESSION_READ = 2, SESSION_WRITE = 4 };

#define SESSION_ANY UINT32_MAX /* all numbers */

struct session_rule {
	enum {
		SESSION_RULE_ANY = 0,
		SESSION_RULE_CHAR = 1,
		SESSION_RULE_BLOCK = 3
	} kind;
	uint32_t major, minor;
	uint32_t access;
	bool is_allowed;
};

struct session_security {
	/* The five sets, bit n being capability n; of EXEC, without them, the
	 * container's. */
	bool has_sets;
	uint64_t bounding, effective, permitted, inheritable, ambient;
	bool has_umask;
	uint32_t umask; /* permission bits */
	bool has_score;
	int32_t score; /* oom_score_adj */
	/* Of RUN alone: a seccomp filter, as the kernel takes it. */
	const void *filter;
	size_t filter_len; /* bytes */
	uint32_t filter_flags;
	uint32_t propagation; /* as mount(2) has it; 0: private */
	bool is_sys_writable, is_group_writable;
	bool has_nodes; /* what it makes by mknod() is a device, by the rules */
	/* Containers whose namespaces it shares, as plans have their ids; NULL:
	 * its own. */
	const char *ipc, *uts, *pid;
	const char *const *hidden, *const *fixed; /* paths */
	const char *const *sysctls; /* path below /proc/sys, value, … */
	const struct session_device *devices;
	size_t device_count;
	const struct session_rule *rules; /* with any it has a group */
	size_t rule_count;
};
