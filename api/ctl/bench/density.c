/*
 * bench density: idle microVMs that are alive at once: what each has of memory,
 * and whether the last takes longer to make than the first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/program.h"
#include "api/ctl/bench/spawn.h"

#define QEMU_MACHINE \
	"microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on"

enum {
	USUAL = 1000,
	HEAVY_SHARE = 40, /* a peer of tens of MiB each is tried with fewer */
	ENDS = 10,	  /* first and last, whose medians are compared */
	POINTS = 40,
};

struct kind {
	const char *name;
	const char *argv[SPAWN_WORDS_MAX];
	unsigned count;
};

static int make_all(const struct bench *b, const struct kind *k,
		    struct spawned *all, double *ms, struct err *e)
{
	const struct spawn_how how = {.argv = k->argv, .has_out = true};
	char byte;
	unsigned i;
	int rc = spawn_begin(&all[0], &how, e);

	/* One that is not counted: it warms the caches. */
	if (!rc)
		rc = spawn_hear(&all[0], &byte, e);
	spawn_kill(&all[0]);
	for (i = 0; i < k->count && !rc; i++) {
		rounds_tell(&b->pace, "density", i, k->count);
		rc = spawn_begin(&all[i], &how, e);
		if (!rc)
			rc = spawn_hear(&all[i], &byte, e);
		ms[i] = spawn_age_ms(&all[i]);
		if (!rc && interrupt_pending())
			rc = err_set(e, -EINTR, "ended by a signal");
	}
	rounds_tell(&b->pace, "density", 0, 0);
	return rc ? err_context(e, "the %uth of %s", i, k->name) : 0;
}

/* Creation over how many there are; each point a median of its neighbours. */
static int draw(struct result *r, const struct kind *k, const double *ms,
		struct err *e)
{
	const unsigned step = k->count / POINTS ? k->count / POINTS : 1;
	struct curve *c =
		result_curve(r, "creation of one more", k->name, "alive", "ms");
	unsigned i;

	for (i = 0; c && i + step <= k->count; i += step)
		if (curve_add(c, i + step, stats_median(ms + i, step)))
			return err_set(e, -ENOMEM, "no memory for a curve");
	return 0;
}

static void tell(struct result *r, const struct kind *k, const double *ms)
{
	const unsigned n = k->count < 2 * ENDS ? k->count / 2 : ENDS;
	char name[96];

	snprintf(name, sizeof(name), "%s: alive at once", k->name);
	result_figure(r, name, k->count, "");
	if (!n)
		return;
	snprintf(name, sizeof(name), "%s: the last %u of %u to the first %u",
		 k->name, n, k->count, n);
	result_figure(r, name,
		      stats_median(ms + k->count - n, n) / stats_median(ms, n),
		      "x");
}

static int one_kind(struct result *r, const struct bench *b,
		    const struct kind *k, struct err *e)
{
	struct spawned *all = calloc(k->count, sizeof(*all));
	double *ms = calloc(k->count, sizeof(*ms));
	struct series *s = result_series(r, k->name);
	unsigned i;
	int rc = -ENOMEM;

	if (all && ms && s)
		rc = make_all(b, k, all, ms, e);
	for (i = 0; i < k->count && !rc; i++)
		rc = series_add(s, spawn_private_kib(all[i].pid));
	if (!rc) {
		program_words(k->argv, s->command, sizeof(s->command));
		tell(r, k, ms);
		rc = draw(r, k, ms, e);
	}
	for (i = 0; all && i < k->count; i++)
		spawn_kill(&all[i]);
	free(all);
	free(ms);
	return rc;
}

int bench_density(struct result *r, const struct bench *b, struct err *e)
{
	const unsigned count = b->count ? b->count : USUAL;
	const unsigned few = count / HEAVY_SHARE > 5 ? count / HEAVY_SHARE : 5;
	const struct parts *p = b->parts;
	char config[PATH_MAX + 16];
	const struct kind kinds[] = {
		{"mayfly",
		 {p->mayfly, "--no-api", "--config-file", config, NULL},
		 count},
		{"floor", {p->floor, "start", p->guest, "I", NULL}, count},
		{"qemu",
		 {p->peers[PEER_QEMU],
		  "-accel",
		  "kvm",
		  "-cpu",
		  "host,-arch-capabilities",
		  "-M",
		  QEMU_MACHINE,
		  "-m",
		  "128",
		  "-nodefaults",
		  "-no-user-config",
		  "-display",
		  "none",
		  "-serial",
		  "stdio",
		  "-no-reboot",
		  "-kernel",
		  p->guest,
		  "-append",
		  "I",
		  NULL},
		 few},
		{"firecracker",
		 {p->peers[PEER_FIRECRACKER], "--no-api", "--config-file",
		  config, NULL},
		 few},
	};
	struct err why = {0};
	unsigned i;
	int rc;

	snprintf(config, sizeof(config), "%s/idle.json", p->scratch);
	rc = machine_write_config(config, p->guest, "I", MACHINE_MIB, e);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !rc; i++) {
		if (!*kinds[i].argv[0])
			continue;
		rc = one_kind(r, b, &kinds[i], &why);
		if (!rc || i == 0 || rc == -EINTR)
			continue;
		r->series_count--; /* it has no values, or not all */
		series_fini(&r->series[r->series_count]);
		result_leave_out(r, kinds[i].name, why.text);
		rc = 0;
	}
	return rc ? err_set(e, rc, "%s", why.text) : 0;
}
