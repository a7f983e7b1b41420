/*
 * Who has a function in hand, a client or a microVM of it, keeps it until both
 * have let go; then a look from the loop, when nobody works at it, frees it.
 */
#include "api/ctl/serve/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/serve/client.h"
#include "api/ctl/vm/place.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"

enum { LOOK_NS = 100000000 };

static void function_free(struct function *f)
{
	function_fini(f);
	free(f);
}

static void look_fire(struct loop_timer *t)
{
	struct roster *r = container_of(t, struct roster, look);
	struct function **at = &r->leaving;

	while (*at) {
		struct function *f = *at;

		if (!function_is_idle(f) || client_has(r->front, f)) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		function_free(f);
	}
	if (r->leaving)
		loop_arm(r->loop, &r->look, clock_now_ns() + LOOK_NS);
}

int roster_init(struct roster *r, struct front *front, struct loop *loop,
		struct err *e)
{
	r->front = front;
	r->loop = loop;
	r->look.fire = look_fire;
	leftover_prefix(r->prefix);
	return place_disk(r->place, sizeof(r->place), e);
}

static struct function *find(const struct front *front, const char *name)
{
	unsigned i;

	for (i = 0; i < front->function_count; i++)
		if (!strcmp(front->functions[i]->plan.name, name))
			return front->functions[i];
	return NULL;
}

static struct function *make(struct roster *r)
{
	struct function *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->loop = r->loop;
	f->prefix = r->prefix;
	f->place = r->place;
	f->made = &r->made;
	function_init(f);
	return f;
}

static void dismiss(struct roster *r, struct function *f)
{
	f->next = r->leaving;
	r->leaving = f;
	function_leave(f);
	loop_arm(r->loop, &r->look, clock_now_ns() + LOOK_NS);
}

/* Those of the names, in their order: the ones that are there, and new ones. */
static int line_up(struct roster *r, const struct function_plan *plans,
		   unsigned count, struct function **list)
{
	unsigned i, n;

	for (i = 0; i < count; i++) {
		struct function *f = find(r->front, plans[i].name);

		list[i] = f ? f : make(r);
		if (list[i])
			continue;
		for (n = 0; n < i; n++)
			if (!find(r->front, plans[n].name))
				function_free(list[n]);
		return -ENOMEM;
	}
	return 0;
}

static bool is_among(struct function *const *list, unsigned count,
		     const struct function *f)
{
	while (count--)
		if (list[count] == f)
			return true;
	return false;
}

int roster_set(struct roster *r, struct function_plan *plans, unsigned count,
	       struct roster_change *change, struct err *e)
{
	struct function *list[FRONT_FUNCTIONS_MAX];
	struct front *front = r->front;
	unsigned i;
	int rc = line_up(r, plans, count, list);

	*change = (struct roster_change){0};
	if (rc)
		return err_set(e, rc, "no memory for functions");
	for (i = 0; i < front->function_count; i++) {
		if (is_among(list, count, front->functions[i]))
			continue;
		change->removed++;
		dismiss(r, front->functions[i]);
	}
	for (i = 0; i < count; i++) {
		if (!*list[i]->plan.name)
			change->added++;
		else
			change->changed += !function_plan_is_same(
				&list[i]->plan, &plans[i]);
		function_change(list[i], &plans[i]);
		front->functions[i] = list[i];
	}
	front->function_count = count;
	return 0;
}

void roster_leave(struct roster *r)
{
	unsigned i;

	for (i = 0; i < r->front->function_count; i++)
		function_leave(r->front->functions[i]);
}

void roster_stop(struct roster *r)
{
	struct function *f;
	unsigned i;

	for (i = 0; r->front && i < r->front->function_count; i++)
		r->front->functions[i]->is_ended = true;
	for (f = r->leaving; f; f = f->next)
		f->is_ended = true;
}

void roster_fini(struct roster *r)
{
	struct function *f;
	unsigned i;

	if (!r->loop)
		return;
	loop_disarm(r->loop, &r->look);
	for (i = 0; i < r->front->function_count; i++)
		function_free(r->front->functions[i]);
	r->front->function_count = 0;
	while ((f = r->leaving)) {
		r->leaving = f->next;
		function_free(f);
	}
}
