/* The page of a run: a summary, then a card for each bench. */
#include "api/ctl/bench/page.h"

#include <math.h>
#include <string.h>

#include "api/ctl/bench/plot.h"
#include "vmm/base/version.h"

/* Colours tell series apart for the colour-blind, too (Okabe and Ito 2008). */
static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<title>mayctl bench</title>\n<style>\n"
	":root{--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--dim:#5b6470;"
	"--line:#e2e5ea;--bad:#a6410a;"
	"--c0:#0072b2;--c1:#c9730a;--c2:#00875f;--c3:#b8588f;--c4:#5aa9dd;"
	"--c5:#8a6d00;--c6:#6d5bd0;--c7:#777}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2126;"
	"--ink:#e8eaed;--dim:#a0a8b2;--line:#333940;--bad:#ffab70;"
	"--c0:#56b4e9;--c1:#e69f00;--c2:#2fc59b;--c3:#e08bbd;--c4:#8fb8ff;"
	"--c5:#e8d44d;--c6:#b3a4ff;--c7:#aaa}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;padding:16px;background:var(--bg);color:var(--ink);"
	"font:15px/1.45 system-ui,sans-serif}\n"
	"main{max-width:1100px;margin:auto}\n"
	"h1{font-size:24px;margin:8px 0 2px}h2{font-size:18px;margin:0}\n"
	"h3{font-size:14px;margin:14px 0 4px;font-weight:600}\n"
	"p{margin:2px 0 8px;color:var(--dim)}\n"
	"section{background:var(--card);border:1px solid var(--line);"
	"border-radius:10px;padding:16px;margin:14px 0}\n"
	".plots{display:grid;gap:4px 32px;"
	"grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))}\n"
	"svg{display:block;width:100%;max-width:520px;height:auto}\n"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
	".scroll{overflow-x:auto;margin:8px 0}\n"
	"th,td{text-align:right;padding:4px 14px 4px 0;white-space:nowrap;"
	"border-bottom:1px solid var(--line)}\n"
	"th{color:var(--dim);font-weight:500;font-size:13px}\n"
	"th:first-child,td:first-child{text-align:left}\n"
	"td.why{text-align:left;white-space:normal;color:var(--dim)}\n"
	".dim,td.dim{color:var(--dim)}.bad{color:var(--bad)}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;"
	"margin:8px 0}dt{color:var(--dim)}dd{margin:0;"
	"overflow-wrap:anywhere}\n"
	".legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;"
	"padding:0;margin:2px 0 8px;font-size:13px}\n"
	".legend i{display:inline-block;width:10px;height:10px;"
	"border-radius:2px;margin-right:6px}\n"
	"text{fill:var(--ink);font-size:12px}text.tick{fill:var(--dim);"
	"font-size:11px}text.mid{text-anchor:middle}"
	"text.end{text-anchor:end}\n"
	".grid{stroke:var(--line)}.one{stroke:var(--dim);"
	"stroke-dasharray:4 3}.median{stroke:var(--ink);stroke-width:2}\n"
	".range{stroke:currentColor;stroke-width:3;stroke-linecap:round}\n"
	".dots{opacity:.5}polyline{fill:none;stroke:currentColor;"
	"stroke-width:2;stroke-linejoin:round}\n"
	".part{stroke:var(--card);stroke-width:1.5}\n"
	"circle,rect{fill:currentColor}.legend i{background:currentColor}\n"
	"@media(max-width:480px){body{padding:8px}section{padding:12px}"
	"table{font-size:13px}th,td{padding:4px 8px 4px 0}"
	"th:nth-child(5),td:nth-child(5){display:none}"
	"h1{font-size:20px}}\n"
	"code{font-size:12px;overflow-wrap:anywhere}"
	"details{margin-top:8px}summary{color:var(--dim);cursor:pointer}\n";

static void term(const char *name, const char *value, FILE *to)
{
	if (!*value)
		return;
	fputs("<dt>", to);
	plot_text(name, to);
	fputs("</dt><dd>", to);
	plot_text(value, to);
	fputs("</dd>\n", to);
}

static void write_host(const struct report *r, FILE *to)
{
	const struct host *h = r->host;
	char cpu[192];
	unsigned i;

	snprintf(cpu, sizeof(cpu), "%s, %ld of them", h->cpu, h->cpus);
	fputs("<section><h2>Where it was measured</h2><dl>\n", to);
	term("time", h->time, to);
	term("host", h->name, to);
	term("CPU", cpu, to);
	term("memory", h->memory, to);
	term("kernel", h->kernel, to);
	term("KVM", h->kvm, to);
	term("governor", h->governor, to);
	term("machine", h->virtual, to);
	term("huge pages", h->huge_pages, to);
	term("mayfly", MAYFLY_VERSION, to);
	for (i = 0; i < PEER_COUNT; i++)
		if (*r->parts->peers[i])
			term(peer_name(i),
			     *r->parts->versions[i] ? r->parts->versions[i]
						    : "of unknown version",
			     to);
	fputs("</dl></section>\n", to);
}

