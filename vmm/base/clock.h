#pragma once

#include <stdint.h>

/*
 * Nanoseconds since some moment before this process began: the one clock of
 * deadlines, timers and what took how long (CLOCK_MONOTONIC). Thread: any.
 */
uint64_t clock_now_ns(void);

/* What the process has used of its CPUs. Thread: any. */
uint64_t clock_cpu_ns(void);

/*
 * Sleeps for a millisecond, or until a signal. For whoever has to ask again,
 * and has nothing to be told by. By a system call that a signal which is not
 * handled does not turn into restart_syscall(), which no filter has.
 */
void clock_rest(void);
