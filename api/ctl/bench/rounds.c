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
	double ignored[ROUNDS_MEASURES_MAX];
	unsigned i;
	int rc = 0;

	for (i = 0; i < pace->warm_ups && !rc; i++) {
		rc = measure(lane, pace, ignored, e);
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

/* The rounds that are under way. */
struct turns {
	struct result *results;
	const struct pace *pace;
	const struct lane *chosen[ROUNDS_LANES_MAX];
	unsigned measures;
	unsigned base; /* the first series of these lanes */
	int n;
};

static int one_round(const struct turns *t, struct err *e)
{
	double values[ROUNDS_LANES_MAX][ROUNDS_MEASURES_MAX];
	unsigned k;
	int i, rc;

	for (i = 0; i < t->n; i++) {
		rc = measure(t->chosen[i], t->pace, values[i], e);
		if (rc)
			return err_context(e, "%s", t->chosen[i]->name);
	}
	/* Whole rounds only, or pairs would not be pairs. */
	for (i = 0; i < t->n; i++)
		for (k = 0; k < t->measures; k++)
			if (series_add(&t->results[k].series[t->base + i],
				       values[i][k]))
				return err_set(e, -ENOMEM,
					       "no memory for rounds");
	return 0;
}

static int add_series(const struct turns *t, struct err *e)
{
	struct series *s;
	unsigned k;
	int i;

	for (i = 0; i < t->n; i++)
		for (k = 0; k < t->measures; k++) {
			assert(t->chosen[i]);
			s = result_series(&t->results[k], t->chosen[i]->name);
			if (!s)
				return err_set(e, -E2BIG, "too many peers");
			snprintf(s->command, sizeof(s->command), "%s",
				 t->chosen[i]->command);
		}
	return 0;
}

int rounds_run(struct result *r, const struct lane *lanes, unsigned count,
	       const struct pace *pace, struct err *e)
{
	return rounds_run_all(r, 1, lanes, count, pace, e);
}

int rounds_run_all(struct result *r, unsigned measures,
		   const struct lane *lanes, unsigned count,
		   const struct pace *pace, struct err *e)
{
	struct turns t = {.results = r,
			  .pace = pace,
			  .measures = measures,
			  .base = r->series_count};
	uint64_t begin;
	unsigned done;
	int rc;

	assert(measures <= ROUNDS_MEASURES_MAX);
	t.n = choose(r, lanes, count, pace, t.chosen, e);
	if (t.n < 0)
		return t.n;
	rc = add_series(&t, e);
	begin = clock_now_ns();
	for (done = 0; done < pace->rounds && !rc; done++) {
		rounds_tell(pace, r->name, done, pace->rounds);
		if (pace->seconds > 0 && done >= ROUNDS_MIN &&
		    (double)(clock_now_ns() - begin) / 1e9 > pace->seconds)
			break;
		rc = one_round(&t, e);
		if (!rc && interrupt_pending())
			rc = err_set(e, -EINTR, "ended by a signal");
	}
	rounds_tell(pace, r->name, 0, 0);
	return rc;
}
