#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The machine as a whole: what it is told of itself, clock, name, entropy. */
struct machine {
	char image[24];	     /* serial, of CONFIGURE */
	char resolv[4096];   /* what containers find in /etc/resolv.conf */
	char address[2][46]; /* its first of IPv4 and of IPv6, or "" */
	const char *base;    /* where containers write */
	const char *tree;    /* tests: a directory instead of images */
	bool is_configured;
	bool is_test; /* not a machine of our own: it is left alone */
	uint64_t agent_us, ready_us;
};

extern struct machine machine;

uint64_t machine_uptime_us(void);
uint64_t machine_realtime_ns(void);
int machine_clock_set(uint64_t ns);
/* Credits @len random bytes and, if asked, reseeds at once. 0 or -errno. */
int machine_entropy(const void *data, size_t len, bool reseed);
int machine_hostname_set(const char *name, size_t len);
