#pragma once

#include <stdint.h>

#include "api/samples.h"
#include "vmm/machine/machine.h"

/*
 * Where the time of a start or of a load went: in phases that follow one
 * another from the process's begin, for metrics and for the log. Thread: the
 * loop's.
 */

/* Adds the group `timeline`; nothing before there was a machine. */
void timeline_count(const struct machine_times *t, uint64_t process_ns,
		    struct samples *s);

/* Logs the phases that are over; for the moment at which vCPUs are let go. */
void timeline_log(const struct machine_times *t, uint64_t process_ns);
