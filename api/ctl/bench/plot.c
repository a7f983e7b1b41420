/* SVG by hand: few shapes, no scripts, nothing from elsewhere. */
#include "api/ctl/bench/plot.h"

#include <math.h>

#include "api/ctl/bench/axis.h"

#define WIDTH  400.0
#define LEFT   8.0
#define RIGHT  (WIDTH - 8.0)
#define ROW    48.0
#define BOTTOM 24.0 /* of the numbers at an axis */

void plot_text(const char *text, FILE *to)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			putc(*text, to);
		}
}

static void begin(double height, const char *label, FILE *to)
{
	fprintf(to, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
		WIDTH, height);
	plot_text(label, to);
	fputs("\">\n", to);
}

static void text_at(double x, double y, const char *class, const char *text,
		    FILE *to)
{
	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
	plot_text(text, to);
	fputs("</text>\n", to);
}

static void line(double x1, double y1, double x2, double y2, const char *class,
		 FILE *to)
{
	fprintf(to,
		"<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
		"class=\"%s\"/>\n",
		x1, y1, x2, y2, class);
}

/*
 * Numbers below, and lines up to top; those too near to the last are left out,
 * and where things are counted those between two numbers.
 */
static void x_axis(const struct axis *a, double top, double bottom,
		   const char *unit, bool is_count, FILE *to)
{
	double ticks[AXIS_TICKS_MAX], last = -100;
	const unsigned n = axis_ticks(a, ticks);
	char text[48], number[24];
	unsigned i;

	for (i = 0; i < n; i++) {
		const double x = axis_place(a, ticks[i]);

		if (is_count && fabs(ticks[i] - round(ticks[i])) > 1e-6)
			continue;
		line(x, top, x, bottom, "grid", to);
		if (x - last < 34)
			continue;
		last = x;
		axis_number(ticks[i], number, sizeof(number));
		snprintf(text, sizeof(text), "%s%s%s", number,
			 i || !*unit ? "" : " ", i ? "" : unit);
		text_at(x, bottom + 15, "tick mid", text, to);
	}
}

static void range_of(const struct plot_item *items, unsigned count, double *min,
		     double *max)
{
	unsigned i, k;

	*min = HUGE_VAL;
	*max = 0;
	for (i = 0; i < count; i++)
		for (k = 0; k < items[i].count; k++) {
			*min = fmin(*min, items[i].ys[k]);
			*max = fmax(*max, items[i].ys[k]);
		}
}

/* Dots spread over a strip's height, the same way each time. */
static void strip(const struct plot_item *item, const struct axis *a, double y,
		  const char *unit, FILE *to)
{
	char text[128], number[24];
	unsigned i, step = item->count / 300 + 1;

	axis_number(item->median, number, sizeof(number));
	snprintf(text, sizeof(text), "%s  %s %s", item->name, number, unit);
	text_at(LEFT, y + 11, "label", text, to);
	fprintf(to, "<g class=\"s%u dots\">", item->colour);
	for (i = 0; i < item->count; i += step)
		fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>",
			axis_place(a, item->ys[i]),
			y + 23 + (i * 7919 % 97) / 97.0 * 14);
	fputs("</g>\n", to);
	line(axis_place(a, item->median), y + 19, axis_place(a, item->median),
	     y + 41, "median", to);
}

void plot_strips(const struct plot_item *items, unsigned count,
		 const char *unit, FILE *to)
{
	struct axis a = {.from = LEFT + 8, .to = RIGHT - 8};
	const double bottom = 4 + count * ROW;
	double min, max;
	unsigned i;

	range_of(items, count, &min, &max);
	if (!(max >= min))
		return;
	axis_init(&a, min, max, min > 0);
	begin(bottom + BOTTOM, "distribution of all rounds", to);
	x_axis(&a, 4, bottom, unit, false, to);
	for (i = 0; i < count; i++)
		strip(&items[i], &a, 4 + i * ROW, unit, to);
	fputs("</svg>\n", to);
}

void plot_ratios(const struct plot_item *items, unsigned count, FILE *to)
{
	struct axis a = {.from = LEFT + 16, .to = RIGHT - 16};
	const double bottom = 4 + count * 34;
	double min = 0.9, max = 1.1;
	char text[160];
	unsigned i;

	for (i = 0; i < count; i++) {
		min = fmin(min, items[i].low);
		max = fmax(max, items[i].high);
	}
	axis_init(&a, min, max, true);
	begin(bottom + BOTTOM, "ratios of mayfly to its peers", to);
	x_axis(&a, 4, bottom, "", false, to);
	line(axis_place(&a, 1), 4, axis_place(&a, 1), bottom, "one", to);
	for (i = 0; i < count; i++) {
		const double y = 4 + i * 34;

		snprintf(text, sizeof(text), "%s  %.3f", items[i].name,
			 items[i].median);
		text_at(LEFT, y + 11, "label", text, to);
		fprintf(to, "<g class=\"s%u\">", items[i].colour);
		line(axis_place(&a, items[i].low), y + 23,
		     axis_place(&a, items[i].high), y + 23, "range", to);
		fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/></g>\n",
			axis_place(&a, items[i].median), y + 23);
	}
	fputs("</svg>\n", to);
}

