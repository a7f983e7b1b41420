#pragma once

#include "guest/agent/spawn.h"
#include "guest/agent/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Device nodes of a container, and which devices it may open. */
struct device {
	uint32_t kind; /* enum proto_device_kind */
	uint32_t major, minor, mode, uid, gid;
	bool is_optional;
	char *path; /* owned; below /dev */
};

struct device_rule {
	uint32_t kind, major, minor; /* PROTO_ANY */
	uint32_t access;	     /* enum proto_access */
	bool is_allowed;
};

struct devices {
	struct device *nodes; /* owned */
	size_t nodes_len;
	struct device_rule *rules; /* owned */
	size_t rules_len;
};

/* The two lists of guest/proto_security.h; @r is bad where they make no sense.
 */
void devices_read(struct devices *d, struct reader *r);

/*
 * In a child that still sees the agent's /sys: reports and exits where the
 * guest lacks one that is asked for, and leaves those out that need not be.
 */
void devices_check(const struct spawn *sp, struct devices *d);

/*
 * In a container's empty /dev. Each node is a mount of its own, and /dev is
 * mounted nodev, unless @is_open. @d may be NULL.
 */
void devices_make(const struct spawn *sp, const struct devices *d,
		  bool is_open);

/* The rules hold for the group from now on. 0 or a negative errno. */
int devices_restrict(const struct devices *d, int group_fd);

void devices_fini(struct devices *d);
