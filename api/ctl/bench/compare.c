/* Compares the ratios of two runs. */
#include "api/ctl/bench/compare.h"

#define ALIKE 0.10

static enum compare_outcome judge(const struct past_ratio *a,
				  const struct past_ratio *b)
{
	const double change = b->ratio / a->ratio;

	if (change <= 1 + ALIKE && change >= 1 / (1 + ALIKE))
		return COMPARE_ALIKE;
	if (a->low <= b->high && b->low <= a->high)
		return COMPARE_CANT_TELL;
	return COMPARE_DIFFERENT;
}

enum compare_outcome compare_runs(const struct past_run *a,
				  const struct past_run *b, FILE *to)
{
	static const char *const words[] = {"alike", "can't tell", "different"};
	static const char *const verdicts[] = {
		"all ratios are within 10 % of each other",
		"can't tell: ratios differ by more than 10 %, and their "
		"intervals meet; take more rounds on a machine that does "
		"nothing else",
		"the runs differ by more than 10 %, and by more than chance",
		"can't tell: the runs have no ratio in common",
	};
	enum compare_outcome worst = COMPARE_NOTHING, one;
	const struct past_ratio *other;
	unsigned i;

	for (i = 0; i < a->count; i++) {
		const struct past_ratio *r = &a->ratios[i];

		other = past_find(b, r->bench, r->peer);
		if (!other) {
			fprintf(to, "%-8s %-18s only in the first\n", r->bench,
				r->peer);
			continue;
		}
		one = judge(r, other);
		fprintf(to,
			"%-8s %-18s %.3f [%.3f, %.3f]  %.3f [%.3f, %.3f]  %s\n",
			r->bench, r->peer, r->ratio, r->low, r->high,
			other->ratio, other->low, other->high, words[one]);
		if (worst == COMPARE_NOTHING || one > worst)
			worst = one;
	}
	fprintf(to, "%s\n", verdicts[worst]);
	return worst;
}
