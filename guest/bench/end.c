/* How work ends, and what all of it needs. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "guest/bench/work.h"

bool end_is_init;

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A panic of the kernel's would be no end that a monitor understands. */
void end_work(int status)
{
	fflush(stdout);
	if (!end_is_init)
		exit(status);
	tcdrain(STDOUT_FILENO);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

void end_badly(const char *what)
{
	printf("work failed: %s: %s\n", what, strerror(errno));
	end_work(1);
}