/* The same peer has the same colour everywhere. */
static unsigned colour_of(const char *peer)
{
	static const char *const peers[] = {
		"mayfly",	    "floor",   "qemu",	  "firecracker",
		"cloud-hypervisor", "kvmtool", "unjailed"};
	unsigned i;

	for (i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		if (!strcmp(peers[i], peer))
			return i;
	return 7;
}

static void write_summary(const struct report *r, FILE *to)
{
	struct plot_item items[PLOT_ITEMS_MAX];
	char names[PLOT_ITEMS_MAX][128];
	unsigned i, k, n = 0;

	for (i = 0; i < r->count; i++) {
		const struct result *b = &r->results[i];

		if (b->state == RESULT_NOT_RUN)
			continue;
		for (k = 1; k < b->series_count && n < PLOT_ITEMS_MAX; k++) {
			const struct stats_estimate e = result_ratio(b, k);

			snprintf(names[n], sizeof(names[n]), "%s / %s%s%s",
				 b->name, b->series[k].name,
				 b->is_rate ? " (rate)" : "",
				 b->state == RESULT_NOISY ? " (noisy)" : "");
			items[n] = (struct plot_item){
				.name = names[n],
				.median = e.median,
				.low = e.interval.low,
				.high = e.interval.high,
				.colour = colour_of(b->series[k].name),
			};
			n++;
		}
	}
	if (!n)
		return;
	fputs("<section><h2>mayfly beside its peers</h2><p>Ratios pair by "
	      "pair, medians with 95&nbsp;% intervals. Left of 1 mayfly takes "
	      "less; of a rate, right of 1 it does more.</p>"
	      "<div class=\"plots\"><div>\n",
	      to);
	plot_ratios(items, n > 1 ? (n + 1) / 2 : n, to);
	fputs("</div><div>\n", to);
	if (n > 1)
		plot_ratios(items + (n + 1) / 2, n / 2, to);
	fputs("</div></div></section>\n", to);
}

/* With as many digits as are worth reading. */
static void write_value(double v, FILE *to)
{
	int digits = v >= 100 ? 1 : 2;

	if (v >= 1000 || v == floor(v))
		digits = 0;
	fprintf(to, "%.*f", digits, v);
}

static void write_table(const struct result *b, FILE *to)
{
	unsigned i;

	fputs("<div class=\"scroll\"><table><tr><th></th><th>median</th>"
	      "<th>95&nbsp;% interval</th><th>mayfly is</th>"
	      "<th>rounds</th></tr>\n",
	      to);
	for (i = 0; i < b->series_count; i++) {
		const struct series *s = &b->series[i];
		struct stats_estimate e = stats_estimate(s->values, s->count);

		fputs("<tr><td>", to);
		plot_text(s->name, to);
		fputs("</td><td>", to);
		write_value(e.median, to);
		fprintf(to, " %s</td><td class=\"dim\">", b->unit);
		write_value(e.interval.low, to);
		fputs(" to ", to);
		write_value(e.interval.high, to);
		fputs("</td>", to);
		if (i) {
			e = result_ratio(b, i);
			fprintf(to, "<td>%.3f &times;</td>", e.median);
		} else {
			fputs("<td></td>", to);
		}
		fprintf(to, "<td class=\"dim\">%u</td></tr>\n", s->count);
	}
	fputs("</table></div>\n", to);
}

static void write_figures(const struct result *b, FILE *to)
{
	unsigned i;

	if (b->figure_count)
		fputs("<div class=\"scroll\"><table>\n", to);
	for (i = 0; i < b->figure_count; i++) {
		const struct figure *f = &b->figures[i];

		fputs("<tr><td class=\"dim\">", to);
		plot_text(f->name, to);
		fputs("</td><td>", to);
		write_value(f->value, to);
		fprintf(to, " %s</td></tr>\n", f->unit);
	}
	if (b->figure_count)
		fputs("</table></div>\n", to);
	for (i = 0; i < b->left_out_count; i++) {
		fputs("<p>Without ", to);
		plot_text(b->left_out[i].name, to);
		fputs(": ", to);
		plot_text(b->left_out[i].why, to);
		fputs("</p>\n", to);
	}
	fputs("<details><summary>commands</summary>\n", to);
	for (i = 0; i < b->series_count; i++) {
		fputs("<p><code>", to);
		plot_text(b->series[i].command, to);
		fputs("</code></p>\n", to);
	}
	fputs("</details>\n", to);
}

static void write_strips(const struct result *b, FILE *to)
{
	struct plot_item items[RESULT_SERIES_MAX];
	unsigned i;

	for (i = 0; i < b->series_count; i++)
		items[i] = (struct plot_item){
			.name = b->series[i].name,
			.ys = b->series[i].values,
			.count = b->series[i].count,
			.median = stats_median(b->series[i].values,
					       b->series[i].count),
			.colour = colour_of(b->series[i].name),
		};
	fputs("<div><h3>All rounds</h3>\n", to);
	plot_strips(items, b->series_count, b->unit, to);
	fputs("</div>\n", to);
}

static void write_phases(const struct result *b, FILE *to)
{
	struct plot_item items[RESULT_PHASES_MAX];
	char names[RESULT_PHASES_MAX][96];
	unsigned i;

	if (!b->phase_count)
		return;
	for (i = 0; i < b->phase_count; i++) {
		snprintf(names[i], sizeof(names[i]), "%s, %.0f us",
			 b->phases[i].name, b->phases[i].us);
		items[i] = (struct plot_item){
			.name = names[i],
			.ys = &b->phases[i].us,
			.count = 1,
			.colour = i % 8,
		};
	}
	fputs("<div><h3>Where the time goes</h3>\n", to);
	plot_stack(items, b->phase_count, "us", to);
	plot_legend(items, b->phase_count, to);
	fputs("</div>\n", to);
}

/* Curves of one plot stand together; the first of each draws all. */
static void write_curves(const struct result *b, FILE *to)
{
	struct plot_item items[RESULT_CURVES_MAX];
	unsigned i, k, n;

	for (i = 0; i < b->curve_count; i++) {
		const struct curve *c = &b->curves[i];

		if (i && !strcmp(c->plot, b->curves[i - 1].plot))
			continue;
		for (k = i, n = 0;
		     k < b->curve_count && !strcmp(c->plot, b->curves[k].plot);
		     k++)
			items[n++] = (struct plot_item){
				.name = b->curves[k].name,
				.xs = b->curves[k].xs,
				.ys = b->curves[k].ys,
				.count = b->curves[k].count,
				.colour = colour_of(b->curves[k].name),
			};
		fputs("<div><h3>", to);
		plot_text(c->plot, to);
		fputs("</h3>\n", to);
		plot_lines(items, n, c->x, c->y, to);
		plot_legend(items, n, to);
		fputs("</div>\n", to);
	}
}

/* Ratios over runs, this one last; points of x are runs. */
static void write_history(const struct result *b, const struct past *past,
			  FILE *to)
{
	static double xs[RESULT_SERIES_MAX][PAST_RUNS_MAX + 1];
	static double ys[RESULT_SERIES_MAX][PAST_RUNS_MAX + 1];
	struct plot_item items[RESULT_SERIES_MAX];
	unsigned i, k, n = 0;

	if (!past->count || b->series_count < 2)
		return;
	for (i = 1; i < b->series_count; i++, n++) {
		const char *peer = b->series[i].name;
		unsigned at = 0;

		for (k = 0; k < past->count; k++) {
			const struct past_ratio *r =
				past_find(&past->runs[k], b->name, peer);

			if (!r)
				continue;
			xs[n][at] = k + 1;
			ys[n][at++] = r->ratio;
		}
		xs[n][at] = past->count + 1;
		ys[n][at++] = result_ratio(b, i).median;
		items[n] = (struct plot_item){
			.name = peer,
			.xs = xs[n],
			.ys = ys[n],
			.count = at,
			.colour = colour_of(peer),
		};
	}
	fputs("<div><h3>Ratios of earlier runs, this one last</h3>\n", to);
	plot_lines(items, n, "run", "mayfly to its peer", to);
	plot_legend(items, n, to);
	fputs("</div>\n", to);
}

static void write_result(const struct result *b, const struct past *past,
			 FILE *to)
{
	fprintf(to, "<section><h2>%s</h2><p>", b->name);
	plot_text(b->what, to);
	fprintf(to, "%s</p>\n", b->is_rate ? "; more is better" : "");
	if (*b->why) {
		fputs("<p class=\"bad\">", to);
		plot_text(b->why, to);
		fputs("</p>\n", to);
	}
	if (b->series_count) {
		write_table(b, to);
		fputs("<div class=\"plots\">\n", to);
		write_strips(b, to);
		write_phases(b, to);
		write_curves(b, to);
		write_history(b, past, to);
		fputs("</div>\n", to);
		write_figures(b, to);
	}
	fputs("</section>\n", to);
}

/* One table for all that was not run, after what was. */
static void write_not_run(const struct report *r, FILE *to)
{
	unsigned i, n = 0;

	for (i = 0; i < r->count; i++) {
		const struct result *b = &r->results[i];

		if (b->state != RESULT_NOT_RUN)
			continue;
		if (!n++)
			fputs("<section><h2>Not run</h2><table>\n", to);
		fprintf(to, "<tr><td>%s</td><td class=\"why\">", b->name);
		plot_text(b->why, to);
		fputs("</td></tr>\n", to);
	}
	if (n)
		fputs("</table></section>\n", to);
}

void page_write(const struct report *r, const struct past *past, FILE *to)
{
	unsigned i;

	fputs(head, to);
	for (i = 0; i < 8; i++)
		fprintf(to, ".s%u{color:var(--c%u)}", i, i);
	fprintf(to,
		"\n</style></head><body><main>\n<h1>mayctl bench</h1>"
		"<p>mayfly %s, %s</p>\n",
		MAYFLY_VERSION, r->host->time);
	write_summary(r, to);
	for (i = 0; i < r->count; i++)
		if (r->results[i].state != RESULT_NOT_RUN)
			write_result(&r->results[i], past, to);
	write_not_run(r, to);
	write_host(r, to);
	fputs("</main></body></html>\n", to);
}
