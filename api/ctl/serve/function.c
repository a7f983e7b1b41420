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

const char *const function_modes[] = {"cold", "clone", "reset", NULL};

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

/* Of those that are as one is made now. */
static unsigned count_new(const struct function *f, enum instance_stage stage)
{
	const struct instance *i;
	unsigned n = 0;

	for (i = f->instances; i; i = i->next)
		n += i->stage == stage && !i->is_old;
	return n;
}

static bool has_new(const struct function *f)
{
	const struct instance *i;

	for (i = f->instances; i; i = i->next)
		if (!i->is_old)
			return true;
	return false;
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

static bool is_same_command(char *const *a, char *const *b)
{
	if (!a || !b)
		return !a && !b;
	for (; *a && *b && !strcmp(*a, *b); a++, b++)
		;
	return !*a && !*b;
}

bool function_plan_is_same(const struct function_plan *a,
			   const struct function_plan *b)
{
	const struct function_options *x = &a->options, *y = &b->options;

	return !strcmp(a->digest, b->digest) && a->is_stdio == b->is_stdio &&
	       a->port == b->port && is_same_command(a->argv, b->argv) &&
	       x->mode == y->mode && !strcmp(x->memory, y->memory) &&
	       !strcmp(x->cpus, y->cpus) && !strcmp(x->net, y->net) &&
	       x->has_no_jail == y->has_no_jail;
}

/* ---- what clones are made of -------------------------------------------- */

/* A snapshot's folder, which is removed when nobody needs it any more. */
struct template
{
	unsigned users;
	char path[PATH_MAX];
};

static struct template *template_new(const struct function *f,
				     const struct instance *i)
{
	struct template *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->users = 1;
	snprintf(t->path, sizeof(t->path), "%s/%s-%s", f->place, i->name,
		 f->plan.name);
	return t;
}

static struct template *template_get(struct template *t)
{
	if (t)
		t->users++;
	return t;
}

static void template_put(struct template **t)
{
	if (*t && !--(*t)->users) {
		(void)tree_remove(AT_FDCWD, (*t)->path, 0, NULL);
		free(*t);
	}
	*t = NULL;
}

/* ---- making ------------------------------------------------------------- */

static bool is_template(const struct function *f)
{
	return f->plan.options.mode != FUNCTION_COLD && !f->template;
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
	if (f->template)
		words[n++] = "restore";
	else
		put_run(f, words, &n);
	if (f->plan.options.has_no_jail)
		words[n++] = "--no-jail";
	words[n++] = "--rm";
	words[n++] = "--name";
	words[n++] = i->name;
	words[n++] = f->template ? f->template->path : f->plan.image;
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
	i->template = template_get(f->template);
	i->next = f->instances;
	f->instances = i;
	return true;
}

/* All that are, or will be, there for who waits. */
static unsigned count_coming(const struct function *f)
{
	return count_new(f, INSTANCE_MAKING) + count_new(f, INSTANCE_PROBING) +
	       count_new(f, INSTANCE_READY) + count_new(f, INSTANCE_RESETTING);
}

void function_tend(struct function *f)
{
	const unsigned want =
		f->waiting + (f->is_leaving ? 0 : f->plan.options.spare);

	if (f->is_ended || f->again.due_ns || (f->is_leaving && !want))
		return;
	/* Of the first one the others are made. */
	if (is_template(f)) {
		if (!has_new(f) && count_all(f) < f->plan.options.max)
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
	return f->is_leaving || count_all(f) > f->plan.options.max ||
	       (f->plan.options.mode != FUNCTION_RESET &&
		count_new(f, INSTANCE_READY) > f->plan.options.spare);
}

static void save(const struct function *f, struct instance *i)
{
	i->template = template_new(f, i);
	if (i->template)
		instance_save(i, i->template->path);
	else
		instance_end(i, "no memory for a snapshot");
}

static void instance_ready(struct instance *i)
{
	struct function *f = i->owner;

	if (i->is_old) {
		instance_end(i, NULL);
		function_tend(f);
		return;
	}
	if (is_template(f)) {
		save(f, i);
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

	if (!i->is_old && !f->template)
		f->template = template_get(i->template);
	function_tend(f);
}

static void instance_gone(struct instance *i, const char *why)
{
	struct function *f = i->owner;
	struct instance **at = &f->instances;
	struct waiter *user = i->user;
	const bool is_new = !i->served && !i->is_old;

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	/* One that never got ready tells of the image, say, and not of chance:
	 * the next is not made at once. */
	if (why && is_new)
		failed(f, why);
	template_put(&i->template);
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
	if (why || f->plan.options.mode != FUNCTION_RESET || f->is_ended ||
	    i->is_old || (f->is_leaving && !f->waiting)) {
		instance_end(i, why);
	} else {
		f->reset_count++;
		instance_reset(i);
	}
	function_tend(f);
}

/* ---- change ------------------------------------------------------------- */

/* What is being made goes on: to stop it would be to wait for it. */
static void end_unused(struct function *f)
{
	struct instance *i;

	for (i = f->instances; i; i = i->next)
		if (i->stage == INSTANCE_READY
			    ? i->is_old || is_surplus(f)
			    : i->stage == INSTANCE_PROBING && i->is_old)
			instance_end(i, NULL);
}

void function_change(struct function *f, struct function_plan *p)
{
	const bool is_same = function_plan_is_same(&f->plan, p);
	struct instance *i;

	function_plan_fini(&f->plan);
	f->plan = *p;
	*p = (struct function_plan){0};
	for (i = f->instances; i && !is_same; i = i->next)
		i->is_old = true;
	if (!is_same) {
		template_put(&f->template);
		/* What was wrong with it may not be any more. */
		loop_disarm(f->loop, &f->again);
		*f->why = '\0';
	}
	end_unused(f);
	function_tend(f);
}

void function_leave(struct function *f)
{
	f->is_leaving = true;
	end_unused(f);
}

bool function_is_idle(const struct function *f)
{
	return !f->instances && !f->waiting;
}

/* ---- begin and end ------------------------------------------------------ */

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
		template_put(&i->template);
		free(i);
	}
	template_put(&f->template);
	function_plan_fini(&f->plan);
}
