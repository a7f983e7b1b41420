/* The list of benches. */
#include "api/ctl/bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/base/interrupt.h"

const struct bench_kind bench_kinds[] = {
	{{"boot", "from exec to the end of a guest whose init reboots", "ms"},
	 bench_boot,
	 bench_boot_more},
	{{"start", "a whole life with a guest that ends at once", "ms"},
	 bench_start},
	{{"restore", "from exec to the first act after a restore, and the end",
	  "ms"},
	 bench_restore},
	{{"clone", "from the message to the first act of a prepared clone",
	  "us"},
	 bench_clone},
	{{"fork", "how long a first fork holds a guest that writes", "us"},
	 bench_fork},
	{{"reset", "back to a mark in place", "us"}, bench_reset},
	{{"run", "a container from command to end", "ms"}, bench_container},
	{{"api", "from exec to the answer of a first request", "ms"},
	 bench_api,
	 .needs_no_kvm = true},
	{{"block", "4 KiB random reads, 32 under way", "/s", true},
	 bench_block,
	 bench_block_more,
	 .has_disks = true},
	{{"net", "a TCP stream from the guest", "MB/s", true},
	 bench_net,
	 bench_net_more},
	{{"vsock", "a vsock stream from the guest", "MB/s", true},
	 bench_vsock,
	 bench_vsock_more},
	{{"density", "private memory of an idle microVM", "KiB"},
	 bench_density},
	{{"jail", "a start in a jail", "ms"}, bench_jail},
	{{0}},
};

const struct bench_kind *bench_find(const char *name)
{
	const struct bench_kind *k;

	for (k = bench_kinds; k->run; k++)
		if (!strcmp(k->first.name, name))
			return k;
	return NULL;
}

/*
 * As root, times of single processes are taken in front of all other work: a
 * start hands work between two threads, and where another program has the
 * processor each waits for its turn. Peers inherit it. Guests that spin don't.
 */
static void take_precedence(const struct bench_kind *k, bool is_on)
{
	static int (*const of[])(struct result *, const struct bench *,
				 struct err *) = {bench_start, bench_restore,
						  bench_clone, bench_jail};
	struct sched_param how = {.sched_priority = is_on ? 50 : 0};
	unsigned i;

	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (k->run == of[i])
			(void)sched_setscheduler(
				0, is_on ? SCHED_FIFO : SCHED_OTHER, &how);
}

/* Of a disk that is not the first its kind is in the name, of any in words. */
static void set_result(struct result *r, const struct bench_measure *m,
		       const struct bench *b)
{
	const char *kind = b->disk ? b->disk->kind : "";
	const bool is_plain = !b->disk || b->disk->is_first;

	*r = (struct result){.unit = m->unit, .is_rate = m->is_rate};
	snprintf(r->name, sizeof(r->name), "%s%s%s", m->name,
		 is_plain ? "" : "-", is_plain ? "" : kind);
	snprintf(r->what, sizeof(r->what), "%s%s%s", m->what,
		 *kind ? "; on " : "", kind);
}

static unsigned set_results(struct result *r, const struct bench_kind *kind,
			    const struct bench *b)
{
	const struct bench_measure *m = kind->more;
	unsigned n = 0;

	set_result(&r[n++], &kind->first, b);
	for (; m && m->name; m++)
		set_result(&r[n++], m, b);
	return n;
}

int bench_run(const struct bench_kind *kind, const struct bench *b,
	      struct result *r, unsigned *count, struct err *e)
{
	unsigned i;
	int rc;

	*count = set_results(r, kind, b);
	rc = kind->needs_no_kvm ? 0 : host_check_kvm(e);
	if (!rc) {
		take_precedence(kind, true);
		rc = kind->run(r, b, e);
		take_precedence(kind, false);
	}
	if (!rc) {
		for (i = 0; i < *count; i++)
			result_judge(&r[i]);
		return 0;
	}
	/* One sentence is enough. */
	for (i = 1; i < *count; i++)
		result_fini(&r[i]);
	*count = 1;
	if (interrupt_pending())
		return err_set(e, -EINTR, "ended by a signal");
	r->state = RESULT_NOT_RUN;
	snprintf(r->why, sizeof(r->why), "%s", e->text);
	return rc;
}
