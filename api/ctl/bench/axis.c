/* Scales of plots, linear and logarithmic. */
#include "api/ctl/bench/axis.h"

#include <math.h>

void axis_init(struct axis *a, double min, double max, bool is_log)
{
	if (is_log) {
		min = min > 0 ? min : 1e-6;
		max = max > min ? max : min;
		if (max / min < 1.5) {
			min /= 1.3;
			max *= 1.3;
		}
		min /= 1.08;
		max *= 1.08;
	} else if (!(max > min)) {
		max = min + 1;
	}
	a->min = min;
	a->max = max;
	a->is_log = is_log;
}

bool axis_wants_log(double min, double max)
{
	return min > 0 && max / min > 15;
}

double axis_place(const struct axis *a, double value)
{
	double share;

	if (a->is_log)
		share = value > 0 ? log(value / a->min) / log(a->max / a->min)
				  : 0;
	else
		share = (value - a->min) / (a->max - a->min);
	return a->from + fmin(fmax(share, 0), 1) * (a->to - a->from);
}

/* 1, 2 and 5 of each decade; only 1 where there are many. */
static unsigned log_ticks(const struct axis *a, double ticks[AXIS_TICKS_MAX])
{
	static const double steps[] = {1, 2, 5};
	const double decades = log10(a->max / a->min);
	const int last = (int)ceil(log10(a->max));
	const unsigned per = decades > 2.5 ? 1 : 3;
	int every = decades > 8 ? 2 : 1, d;
	unsigned n = 0, i;

	for (d = (int)floor(log10(a->min)); d <= last; d += every)
		for (i = 0; i < per && n < AXIS_TICKS_MAX; i++) {
			const double v = steps[i] * pow(10, d);

			if (v >= a->min * 0.999 && v <= a->max * 1.001)
				ticks[n++] = v;
		}
	return n;
}

static unsigned linear_ticks(const struct axis *a, double ticks[AXIS_TICKS_MAX])
{
	const double rough = (a->max - a->min) / 4;
	const double decade = pow(10, floor(log10(rough)));
	double step = decade, first;
	unsigned n = 0;

	if (rough / decade > 7)
		step = 10 * decade;
	else if (rough / decade > 3.5)
		step = 5 * decade;
	else if (rough / decade > 1.5)
		step = 2 * decade;
	first = ceil(a->min / step);
	while (n < AXIS_TICKS_MAX &&
	       (first + n) * step <= a->max + step / 1e6) {
		ticks[n] = (first + n) * step;
		n++;
	}
	return n;
}

unsigned axis_ticks(const struct axis *a, double ticks[AXIS_TICKS_MAX])
{
	/* Within a few times of each other 1, 2 and 5 are too few. */
	if (a->is_log && a->max / a->min > 4)
		return log_ticks(a, ticks);
	return linear_ticks(a, ticks);
}

void axis_number(double value, char *out, size_t size)
{
	if (fabs(value) >= 1e6)
		snprintf(out, size, "%.3gM", value / 1e6);
	else if (fabs(value) >= 1e4)
		snprintf(out, size, "%.3gk", value / 1e3);
	else
		snprintf(out, size, "%.3g", value);
	/* %g has an exponent from a thousand on where there are 4 digits. */
	if (fabs(value) >= 1e3 && fabs(value) < 1e4)
		snprintf(out, size, "%.0f", value);
}
