#include "api/ctl/containerd/usage.h"

#include <errno.h>
#include <stdlib.h>

#include "api/ctl/agent/ask.h"
#include "api/ctl/containerd/event.h"
#include "api/ctl/containerd/metrics.h"
#include "vmm/base/container.h"

/* A call that waits for the guest. */
struct question {
	struct ask ask;
	struct service *s;
	struct ttrpc_call *call; /* NULL: nobody waits any more */
	struct question *next;	 /* the task's */
};

static void question_free(struct question *q)
{
	ask_fini(&q->ask);
	free(q);
}

static void question_end(struct question *q)
{
	struct question **at = &q->s->task->questions;

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
	question_end(q);
}

static void call_gone(struct ttrpc_call *c)
{
	((struct question *)c->keeper)->call = NULL;
}

/* NULL where nobody can be asked, and c is answered. */
static struct question *question_make(struct service *s, struct ttrpc_call *c)
{
	struct question *q;

	if (s->task->init.stage != PROCESS_RUNNING || s->task->is_paused) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     s->task->is_paused
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
		.s = s,
		.call = c,
		.next = s->task->questions,
	};
	s->task->questions = q;
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

void usage_tell(struct service *s, struct ttrpc_call *c)
{
	struct question *q = question_make(s, c);
	struct err e = {0};

	if (q)
		question_keep(
			q, ask_usage(&q->ask, &s->loop, s->machine.vsock, &e),
			&e);
}

void usage_limit(struct service *s, struct ttrpc_call *c,
		 const struct resources *limits)
{
	const uint64_t memory = s->machine.memory_mib << 20;
	struct question *q;
	struct err e = {0};

	if (limits->memory_bytes > memory) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     "a microVM keeps the memory it was started with, "
			     "%llu MiB; start the container anew with more",
			     (unsigned long long)s->machine.memory_mib);
		return;
	}
	q = question_make(s, c);
	if (q)
		question_keep(q,
			      ask_limits(&q->ask, &s->loop, s->machine.vsock,
					 (const char *const *)limits->words,
					 &e),
			      &e);
}

/* ---- kills for want of memory ------------------------------------------- */

/* Where the guest can't be asked, nobody is told of it. */
static void kills_known(struct ask *a, const struct session_frame *f,
			const struct err *e)
{
	struct task *t = container_of(a, struct task, kills);
	struct service *s = t->init.owner;
	const bool has_more = f && f->event == SESSION_KILLS &&
			      f->kills > t->kills_seen;

	(void)e;
	if (has_more) {
		t->kills_seen = f->kills;
		event_oom(s, t);
	}
	ask_fini(a);
	if (has_more && t->init.stage == PROCESS_RUNNING)
		usage_watch(s);
}

void usage_watch(struct service *s)
{
	struct task *t = s->task;
	struct err e = {0};

	t->kills.answered = kills_known;
	(void)ask_kills(&t->kills, &s->loop, s->machine.vsock, t->kills_seen,
			&e);
}

void usage_settle(struct service *s)
{
	ask_look(&s->task->kills);
	ask_fini(&s->task->kills);
}

void usage_drop(struct service *s)
{
	struct task *t = s->task;

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
