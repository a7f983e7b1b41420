/* The turns of a bench, and its progress bar. */
#include "api/ctl/bench/rounds.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/process.h"
#include "vmm/base/clock.h"

enum { BAR = 30, ROUNDS_MIN = 5 };

void rounds_tell(const struct pace *pace, const char *name, unsigned done,
		 unsigned of)
{
	static const char full[] = "##############################";
	int width;

	if (!pace->is_told)
		return;
	if (!of) {
		fprintf(stderr, "\r\033[K");
		return;
	}
	width = (int)((uint64_t)done * BAR / of);
	fprintf(stderr, "\r%-8s [%-*.*s] %u/%u\033[K", name, BAR, width, full,
		done, of);
}

static int measure(const struct lane *lane, const struct pace *pace,
		   double *value, struct err *e)
{
	const char *const argv[] = {"sh", "-c", pace->prepare, NULL};
	int rc = pace->prepare ? process_run(argv, e) : 0;

	return rc ? rc : lane->once(lane->context, value, e);
}

static int warm_up(const struct lane *lane, const struct pace *pace,
		   struct err *e)
{
	double ignored;
	unsigned i;
	int rc = 0;

	for (i = 0; i < pace->warm_ups && !rc; i++) {
		rc = measure(lane, pace, &ignored, e);
		if (!rc && interrupt_pending())
			rc = err_set(e, -EINTR, "ended by a signal");
	}
	return rc;
}

/* Those that stay: their lanes, and mayfly's first. */
static int choose(struct result *r, const struct lane *lanes, unsigned count,
		  const struct pace *pace, const struct lane **chosen,
		  struct err *e)
{
	struct err why;
	unsigned i;
	int n = 0, rc;

	for (i = 0; i < count && n < ROUNDS_LANES_MAX; i++) {
		why = (struct err){0};
		rc = warm_up(&lanes[i], pace, &why);
		if (rc && i == 0)
			return err_set(e, rc, "mayfly: %s", why.text);
		if (rc == -EINTR)
			return rc;
		if (rc)
			result_leave_out(r, lanes[i].name, why.text);
		else
			chosen[n++] = &lanes[i];
	}
	return n;
}

static int one_round(struct result *r, const struct lane *const *chosen,
		     const struct pace *pace, unsigned base, int n,
		     struct err *e)
{
	double values[ROUNDS_LANES_MAX];
	int i, rc;

	for (i = 0; i < n; i++) {
		rc = measure(chosen[i], pace, &values[i], e);
		if (rc)
			return err_context(e, "%s", chosen[i]->name);
	}
	/* Whole rounds only, or pairs would not be pairs. */
	for (i = 0; i < n; i++)
		if (series_add(&r->series[base + i], values[i]))
			return err_set(e, -ENOMEM, "no memory for rounds");
	return 0;
}

int rounds_run(struct result *r, const struct lane *lanes, unsigned count,
	       const struct pace *pace, struct err *e)
{
	const struct lane *chosen[ROUNDS_LANES_MAX] = {NULL};
	const unsigned base = r->series_count;
	uint64_t begin;
	unsigned done;
	int n = choose(r, lanes, count, pace, chosen, e), i, rc = 0;

	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		struct series *s;

		assert(chosen[i]);
		s = result_series(r, chosen[i]->name);
		if (!s)
			return err_set(e, -E2BIG, "too many peers");
		snprintf(s->command, sizeof(s->command), "%s",
			 chosen[i]->command);
	}
	begin = clock_now_ns();
	for (done = 0; done < pace->rounds && !rc; done++) {
		rounds_tell(pace, r->name, done, pace->rounds);
		if (pace->seconds > 0 && done >= ROUNDS_MIN &&
		    (double)(clock_now_ns() - begin) / 1e9 > pace->seconds)
			break;
		rc = one_round(r, chosen, pace, base, n, e);
		if (!rc && interrupt_pending())
			rc = err_set(e, -EINTR, "ended by a signal");
	}
	rounds_tell(pace, r->name, 0, 0);
	return rc;
}
