/* JSON, CSV and text of a run. */
#include "api/ctl/bench/report.h"

#include <math.h>
#include <string.h>

#include "api/json/json.h"
#include "vmm/base/version.h"

const char *report_state(const struct result *r)
{
	static const char *const words[] = {"measured", "noisy", "not run"};

	return words[r->state];
}

/* Four digits behind the point are enough, and the same on each machine. */
static json_t *number(double v)
{
	return json_real(isfinite(v) ? round(v * 1e4) / 1e4 : 0);
}

static json_t *interval_json(const struct stats_interval *i)
{
	return json_pack("[o,o]", number(i->low), number(i->high));
}

static json_t *values_json(const double *v, unsigned count)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < count; i++)
		json_array_append_new(list, number(v[i]));
	return list;
}

static void put_estimate(json_t *o, const struct series *s, bool with_samples)
{
	const struct stats_estimate e = stats_estimate(s->values, s->count);

	json_object_set_new(o, "median", number(e.median));
	json_object_set_new(o, "interval", interval_json(&e.interval));
	json_object_set_new(o, "rounds", json_integer(s->count));
	if (!with_samples)
		return;
	json_object_set_new(o, "command", json_text(s->command));
	json_object_set_new(o, "samples", values_json(s->values, s->count));
}

static json_t *peers_json(const struct result *r, bool with_samples)
{
	json_t *list = json_array(), *o;
	struct stats_estimate ratio;
	unsigned i;

	for (i = 1; i < r->series_count; i++) {
		ratio = result_ratio(r, i);
		o = json_pack("{s:o}", "peer", json_text(r->series[i].name));
		put_estimate(o, &r->series[i], with_samples);
		json_object_set_new(o, "ratio", number(ratio.median));
		json_object_set_new(o, "ratio_interval",
				    interval_json(&ratio.interval));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *curves_json(const struct result *r)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < r->curve_count; i++) {
		const struct curve *c = &r->curves[i];

		json_array_append_new(
			list,
			json_pack("{s:s,s:s,s:s,s:s,s:o,s:o}", "plot", c->plot,
				  "name", c->name, "x", c->x, "y", c->y, "xs",
				  values_json(c->xs, c->count), "ys",
				  values_json(c->ys, c->count)));
	}
	return list;
}

static void put_details(json_t *o, const struct result *r)
{
	json_t *figures = json_array(), *phases = json_array();
	json_t *left_out = json_array();
	unsigned i;

	for (i = 0; i < r->figure_count; i++)
		json_array_append_new(figures,
				      json_pack("{s:s,s:o,s:s}", "name",
						r->figures[i].name, "value",
						number(r->figures[i].value),
						"unit", r->figures[i].unit));
	for (i = 0; i < r->phase_count; i++)
		json_array_append_new(phases,
				      json_pack("{s:s,s:o}", "name",
						r->phases[i].name, "us",
						number(r->phases[i].us)));
	for (i = 0; i < r->left_out_count; i++)
		json_array_append_new(left_out,
				      json_pack("{s:s,s:o}", "peer",
						r->left_out[i].name, "why",
						json_text(r->left_out[i].why)));
	json_object_set_new(o, "figures", figures);
	json_object_set_new(o, "phases", phases);
	json_object_set_new(o, "curves", curves_json(r));
	json_object_set_new(o, "left_out", left_out);
}

static json_t *result_json(const struct result *r, bool with_samples)
{
	json_t *o = json_pack("{s:s,s:o,s:s,s:s,s:s}", "name", r->name, "what",
			      json_text(r->what), "unit", r->unit, "better",
			      r->is_rate ? "more" : "less", "state",
			      report_state(r));

	if (*r->why)
		json_object_set_new(o, "why", json_text(r->why));
	if (r->series_count && r->state != RESULT_NOT_RUN)
		put_estimate(o, &r->series[0], with_samples);
	json_object_set_new(o, "peers",
			    r->state == RESULT_NOT_RUN
				    ? json_array()
				    : peers_json(r, with_samples));
	if (with_samples)
		put_details(o, r);
	return o;
}

