/* The progress bar of imports. */
#include "api/ctl/image/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 30 };

void image_progress_begin(struct image_progress *p, bool is_quiet)
{
	const char *term = getenv("TERM");

	*p = (struct image_progress){
		.is_shown = !is_quiet && isatty(2) &&
			    (!term || strcmp(term, "dumb") != 0),
	};
}

void image_progress_phase(struct image_progress *p, const char *phase,
			  uint64_t total)
{
	p->phase = phase;
	p->total = total;
	p->before = 0;
	image_progress_show(p, 0);
}

void image_progress_show(const struct image_progress *p, uint64_t done)
{
	char bar[WIDTH + 1];
	uint64_t percent;

	if (!p->is_shown || !p->phase)
		return;
	done += p->before;
	if (!p->total) {
		fprintf(stderr, "\r\033[K%-10s %8.1f MiB", p->phase,
			(double)done / 1048576);
		return;
	}
	if (done > p->total)
		done = p->total;
	percent = done * 100 / p->total;
	memset(bar, '.', WIDTH);
	memset(bar, '#', percent * WIDTH / 100);
	bar[WIDTH] = 0;
	fprintf(stderr, "\r\033[K%-10s [%s] %3u%% of %.1f MiB", p->phase, bar,
		(unsigned)percent, (double)p->total / 1048576);
}

void image_progress_end(const struct image_progress *p)
{
	if (p->is_shown)
		fputs("\r\033[K", stderr);
}
