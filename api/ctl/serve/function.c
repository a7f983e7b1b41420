#include "api/ctl/serve/function.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { AGAIN_NS = 1000000000 };

bool function_is_name(const char *name)
{
	const size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789-_");

	return len && len <= FUNCTION_NAME_MAX && !name[len] &&
	       isalnum((unsigned char)*name);
}

unsigned function_count(const struct function *f, enum instance_stage stage)
{
	const struct instance *i;
	unsigned n = 0;

	for (i = f->instances; i; i = i->next)
		n += i->stage == stage;
	return n;
}

static unsigned count_all(const struct function *f)
{
	const struct instance *i;
	unsigned n = 0;

	for (i = f->instances; i; i = i->next)
		n++;
	return n;
}

void function_plan_fini(struct function_plan *p)
{
	char **word;

	for (word = p->argv; word && *word; word++)
		free(*word);
	free(p->argv);
	free(p->image);
	p->argv = NULL;
	p->image = NULL;
}

/* ---- making ------------------------------------------------------------- */

static bool is_template(const struct function *f)
{
	return f->plan.options.mode != FUNCTION_COLD && !f->has_folder;
}

static void put_run(const struct function *f, const char **words, unsigned *n)
{
	words[(*n)++] = "run";
	words[(*n)++] = "--detach";
	words[(*n)++] = "--quiet";
	words[(*n)++] = "--memory";
	words[(*n)++] = f->plan.options.memory;
	words[(*n)++] = "--cpus";
	words[(*n)++] = f->plan.options.cpus;
	words[(*n)++] = "--net";
	words[(*n)++] = f->plan.options.net;
	if (f->plan.options.mode == FUNCTION_COLD)
		words[(*n)++] = "--cold";
	if (f->plan.is_stdio)
		words[(*n)++] = "--idle";
}

static int make_one(struct function *f, struct instance *i, struct err *e)
{
	const char *words[FUNCTION_WORDS];
	unsigned n = 0;

	snprintf(i->name, sizeof(i->name), "%s-%u", f->prefix, ++*f->made);
	if (f->has_folder)
		words[n++] = "restore";
	else
		put_run(f, words, &n);
	if (f->plan.options.has_no_jail)
		words[n++] = "--no-jail";
	words[n++] = "--rm";
	words[n++] = "--name";
	words[n++] = i->name;
	words[n++] = f->has_folder ? f->folder : f->plan.image;
	words[n] = NULL;
	return instance_make(i, words, e);
}

static void again_fire(struct loop_timer *t)
{
	function_tend(container_of(t, struct function, again));
}

static void failed(struct function *f, const char *why)
{
	f->failed_count++;
	snprintf(f->why, sizeof(f->why), "%s", why);
	log_warn_limited("%s: %s", f->plan.name, why);
	f->again.fire = again_fire;
	loop_arm(f->loop, &f->again, clock_now_ns() + AGAIN_NS);
}

static const struct instance_calls instance_calls;

static bool add_one(struct function *f)
{
	struct instance *i = calloc(1, sizeof(*i));
	struct err e = {0};

	if (!i)
		return false;
	i->calls = &instance_calls;
	i->owner = f;
	i->loop = f->loop;
	i->port = f->plan.port;
	i->start_ms = f->plan.options.start_ms;
	if (make_one(f, i, &e)) {
		free(i);
		failed(f, e.text);
		return false;
	}
	i->next = f->instances;
	f->instances = i;
	return true;
}

/* All that are, or will be, there for who waits. */
static unsigned count_coming(const struct function *f)
{
	return function_count(f, INSTANCE_MAKING) +
	       function_count(f, INSTANCE_PROBING) +
	       function_count(f, INSTANCE_READY) +
	       function_count(f, INSTANCE_RESETTING);
}

void function_tend(struct function *f)
{
	const unsigned want = f->waiting + f->plan.options.spare;

	if (f->is_ended || f->again.due_ns)
		return;
	/* Of the first one the others are made. */
	if (is_template(f)) {
		if (!count_all(f))
			(void)add_one(f);
		return;
	}
	while (count_coming(f) < want && count_all(f) < f->plan.options.max)
		if (!add_one(f))
			return;
}

/* ---- granting ----------------------------------------------------------- */

static void grant(struct function *f, struct instance *i)
{
	struct waiter *w = f->first;

	f->first = w->next;
	if (!f->first)
		f->last = &f->first;
	f->waiting--;
	instance_take(i);
	i->user = w;
	w->granted(w, i);
}

/* More than are wanted before they are needed; a reset's may be soon. */
static bool is_surplus(const struct function *f)
{
	return f->plan.options.mode != FUNCTION_RESET &&
	       function_count(f, INSTANCE_READY) > f->plan.options.spare;
}

static void instance_ready(struct instance *i)
{
	struct function *f = i->owner;

	if (is_template(f)) {
		instance_save(i, f->folder);
		return;
	}
	if (!i->served) {
		f->made_count++;
		histogram_add(&f->make, i->made_ns);
	}
	if (f->first)
		grant(f, i);
	else if (is_surplus(f))
		instance_end(i, NULL);
	function_tend(f);
}

static void instance_saved(struct instance *i)
{
	struct function *f = i->owner;

	f->has_folder = true;
	function_tend(f);
}

static void instance_gone(struct instance *i, const char *why)
{
	struct function *f = i->owner;
	struct instance **at = &f->instances;
	struct waiter *user = i->user;
	const bool is_new = !i->served;

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	/* One that never got ready tells of the image, say, and not of chance:
	 * the next is not made at once. */
	if (why && is_new)
		failed(f, why);
	free(i);
	if (user)
		user->lost(user);
	function_tend(f);
}

static const struct instance_calls instance_calls = {
	.ready = instance_ready,
	.saved = instance_saved,
	.gone = instance_gone,
};

int function_ask(struct function *f, struct waiter *w)
{
	struct instance *i;

	w->next = NULL;
	for (i = f->instances; i && !f->first; i = i->next)
		if (i->stage == INSTANCE_READY)
			break;
	/* Who is served at once does not wait. */
	if ((!i || f->first) && f->waiting >= f->plan.options.queue) {
		f->refused_count++;
		return -EAGAIN;
	}
	*f->last = w;
	f->last = &w->next;
	f->waiting++;
	if (i && f->first == w)
		grant(f, i);
	function_tend(f);
	return 0;
}

void function_forget(struct function *f, struct waiter *w)
{
	struct waiter **at = &f->first;

	while (*at && *at != w)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = w->next;
	f->waiting--;
	for (f->last = &f->first; *f->last;)
		f->last = &(*f->last)->next;
}

void function_release(struct function *f, struct instance *i, const char *why)
{
	i->user = NULL;
	if (i->stage != INSTANCE_BUSY)
		return;
	if (why || f->plan.options.mode != FUNCTION_RESET || f->is_ended) {
		instance_end(i, why);
	} else {
		f->reset_count++;
		instance_reset(i);
	}
	function_tend(f);
}

void function_init(struct function *f)
{
	f->last = &f->first;
}

void function_fini(struct function *f)
{
	struct instance *i;

	f->is_ended = true;
	loop_disarm(f->loop, &f->again);
	while ((i = f->instances)) {
		f->instances = i->next;
		instance_drop(i);
		free(i);
	}
	if (*f->folder)
		(void)tree_remove(AT_FDCWD, f->folder, 0, NULL);
	function_plan_fini(&f->plan);
}