static json_t *host_json(const struct host *h)
{
	return json_pack("{s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o}", "name",
			 json_text(h->name), "cpu", json_text(h->cpu), "cpus",
			 (json_int_t)h->cpus, "memory", json_text(h->memory),
			 "kernel", json_text(h->kernel), "kvm",
			 json_text(h->kvm), "governor", json_text(h->governor),
			 "product", json_text(h->virtual),
			 "transparent_huge_pages", json_text(h->huge_pages));
}

json_t *report_json(const struct report *r, bool with_samples)
{
	json_t *benches = json_array(), *versions = json_object();
	unsigned i;

	for (i = 0; i < r->count; i++)
		json_array_append_new(
			benches, result_json(&r->results[i], with_samples));
	for (i = 0; i < PEER_COUNT; i++)
		if (*r->parts->peers[i])
			json_object_set_new(versions, peer_name(i),
					    json_text(r->parts->versions[i]));
	return json_pack("{s:s,s:s,s:o,s:o,s:o}", "time", r->host->time,
			 "mayfly", MAYFLY_VERSION, "host", host_json(r->host),
			 "versions", versions, "benches", benches);
}

void report_csv(const struct report *r, FILE *to)
{
	unsigned i, k, n;

	fprintf(to, "bench,peer,round,value,unit\n");
	for (i = 0; i < r->count; i++) {
		const struct result *b = &r->results[i];

		for (k = 0; k < b->series_count; k++)
			for (n = 0; n < b->series[k].count; n++)
				fprintf(to, "%s,%s,%u,%.4f,%s\n", b->name,
					b->series[k].name, n + 1,
					b->series[k].values[n], b->unit);
	}
}

static void series_text(const struct result *r, unsigned i, FILE *to)
{
	const struct series *s = &r->series[i];
	const struct stats_estimate e = stats_estimate(s->values, s->count);
	struct stats_estimate ratio;

	fprintf(to, "  %-18s %10.2f %-4s [%.2f, %.2f]", s->name, e.median,
		r->unit, e.interval.low, e.interval.high);
	if (i) {
		ratio = result_ratio(r, i);
		fprintf(to, "   mayfly is %.3f x [%.3f, %.3f]", ratio.median,
			ratio.interval.low, ratio.interval.high);
	}
	putc('\n', to);
}

static void result_text(const struct result *r, FILE *to)
{
	unsigned i;

	if (r->state == RESULT_NOT_RUN) {
		fprintf(to, "%s: not run: %s\n\n", r->name, r->why);
		return;
	}
	fprintf(to, "%s: %s%s; medians of %u, 95 %% intervals\n", r->name,
		r->what, r->is_rate ? ", more is better" : "",
		r->series_count ? r->series[0].count : 0);
	for (i = 0; i < r->series_count; i++)
		series_text(r, i, to);
	for (i = 0; i < r->phase_count; i++)
		fprintf(to, "    %-40s %8.0f us\n", r->phases[i].name,
			r->phases[i].us);
	for (i = 0; i < r->figure_count; i++)
		fprintf(to, "    %-40s %8.2f %s\n", r->figures[i].name,
			r->figures[i].value, r->figures[i].unit);
	for (i = 0; i < r->left_out_count; i++)
		fprintf(to, "  without %s: %s\n", r->left_out[i].name,
			r->left_out[i].why);
	if (*r->why)
		fprintf(to, "  %s\n", r->why);
	putc('\n', to);
}

void report_text(const struct report *r, FILE *to)
{
	const struct host *h = r->host;
	unsigned i;

	fprintf(to, "%s, %ld CPUs, %s\n%s; KVM %s, governor %s\n", h->cpu,
		h->cpus, h->memory, h->kernel, h->kvm, h->governor);
	fprintf(to, "mayfly %s (%s)\n", MAYFLY_VERSION, r->parts->mayfly);
	for (i = 0; i < PEER_COUNT; i++)
		if (*r->parts->peers[i])
			fprintf(to, "%s: %s (%s)\n", peer_name(i),
				r->parts->versions[i], r->parts->peers[i]);
	putc('\n', to);
	for (i = 0; i < r->count; i++)
		result_text(&r->results[i], to);
}
