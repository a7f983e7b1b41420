#pragma once

/*
 * The part of the agent's wire that is about a container's control group: see
 * proto.h for all that they have in common with other requests.
 */

#include "guest/proto.h"

/*
 * GROUP: a control group (cgroup v2) for a container that is to come, or other
 * limits for one that is there. The next RUN of this id begins in it, sees it
 * at /sys/fs/cgroup, and REMOVE takes it along, also where there is
 * no container; without one a container is with all else. Of several limits
 * those before the one that is refused count.
 *
 * string: id
 * list of strings, two for each limit: its file ("memory.max") and what is
 *         written there; files of the controllers cpu, cpuset, io, memory,
 *         pids and hugetlb, and cgroup.freeze
 */

/*
 * STATS: what the group of a container has used: the files of it that there are
 * among cpu.stat, memory.current, memory.max, memory.stat, memory.events,
 * memory.swap.current, memory.swap.max, pids.current, pids.max and io.stat. Of
 * a file the first PROTO_STAT_MAX bytes. ENOENT where it has no group.
 *
 * string: id
 *
 * USAGE
 * list of strings, two for each file: its name, and what is in it
 */
#define PROTO_STAT_MAX 6000 /* so that all are less than PROTO_DATA_MAX */

/*
 * OOM: KILLS comes as soon as the kernel has killed more than `seen` processes
 * of the group for want of memory; when the container has ended, with as many
 * as there were.
 *
 * string: id
 */
struct proto_oom {
	struct proto_le64 seen;
};

struct proto_kills {
	struct proto_le64 kills; /* of memory.events' oom_kill */
};
