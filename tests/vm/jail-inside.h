#pragma once

#include <sys/types.h>

/*
 * What tests/vm/jail-inside.c tries: functions that return 0 where they could
 * do what they should not, else the error that stopped them. They run in a
 * process of their own.
 */
struct probe {
	const char *name;
	int (*try)(void);
};

/* Each ends with a row without a name. */
extern const struct probe file_probes[];   /* files, mounts, processes */
extern const struct probe kernel_probes[]; /* what the kernel does for us */

/* What there is outside: see the head of tests/vm/jail-inside.c. */
struct outside {
	pid_t process;
	int port;
	int memory; /* System V's */
	const char *abstract_name;
	const char *self;
};
extern struct outside outside;

/* 0 where the call succeeded, else errno. */
int done(long rc);

/* A wrong argument is what is said to those who may. */
int unless_einval(long rc);