void plot_stack(const struct plot_item *items, unsigned count, const char *unit,
		FILE *to)
{
	struct axis a = {.from = LEFT + 8, .to = RIGHT - 8};
	double sum = 0, at = 0;
	unsigned i;

	for (i = 0; i < count; i++)
		sum += fmax(items[i].ys[0], 0);
	if (!(sum > 0))
		return;
	axis_init(&a, 0, sum, false);
	begin(44 + BOTTOM, "where the time goes", to);
	x_axis(&a, 4, 44, unit, false, to);
	for (i = 0; i < count; i++) {
		const double from = axis_place(&a, at);

		at += fmax(items[i].ys[0], 0);
		fprintf(to,
			"<rect x=\"%.1f\" y=\"8\" width=\"%.1f\" height=\"32\""
			" class=\"s%u part\"><title>",
			from, axis_place(&a, at) - from, items[i].colour);
		plot_text(items[i].name, to);
		fprintf(to, ": %.0f %s</title></rect>\n", items[i].ys[0], unit);
	}
	fputs("</svg>\n", to);
}

static void y_axis(const struct axis *a, double left, const char *name,
		   FILE *to)
{
	double ticks[AXIS_TICKS_MAX];
	const unsigned n = axis_ticks(a, ticks);
	char number[24];
	unsigned i;

	for (i = 0; i < n; i++) {
		const double y = axis_place(a, ticks[i]);

		line(left, y, RIGHT, y, "grid", to);
		axis_number(ticks[i], number, sizeof(number));
		text_at(left - 5, y + 4, "tick end", number, to);
	}
	text_at(LEFT, 11, "label", name, to);
}

static void draw_line(const struct plot_item *item, const struct axis *x,
		      const struct axis *y, FILE *to)
{
	unsigned i;

	fprintf(to, "<g class=\"s%u\"><polyline points=\"", item->colour);
	for (i = 0; i < item->count; i++)
		fprintf(to, "%.1f,%.1f ", axis_place(x, item->xs[i]),
			axis_place(y, item->ys[i]));
	fputs("\"/>", to);
	for (i = 0; i < item->count && item->count <= 40; i++) {
		fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>",
			axis_place(x, item->xs[i]), axis_place(y, item->ys[i]));
		plot_text(item->name, to);
		fprintf(to, ": %.4g, %.4g</title></circle>", item->xs[i],
			item->ys[i]);
	}
	fputs("</g>\n", to);
}

void plot_lines(const struct plot_item *items, unsigned count, const char *x,
		const char *y, FILE *to)
{
	struct axis ax = {.from = 48, .to = RIGHT - 8};
	struct axis ay = {.from = 180, .to = 24};
	double min, max, first = HUGE_VAL, last = -HUGE_VAL;
	unsigned i, k;

	range_of(items, count, &min, &max);
	for (i = 0; i < count; i++)
		for (k = 0; k < items[i].count; k++) {
			first = fmin(first, items[i].xs[k]);
			last = fmax(last, items[i].xs[k]);
		}
	if (!(max >= min) || !(last >= first))
		return;
	axis_init(&ax, first, last, axis_wants_log(first, last));
	if (axis_wants_log(min, max))
		axis_init(&ay, min, max, true);
	else
		axis_init(&ay, 0, max * 1.08, false);
	begin(222, y, to);
	y_axis(&ay, 48, y, to);
	x_axis(&ax, 24, 180, "", true, to);
	text_at(RIGHT, 214, "tick end", x, to);
	for (i = 0; i < count; i++)
		draw_line(&items[i], &ax, &ay, to);
	fputs("</svg>\n", to);
}

void plot_legend(const struct plot_item *items, unsigned count, FILE *to)
{
	unsigned i;

	fputs("<ul class=\"legend\">", to);
	for (i = 0; i < count; i++) {
		fprintf(to, "<li><i class=\"s%u\"></i>", items[i].colour);
		plot_text(items[i].name, to);
		fputs("</li>", to);
	}
	fputs("</ul>\n", to);
}
