#pragma once

#include "api/ctl/bench/disk.h"
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
	unsigned count;	  /* microVMs of density, 0 for as many as is usual */
	unsigned load_ms; /* how long each load of a guest takes */
	const struct disk *disk; /* of block */
	/* Of boot, for peers that have one of their own; or NULL. */
	const char *kernels[PEER_COUNT];
};

/* What a bench measures. */
struct bench_measure {
	const char *name;
	const char *what;
	const char *unit;
	bool is_rate;
};

struct bench_kind {
	struct bench_measure first; /* which has the bench's name */
	/*
	 * Fills r, a result for each measure. -EOPNOTSUPP where it can't run
	 * here, with a sentence that says why; any other negative errno where
	 * it has failed.
	 */
	int (*run)(struct result *r, const struct bench *b, struct err *e);
	/* Those beside the first, ends with a name of NULL; or NULL. */
	const struct bench_measure *more;
	bool needs_no_kvm; /* else it is not run where there is none for us */
	bool has_disks;	   /* is run once for each of them */
};

/* In the order in which `all` runs them; ends with one that has no run. */
extern const struct bench_kind bench_kinds[];

const struct bench_kind *bench_find(const char *name);

/*
 * Runs one to its end and judges it; r has room for BENCH_MEASURES_MAX, of
 * which *count are used. -EINTR where a signal has come.
 */
enum { BENCH_MEASURES_MAX = ROUNDS_MEASURES_MAX };

int bench_run(const struct bench_kind *kind, const struct bench *b,
	      struct result *r, unsigned *count, struct err *e);

int bench_boot(struct result *r, const struct bench *b, struct err *e);
int bench_start(struct result *r, const struct bench *b, struct err *e);
int bench_restore(struct result *r, const struct bench *b, struct err *e);
int bench_clone(struct result *r, const struct bench *b, struct err *e);
int bench_fork(struct result *r, const struct bench *b, struct err *e);
int bench_reset(struct result *r, const struct bench *b, struct err *e);
int bench_api(struct result *r, const struct bench *b, struct err *e);
int bench_density(struct result *r, const struct bench *b, struct err *e);
int bench_jail(struct result *r, const struct bench *b, struct err *e);

int bench_container(struct result *r, const struct bench *b, struct err *e);
int bench_block(struct result *r, const struct bench *b, struct err *e);
int bench_net(struct result *r, const struct bench *b, struct err *e);
int bench_vsock(struct result *r, const struct bench *b, struct err *e);

extern const struct bench_measure bench_boot_more[], bench_block_more[],
	bench_net_more[], bench_vsock_more[];
