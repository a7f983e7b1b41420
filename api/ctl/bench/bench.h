#pragma once

#include "api/ctl/bench/host.h"
#include "api/ctl/bench/parts.h"
#include "api/ctl/bench/result.h"
#include "api/ctl/bench/rounds.h"
#include "vmm/base/err.h"

/* The benches, and what each of them is given. */

struct bench {
	const struct parts *parts;
	const struct host *host;
	struct pace pace;
	unsigned count; /* microVMs of density, 0 for as many as is usual */
};

struct bench_kind {
	const char *name;
	const char *what;
	const char *unit;
	/*
	 * Fills r. -EOPNOTSUPP where it can't run here, with a sentence that
	 * says why; any other negative errno where it has failed.
	 */
	int (*run)(struct result *r, const struct bench *b, struct err *e);
	bool needs_kvm; /* and is not run where there is none for us */
};

/* In the order in which `all` runs them; ends with a name of NULL. */
extern const struct bench_kind bench_kinds[];

const struct bench_kind *bench_find(const char *name);

/* Runs one to its end and judges it. -EINTR where a signal has come. */
int bench_run(const struct bench_kind *kind, const struct bench *b,
	      struct result *r, struct err *e);

int bench_boot(struct result *r, const struct bench *b, struct err *e);
int bench_start(struct result *r, const struct bench *b, struct err *e);
int bench_restore(struct result *r, const struct bench *b, struct err *e);
int bench_clone(struct result *r, const struct bench *b, struct err *e);
int bench_fork(struct result *r, const struct bench *b, struct err *e);
int bench_reset(struct result *r, const struct bench *b, struct err *e);
int bench_api(struct result *r, const struct bench *b, struct err *e);
int bench_density(struct result *r, const struct bench *b, struct err *e);
int bench_jail(struct result *r, const struct bench *b, struct err *e);

/* linux.c: those that need a guest with Linux. */
int bench_linux(struct result *r, const struct bench *b, struct err *e);
