#include "api/ctl/containerd/usage.h"

#include <errno.h>
#include <stdlib.h>

#include "api/ctl/agent/ask.h"
#include "api/ctl/containerd/event.h"
#include "api/ctl/containerd/metrics.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"

#define KILLS_REST_NS 1000000000ull

/* A call that waits for the guest. */
struct question {
	struct ask ask;
	struct task *t;
	struct ttrpc_call *call; /* NULL: nobody waits any more */
	bool is_freeze, is_paused;
	struct question *next; /* the task's */
};

struct ask_whom usage_whom(const struct task *t)
{
	return (struct ask_whom){
		.loop = &t->service->loop,
		.socket = t->service->machine.vsock,
		.id = t->init.spec.plan.id,
	};
}

static void question_free(struct question *q)
{
	ask_fini(&q->ask);
	free(q);
}

static void question_end(struct question *q)
{
	struct question **at = &q->t->questions;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	question_free(q);
}

static void answer_usage(struct ttrpc_call *c, const struct session_frame *f)
{
	struct metrics *m = calloc(1, sizeof(*m));
	Task__StatsResponse r = TASK__STATS_RESPONSE__INIT;
	Task__Any any = TASK__ANY__INIT;
	static char type[] = "io.containerd.cgroups.v2.Metrics";
	struct err e = {0};

	if (!m)
		err_set(&e, -ENOMEM, "no memory for figures");
	if (!m || metrics_read(m, f->bytes, f->len, &e)) {
		ttrpc_refuse_err(c, &e);
		free(m);
		return;
	}
	any.type_url = type;
	any.value.len = protobuf_c_message_get_packed_size(&m->all.base);
	any.value.data = malloc(any.value.len + 1);
	if (any.value.data)
		protobuf_c_message_pack(&m->all.base, any.value.data);
	else
		any.value.len = 0;
	r.stats = &any;
	ttrpc_answer(c, &r.base);
	free(any.value.data);
	free(m);
}

static void answered(struct ask *a, const struct session_frame *f,
		     const struct err *e)
{
	struct question *q = container_of(a, struct question, ask);
	Task__Empty empty = TASK__EMPTY__INIT;

	if (q->call && !f)
		ttrpc_refuse_err(q->call, e);
	else if (q->call && f->event == SESSION_USAGE)
		answer_usage(q->call, f);
	else if (q->call)
		ttrpc_answer(q->call, &empty.base);
	if (f && q->is_freeze) {
		q->t->is_paused = q->is_paused;
		event_paused(q->t->service, q->t, q->is_paused);
	}
	question_end(q);
}

static void call_gone(struct ttrpc_call *c)
{
	((struct question *)c->keeper)->call = NULL;
}

/* NULL where nobody can be asked, and c is answered. */
static struct question *question_make(struct task *t, struct ttrpc_call *c)
{
	struct question *q;

	if (t->init.stage != PROCESS_RUNNING || task_is_at_rest(t)) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     task_is_at_rest(t)
				     ? "it is paused; resume it first"
				     : "it does not run");
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		ttrpc_refuse(c, TTRPC_RESOURCE_EXHAUSTED, "no memory");
		return NULL;
	}
	*q = (struct question){
		.ask.answered = answered,
		.t = t,
		.call = c,
		.next = t->questions,
	};
	t->questions = q;
	return q;
}

/* It is asked, or c is refused with e. */
static void question_keep(struct question *q, int rc, const struct err *e)
{
	if (rc) {
		ttrpc_refuse_err(q->call, e);
		question_end(q);
		return;
	}
	q->call->gone = call_gone;
	q->call->keeper = q;
}

void usage_tell(struct task *t, struct ttrpc_call *c)
{
	const struct ask_whom whom = usage_whom(t);
	struct question *q = question_make(t, c);
	struct err e = {0};

	if (q)
		question_keep(q, ask_usage(&q->ask, &whom, &e), &e);
}

void usage_limit(struct task *t, struct ttrpc_call *c,
		 const struct resources *limits)
{
	const uint64_t mib = t->service->machine.memory_mib;
	const struct ask_whom whom = usage_whom(t);
	struct question *q;
	struct err e = {0};

	if (limits->memory_bytes > mib << 20) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     "a microVM keeps the memory it was started with, "
			     "%llu MiB; start the container anew with more",
			     (unsigned long long)mib);
		return;
	}
	q = question_make(t, c);
	if (q)
		question_keep(q,
			      ask_limits(&q->ask, &whom,
					 (const char *const *)limits->words,
					 &e),
			      &e);
}

void usage_freeze(struct task *t, struct ttrpc_call *c, bool is_paused)
{
	const char *const limits[] = {"cgroup.freeze", is_paused ? "1" : "0",
				      NULL};
	const struct ask_whom whom = usage_whom(t);
	struct question *q = question_make(t, c);
	struct err e = {0};

	if (!q)
		return;
	q->is_freeze = true;
	q->is_paused = is_paused;
	question_keep(q, ask_limits(&q->ask, &whom, limits, &e), &e);
}

/* ---- kills for want of memory ------------------------------------------- */

static void ask_again(struct loop_timer *timer)
{
	usage_watch(container_of(timer, struct task, kills_due));
}

/* Where the guest can't be asked, nobody is told of it. */
static void kills_known(struct ask *a, const struct session_frame *f,
			const struct err *e)
{
	struct task *t = container_of(a, struct task, kills);
	const bool has_more = f && f->event == SESSION_KILLS &&
			      f->kills > t->kills_seen;

	(void)e;
	if (has_more) {
		t->kills_seen = f->kills;
		event_oom(t->service, t);
	}
	ask_fini(a);
	/* The count says of all; a guest that counts fast is heard once a
	 * second. */
	if (has_more && t->init.stage == PROCESS_RUNNING) {
		t->kills_due.fire = ask_again;
		loop_arm(&t->service->loop, &t->kills_due,
			 clock_now_ns() + KILLS_REST_NS);
	}
}

void usage_watch(struct task *t)
{
	const struct ask_whom whom = usage_whom(t);
	struct err e = {0};

	t->kills.answered = kills_known;
	(void)ask_kills(&t->kills, &whom, t->kills_seen, &e);
}

void usage_settle(struct task *t)
{
	loop_disarm(&t->service->loop, &t->kills_due);
	ask_look(&t->kills);
	ask_fini(&t->kills);
}

void usage_drop(struct task *t)
{
	loop_disarm(&t->service->loop, &t->kills_due);
	ask_fini(&t->kills);
	while (t->questions) {
		struct question *q = t->questions;

		t->questions = q->next;
		if (q->call)
			ttrpc_refuse(q->call, TTRPC_NOT_FOUND,
				     "it was deleted");
		question_free(q);
	}
}
