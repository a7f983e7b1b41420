/* Results grow by a number at a time, and are judged once they are whole. */
#include "api/ctl/bench/result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPREAD_MAX 0.10

void series_fini(struct series *s)
{
	free(s->values);
	*s = (struct series){0};
}

void result_fini(struct result *r)
{
	unsigned i;

	for (i = 0; i < r->series_count; i++)
		series_fini(&r->series[i]);
	for (i = 0; i < r->curve_count; i++) {
		free(r->curves[i].xs);
		free(r->curves[i].ys);
	}
	*r = (struct result){0};
}

struct series *result_series(struct result *r, const char *name)
{
	struct series *s;

	if (r->series_count == RESULT_SERIES_MAX)
		return NULL;
	s = &r->series[r->series_count++];
	snprintf(s->name, sizeof(s->name), "%s", name);
	return s;
}

struct curve *result_curve(struct result *r, const char *plot, const char *name,
			   const char *x, const char *y)
{
	struct curve *c;

	if (r->curve_count == RESULT_CURVES_MAX)
		return NULL;
	c = &r->curves[r->curve_count++];
	snprintf(c->plot, sizeof(c->plot), "%s", plot);
	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->x, sizeof(c->x), "%s", x);
	snprintf(c->y, sizeof(c->y), "%s", y);
	return c;
}

static int grow(double **values, unsigned count, unsigned room)
{
	double *larger = realloc(*values, room * sizeof(double));

	if (!larger)
		return -ENOMEM;
	memset(larger + count, 0, (room - count) * sizeof(double));
	*values = larger;
	return 0;
}

int series_add(struct series *s, double value)
{
	const unsigned room = s->room ? 2 * s->room : 64;

	if (s->count == s->room) {
		if (grow(&s->values, s->count, room))
			return -ENOMEM;
		s->room = room;
	}
	s->values[s->count++] = value;
	return 0;
}

int curve_add(struct curve *c, double x, double y)
{
	const unsigned room = c->room ? 2 * c->room : 64;

	if (c->count == c->room) {
		if (grow(&c->xs, c->count, room) ||
		    grow(&c->ys, c->count, room))
			return -ENOMEM;
		c->room = room;
	}
	c->xs[c->count] = x;
	c->ys[c->count++] = y;
	return 0;
}

void result_figure(struct result *r, const char *name, double value,
		   const char *unit)
{
	struct figure *f;

	if (r->figure_count == RESULT_FIGURES_MAX)
		return;
	f = &r->figures[r->figure_count++];
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->unit, sizeof(f->unit), "%s", unit);
	f->value = value;
}

void result_phase(struct result *r, const char *name, double us)
{
	struct phase *p;

	if (r->phase_count == RESULT_PHASES_MAX)
		return;
	p = &r->phases[r->phase_count++];
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->us = us;
}

void result_leave_out(struct result *r, const char *peer, const char *why)
{
	struct left_out *l;

	if (r->left_out_count == RESULT_LEFT_OUT_MAX)
		return;
	l = &r->left_out[r->left_out_count++];
	snprintf(l->name, sizeof(l->name), "%s", peer);
	snprintf(l->why, sizeof(l->why), "%s", why);
}

struct stats_estimate result_ratio(const struct result *r, unsigned peer)
{
	const struct series *ours = &r->series[0], *theirs = &r->series[peer];
	const unsigned n = ours->count < theirs->count ? ours->count
						       : theirs->count;

	return stats_ratio(ours->values, theirs->values, n);
}

static bool is_loose(struct result *r, const char *of,
		     const struct stats_estimate *e)
{
	const double spread = stats_spread(e);

	if (spread <= SPREAD_MAX)
		return false;
	r->state = RESULT_NOISY;
	snprintf(r->why, sizeof(r->why),
		 "too noisy: the interval of %s is %.0f %% to both sides, more "
		 "than %.0f; take more rounds (--rounds) on a machine that "
		 "does nothing else",
		 of, 100 * spread, 100 * SPREAD_MAX);
	return true;
}

void result_judge(struct result *r)
{
	struct stats_estimate e;
	char of[RESULT_NAME_MAX + 32];
	unsigned i;

	if (r->state != RESULT_MEASURED || !r->series_count)
		return;
	for (i = 1; i < r->series_count; i++) {
		e = result_ratio(r, i);
		snprintf(of, sizeof(of), "the ratio to %s", r->series[i].name);
		if (is_loose(r, of, &e))
			return;
	}
	if (r->series_count > 1)
		return;
	e = stats_estimate(r->series[0].values, r->series[0].count);
	(void)is_loose(r, "the median", &e);
}
