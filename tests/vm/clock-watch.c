/*
 * Watches a guest's clocks while it is saved and restored, until SIGINT: a
 * thread on each processor reads the monotonic clock and the time-stamp
 * counter, and compares with what any other read before; one counts the ticks
 *of a timer. What they found is printed in the end:
 *
 *	reads N warps N tsc_warps N real_warps N ticks N of N
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { CPUS_MAX = 32, TICK_NS = 20 * 1000 * 1000, BURST = 50, REST_US = 2000 };

/* The latest that anybody has seen, of each clock. */
static _Atomic uint64_t monotonic, real, tsc;
static _Atomic uint64_t reads, warps, tsc_warps, real_warps;
static _Atomic uint64_t ticks, ticks_due;
static volatile sig_atomic_t is_over;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t tsc_now(void)
{
	/* Not before what was read before it. */
	__builtin_ia32_lfence();
	return __rdtsc();
}

/* Whether now is before what somebody had seen when it was read. */
static bool is_back(_Atomic uint64_t *latest, uint64_t seen, uint64_t now)
{
	const bool back = now < seen;

	while (seen < now && !atomic_compare_exchange_weak(latest, &seen, now))
		;
	return back;
}

static void look(void)
{
	uint64_t seen = monotonic;

	warps += is_back(&monotonic, seen, now_ns(CLOCK_MONOTONIC));
	seen = tsc;
	tsc_warps += is_back(&tsc, seen, tsc_now());
	seen = real;
	real_warps += is_back(&real, seen, now_ns(CLOCK_REALTIME));
	reads++;
}

static void *watch(void *arg)
{
	cpu_set_t set;
	unsigned i;

	CPU_ZERO(&set);
	CPU_SET((unsigned)(uintptr_t)arg, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (!is_over) {
		for (i = 0; i < BURST; i++)
			look();
		usleep(REST_US);
	}
	return NULL;
}

/* The kernel counts those that a late reader missed, so that none is lost. */
static void *count(void *arg)
{
	const struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
	const uint64_t begin = now_ns(CLOCK_MONOTONIC);
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t n;

	(void)arg;
	timerfd_settime(fd, 0, &every, NULL);
	/* Due by when it asks: after that it may not run for a while. */
	while (!is_over) {
		ticks_due = (now_ns(CLOCK_MONOTONIC) - begin) / TICK_NS;
		if (read(fd, &n, sizeof(n)) != sizeof(n))
			break;
		ticks += n;
	}
	return NULL;
}

static void end(int signal)
{
	(void)signal;
	is_over = 1;
}

int main(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[CPUS_MAX + 1];
	long i;

	signal(SIGINT, end);
	signal(SIGTERM, end);
	for (i = 0; i <= cpus && i <= CPUS_MAX; i++)
		if (pthread_create(&threads[i], NULL, i < cpus ? watch : count,
				   (void *)(uintptr_t)i))
			return 2;
	for (i = 0; i <= cpus && i <= CPUS_MAX; i++)
		pthread_join(threads[i], NULL);
	printf("reads %llu warps %llu tsc_warps %llu real_warps %llu ticks %llu"
	       " of %llu\n",
	       (unsigned long long)reads, (unsigned long long)warps,
	       (unsigned long long)tsc_warps, (unsigned long long)real_warps,
	       (unsigned long long)ticks, (unsigned long long)ticks_due);
	return 0;
}
