#include "api/ctl/serve/page.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/ctl/serve/text.h"
#include "vmm/base/version.h"

/* Of a plot's picture; its numbers stand below it. */
#define PLOT_WIDTH  480
#define PLOT_HEIGHT 110
#define PLOT_FOOT   18

/* Colours as on the page of mayctl bench. Nothing is fetched, nothing runs. */
static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<meta http-equiv=\"refresh\" content=\"5\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
	"'none'; style-src 'unsafe-inline'\">\n"
	"<title>mayctl serve</title>\n<style>\n"
	":root{--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--dim:#5b6470;"
	"--line:#e2e5ea;--bad:#a6410a;--c0:#0072b2;--c1:#c9730a}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2126;"
	"--ink:#e8eaed;--dim:#a0a8b2;--line:#333940;--bad:#ffab70;"
	"--c0:#56b4e9;--c1:#e69f00}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;padding:16px;background:var(--bg);color:var(--ink);"
	"font:15px/1.45 system-ui,sans-serif}\n"
	"main{max-width:1100px;margin:auto}\n"
	"h1{font-size:24px;margin:8px 0 2px}h2{font-size:18px;margin:0;"
	"overflow-wrap:anywhere}\n"
	"h3{font-size:14px;margin:14px 0 4px;font-weight:600}\n"
	"p{margin:2px 0 8px;color:var(--dim);overflow-wrap:anywhere}\n"
	"p.bad{color:var(--bad)}\n"
	"section{background:var(--card);border:1px solid var(--line);"
	"border-radius:10px;padding:16px;margin:14px 0}\n"
	".plots{display:grid;gap:4px 32px;"
	"grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))}\n"
	"dl{display:flex;flex-wrap:wrap;gap:4px 24px;margin:8px 0}\n"
	"dt{color:var(--dim);font-size:13px}"
	"dd{margin:0;font-size:19px;font-variant-numeric:tabular-nums}\n"
	"svg{display:block;width:100%;max-width:520px;height:auto}\n"
	"text{fill:var(--dim);font-size:14px;text-anchor:middle}"
	"line{stroke:var(--line)}\n"
	".first{fill:var(--c0)}.whole{fill:var(--c1)}\n"
	"</style></head><body><main>\n";

/* Of what others have named: images, and why a microVM could not be made. */
static void put_text(struct text *to, const char *text)
{
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c == '<' || c == '>' || c == '&' || c == '"' || c < ' ')
			text_put(to, "&#%u;", c < ' ' ? ' ' : c);
		else
			text_put(to, "%c", c);
	}
}

static const char *time_text(uint64_t ns, char out[24])
{
	if (ns >= 1000000000)
		snprintf(out, 24, "%g s", (double)ns / 1e9);
	else
		snprintf(out, 24, "%g ms", (double)ns / 1e6);
	return out;
}

static void put_quantile(struct text *to, const struct histogram *h,
			 const char *name, unsigned per_mille)
{
	const uint64_t ns = histogram_quantile_ns(h, per_mille);
	char bound[24];

	text_put(to, "<div><dt>%s</dt><dd>", name);
	if (!h->count)
		text_put(to, "-");
	else if (ns == UINT64_MAX)
		text_put(to, "over %s",
			 time_text(histogram_bounds_ns[HISTOGRAM_BUCKETS - 1],
				   bound));
	else
		text_put(to, "&le; %s", time_text(ns, bound));
	text_put(to, "</dd></div>");
}

