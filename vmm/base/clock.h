#pragma once

#include <stdint.h>

/*
 * Nanoseconds since some moment before this process began: the one clock of
 * deadlines, timers and what took how long (CLOCK_MONOTONIC). Thread: any.
 */
uint64_t clock_now_ns(void);

/* What the process has used of its CPUs. Thread: any. */
uint64_t clock_cpu_ns(void);
