/* Runs loads, and hears what they say. */
#include "api/ctl/bench/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/bench/program.h"
#include "api/ctl/vm/monitor.h"
#include "vmm/base/printable.h"

enum { HEARD_MAX = 64 << 10, MIB = 256 };

/* What was said so far, of which no whole line is left. */
struct ear {
	char text[HEARD_MAX];
	size_t len;
};

struct hearing {
	struct work_lane *lane;
	const struct work_watch *watch;
	double *values;
	unsigned ended; /* loads */
};

static int find_load(const struct work_lane *lane, const char *name)
{
	unsigned i;

	for (i = 0; i < lane->count; i++)
		if (!strcmp(lane->loads[i].name, name))
			return (int)i;
	return -1;
}

static int tell_watch(const struct hearing *h, int load, bool is_end,
		      double count, struct err *e)
{
	const struct work_watch *w = h->watch;

	return w && load >= 0
		       ? w->at(w->context, (unsigned)load, is_end, count, e)
		       : 0;
}

static int take_end(struct hearing *h, int load, double count, double ns,
		    double interrupts, struct err *e)
{
	const struct work_load *l = &h->lane->loads[load];

	if (load != (int)h->ended)
		return err_set(e, -EBADMSG, "its guest did other work");
	if (count < 1 || ns < 1)
		return err_set(e, -ENODATA, "%s: nothing came through",
			       l->name);
	h->ended++;
	if (h->values)
		h->values[load] = l->each > 0 ? count * l->each * 1e9 / ns
					      : ns / count / 1e3;
	if (series_add(&h->lane->interrupts[load], interrupts / count))
		return err_set(e, -ENOMEM, "no memory for rounds");
	return tell_watch(h, load, true, count, e);
}

/* Other lines are a kernel's. */
static int take_line(struct hearing *h, const char *line, struct err *e)
{
	double count, ns, interrupts;
	char name[RESULT_NAME_MAX], clean[256];
	int load;

	line = strstr(line, "work ");
	if (!line)
		return 0;
	if (sscanf(line, "work begin %47s", name) == 1)
		return tell_watch(h, find_load(h->lane, name), false, 0, e);
	if (sscanf(line, "work end %47s %lf %lf %lf", name, &count, &ns,
		   &interrupts) == 4) {
		load = find_load(h->lane, name);
		return load < 0 ? 0
				: take_end(h, load, count, ns, interrupts, e);
	}
	if (strncmp(line, "work failed: ", 13) != 0)
		return 0;
	line += 13;
	printable_copy(line, strcspn(line, "\r"), clean, sizeof(clean));
	return err_set(e, -ECHILD, "its guest's work failed: %s", clean);
}

static int take_lines(struct hearing *h, struct ear *ear, struct err *e)
{
	char *at = ear->text, *newline;
	int rc = 0;

	while (!rc && (newline = memchr(at, '\n',
					ear->len - (size_t)(at - ear->text)))) {
		*newline = '\0';
		rc = take_line(h, at, e);
		at = newline + 1;
	}
	ear->len -= (size_t)(at - ear->text);
	memmove(ear->text, at, ear->len);
	/* No line of ours is as long. */
	if (ear->len == sizeof(ear->text))
		ear->len = 0;
	return rc;
}

/* Until it says no more. */
static int hear(struct hearing *h, const struct spawned *s, struct err *e)
{
	static struct ear ear;
	ssize_t n;
	int rc;

	ear.len = 0;
	for (;;) {
		rc = spawn_await(s->out);
		if (rc)
			return err_set(e, rc, "%s",
				       rc == -EINTR
					       ? "ended by a signal"
					       : "its guest said nothing more");
		n = read(s->out, ear.text + ear.len,
			 sizeof(ear.text) - ear.len);
		if (n <= 0)
			return 0;
		ear.len += (size_t)n;
		rc = take_lines(h, &ear, e);
		if (rc)
			return rc;
	}
}

int work_watch(struct work_lane *lane, struct spawn_how *how,
	       const struct work_watch *watch, double *values, struct err *e)
{
	struct hearing h = {.lane = lane, .watch = watch, .values = values};
	struct spawned s;
	double ms;
	int rc;

	if (lane->leftover)
		unlink(lane->leftover);
	how->has_out = true;
	rc = spawn_begin(&s, how, e);
	if (rc)
		return rc;
	rc = hear(&h, &s, e);
	if (rc) {
		spawn_kill(&s);
		return rc;
	}
	rc = spawn_wait(&s, &ms, NULL, e);
	if (!rc && h.ended != lane->count)
		rc = err_set(e, -EBADMSG,
			     "its guest ended after %u of %u loads", h.ended,
			     lane->count);
	return rc;
}

static int once(void *context, double *values, struct err *e)
{
	struct work_lane *lane = context;
	struct spawn_how how = {.argv = lane->argv};

	return work_watch(lane, &how, NULL, values, e);
}

void work_lane(struct lane *lane, struct work_lane *work, const char *name,
	       const struct work_load *loads, unsigned count,
	       const char *const *argv)
{
	work->loads = loads;
	work->count = count;
	work->argv = argv;
	*lane = (struct lane){.name = name, .once = once, .context = work};
	program_words(argv, lane->command, sizeof(lane->command));
}

void work_fini(struct work_lane *lane)
{
	unsigned i;

	for (i = 0; i < ROUNDS_MEASURES_MAX; i++)
		series_fini(&lane->interrupts[i]);
}

int work_serve(struct spawned *s, const char *program, const char *address,
	       struct err *e)
{
	char job[PATH_MAX + 64], byte;
	const char *argv[] = {program, job, NULL};
	const struct spawn_how how = {.argv = argv, .has_out = true};
	int rc;

	snprintf(job, sizeof(job), "serve,%s", address);
	rc = spawn_begin(s, &how, e);
	if (!rc)
		rc = spawn_hear(s, &byte, e);
	/* Else it has begun to say why not. */
	if (!rc && byte != 's')
		rc = err_set(e, -EADDRINUSE, "nobody can listen at %s",
			     address);
	if (rc)
		spawn_kill(s);
	return rc;
}

int work_find(char out[PATH_MAX], struct err *e)
{
	return monitor_find_file(out, "bench-work", e);
}

int work_begin(struct guest *g, char program[PATH_MAX], const struct bench *b,
	       const char *name, struct err *e)
{
	int rc = guest_check(b, name, e);

	rc = rc ? rc : guest_find(g, "bench-work.initrd", e);
	rc = rc ? rc : work_find(program, e);
	if (!rc)
		g->mib = MIB;
	return rc;
}

void work_tell_interrupts(struct result *r, const struct work_lane *lane,
			  unsigned load, const char *name, const char *of)
{
	const struct series *s = &lane->interrupts[load];
	char text[96];

	if (!s->count)
		return;
	snprintf(text, sizeof(text), "%s: interrupts of each %s", name, of);
	result_figure(r, text, stats_median(s->values, s->count), "");
}