/* A bar for each bucket, the largest as high as there is room. */
static void put_plot(struct text *to, const char *title, const char *class,
		     const struct histogram *h)
{
	const double step = (double)PLOT_WIDTH / (HISTOGRAM_BUCKETS + 1);
	uint64_t most = 1;
	unsigned i;

	for (i = 0; i <= HISTOGRAM_BUCKETS; i++)
		if (h->buckets[i] > most)
			most = h->buckets[i];
	text_put(to, "<div><h3>%s</h3><dl>", title);
	put_quantile(to, h, "half of them", 500);
	put_quantile(to, h, "99 of 100", 990);
	put_quantile(to, h, "999 of 1,000", 999);
	text_put(to,
		 "</dl>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" "
		 "aria-label=\"%s: %llu counted\">",
		 PLOT_WIDTH, PLOT_HEIGHT + PLOT_FOOT, title,
		 (unsigned long long)h->count);
	for (i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		const double high =
			(double)h->buckets[i] * PLOT_HEIGHT / (double)most;
		char bound[24];

		text_put(to,
			 "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" "
			 "width=\"%.1f\" height=\"%.1f\"/>",
			 class, i * step + 2, PLOT_HEIGHT - high, step - 4,
			 high);
		/* At the bar's end: it counts up to there. */
		if (i < HISTOGRAM_BUCKETS && i % 3 == 0)
			text_put(to, "<text x=\"%.1f\" y=\"%d\">%s</text>",
				 (i + 1) * step, PLOT_HEIGHT + PLOT_FOOT - 4,
				 time_text(histogram_bounds_ns[i], bound));
	}
	text_put(to,
		 "<line x1=\"0\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/></svg></div>\n",
		 PLOT_HEIGHT, PLOT_WIDTH, PLOT_HEIGHT);
}

static void put_number(struct text *to, const char *name, uint64_t n)
{
	text_put(to, "<div><dt>%s</dt><dd>%llu</dd></div>", name,
		 (unsigned long long)n);
}

static void put_function(struct text *to, const struct function *f)
{
	static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx",
					      "5xx"};
	unsigned i;

	text_put(to, "<section><h2>/%s/</h2><p>", f->plan.name);
	put_text(to, f->plan.image);
	text_put(to,
		 ", %s%s, at most %u microVMs, %u to spare, %u may wait</p>",
		 f->plan.is_stdio ? "stdio, " : "",
		 function_modes[f->plan.options.mode], f->plan.options.max,
		 f->plan.options.spare, f->plan.options.queue);
	if (*f->why) {
		text_put(to, "<p class=\"bad\">");
		put_text(to, f->why);
		text_put(to, "</p>");
	}
	text_put(to, "<h3>microVMs</h3><dl>");
	for (i = 0; i < INSTANCE_STAGES; i++)
		put_number(to, instance_words[i], function_count(f, i));
	put_number(to, "made", f->made_count);
	put_number(to, "failed", f->failed_count);
	put_number(to, "taken back", f->reset_count);
	text_put(to, "</dl><h3>requests</h3><dl>");
	put_number(to, "waiting", f->waiting);
	for (i = 0; i < 5; i++)
		put_number(to, classes[i], f->by_class[i + 1]);
	put_number(to, "refused", f->refused_count);
	text_put(to, "</dl>\n<div class=\"plots\">");
	put_plot(to, "to the first byte", "first", &f->first_byte);
	put_plot(to, "to the end", "whole", &f->whole);
	text_put(to, "</div></section>\n");
}

char *page_of(const struct front *f)
{
	struct text text = {0};
	unsigned i;

	text_put(&text,
		 "%s<h1>mayctl serve</h1><p>%u function%s, %u connection%s of "
		 "clients, %llu accepted, %llu not HTTP; mayfly %s</p>\n",
		 head, f->function_count, f->function_count == 1 ? "" : "s",
		 f->client_count, f->client_count == 1 ? "" : "s",
		 (unsigned long long)f->accepted_count,
		 (unsigned long long)f->bad_count, MAYFLY_VERSION);
	for (i = 0; i < f->function_count; i++)
		put_function(&text, f->functions[i]);
	text_put(&text, "</main></body></html>\n");
	if (!text.is_broken)
		return text.bytes;
	free(text.bytes);
	return NULL;
}
