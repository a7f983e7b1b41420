#pragma once

#include <metrics.pb-c.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

enum { METRICS_DISKS = 64 };

/* What a control group has used, as containerd's messages have it. */
struct metrics {
	Metrics__Metrics all; /* of what follows, where there is any */
	Metrics__Cpu cpu;
	Metrics__Memory memory;
	Metrics__Events events;
	Metrics__Pids pids;
	Metrics__Io io;
	Metrics__IoEntry disks[METRICS_DISKS], *disk_list[METRICS_DISKS];
};

/*
 * From what the agent says of a group's files (USAGE, guest/proto_group.h). The
 * guest's kernel may have fields that nobody knows, and lack some.
 */
int metrics_read(struct metrics *m, const uint8_t *bytes, size_t len,
		 struct err *e);
