#pragma once

#include "guest/agent/device.h"
#include "guest/agent/spawn.h"
#include "guest/agent/wire.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What of the kernel's own files a container sees, and what it can write there:
 * as docker has it, or as a host says (guest/proto_security.h).
 */
struct walls {
	bool is_sys_writable, is_group_writable;
	uint32_t propagation;
	/* Owned, as all lists here: ids, or ""; walls_join() has looked. */
	char *ipc, *uts, *pid;
	char **hidden, **fixed; /* paths */
	char **sysctls;		/* each a path and a value */
	struct devices devices;
};

/* struct proto_walls and what is behind it, and the filter into @rights, which
 * owns it. @r is bad where they make no sense. */
void walls_read(struct walls *w, struct rights *rights, struct reader *r);

/* In a container's first process, in its root: raises them. NULL: docker's. */
void walls_raise(const struct spawn *sp, const struct walls *w);

/* The last of its mounts: what becomes of those that are made later. */
void walls_propagate(const struct spawn *sp, const struct walls *w);

void walls_fini(struct walls *w);
