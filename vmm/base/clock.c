/* The time, as one number. */
#include "vmm/base/clock.h"

#include <poll.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void clock_rest(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	(void)ppoll(NULL, 0, &ms, NULL);
}
