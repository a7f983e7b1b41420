#include "api/ctl/containerd/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/containerd/event.h"
#include "api/ctl/containerd/usage.h"
#include "vmm/base/container.h"

static void answer_pid(struct ttrpc_call *c, uint32_t pid)
{
	Task__PidResponse r = TASK__PID_RESPONSE__INIT;

	r.pid = pid;
	ttrpc_answer(c, &r.base);
}

static void has_started(struct process *p)
{
	struct service *s = p->owner;
	struct ttrpc_call *c = p->starting;

	event_started(s, s->task, p);
	if (p == &s->task->init)
		usage_watch(s);
	p->starting = NULL;
	if (c)
		answer_pid(c, p->pid);
}

static void has_ended(struct process *p, const char *text)
{
	struct service *s = p->owner;
	struct ttrpc_call *c = p->starting;
	struct process *x;

	p->starting = NULL;
	if (p == &s->task->init)
		usage_settle(s);
	if (c)
		ttrpc_refuse(c, TTRPC_UNKNOWN, "%s",
			     text ? text : "it ended before it began");
	else
		event_ended(s, s->task, p);
	/* With PID 1 all of its container ends. */
	for (x = p == &s->task->init ? s->task->execs : NULL; x; x = x->next)
		process_lose(x, "its container has ended");
}

/* Its output was read, or is not waited for: it goes. */
static void can_be_deleted(struct process *p, struct ttrpc_call *c)
{
	struct service *s = p->owner;
	struct process **at = &s->task->execs;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	task_answer_delete(p, c);
	process_fini(p);
	free(p);
}

void task_own(struct service *s, struct process *p)
{
	p->owner = s;
	p->started = has_started;
	p->ended = has_ended;
	p->deletable = can_be_deleted;
}

void task_answer_delete(const struct process *p, struct ttrpc_call *c)
{
	Task__DeleteResponse r = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp at = process_exited_at(p);

	r.pid = p->pid;
	r.exit_status = p->exit_status;
	r.exited_at = &at;
	ttrpc_answer(c, &r.base);
}

void task_drop(struct service *s)
{
	struct task *t = s->task;

	if (!t)
		return;
	while (t->execs) {
		struct process *p = t->execs;

		t->execs = p->next;
		process_fini(p);
		free(p);
	}
	usage_drop(s);
	process_fini(&t->init);
	machine_end(&s->machine);
	rootfs_fini(&t->rootfs);
	free(t->id);
	free(t->bundle);
	free(t);
	s->task = NULL;
}

static void machine_made(struct machine *m, const struct err *e)
{
	struct service *s = container_of(m, struct service, machine);
	struct ttrpc_call *c = s->task->creating;

	s->task->creating = NULL;
	if (e->code) {
		ttrpc_refuse_err(c, e);
		task_drop(s);
		return;
	}
	s->task->init.pid = (uint32_t)m->pid;
	event_created(s, s->task);
	answer_pid(c, s->task->init.pid);
}

static void machine_lost(struct machine *m)
{
	struct service *s = container_of(m, struct service, machine);

	if (s->task)
		process_lose(&s->task->init, "the microVM's monitor has ended");
}

static int take_rootfs(struct task *t, const Task__CreateRequest *r,
		       struct err *e)
{
	int rc = 0;

	t->rootfs.path = t->init.spec.root;
	for (size_t i = 0; i < r->n_rootfs && !rc; i++) {
		const Task__Mount *m = r->rootfs[i];

		rc = rootfs_add(&t->rootfs, m->type, m->source, m->options,
				m->n_options, e);
	}
	return rc;
}

int task_begin(struct service *s, const Task__CreateRequest *r, struct err *e)
{
	const struct process_words words = {"", r->stdin, r->stdout, r->stderr,
					    r->terminal};
	struct task *t = s->task = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(e, -ENOMEM, "no memory for a container");
	t->id = strdup(r->id);
	t->bundle = strdup(r->bundle);
	task_own(s, &t->init);
	if (!t->id || !t->bundle)
		return err_set(e, -ENOMEM, "no memory for a container");
	rc = spec_read(&t->init.spec, t->bundle, e);
	if (!rc)
		rc = process_init(&t->init, &s->loop, &words, e);
	if (!rc)
		rc = take_rootfs(t, r, e);
	if (rc)
		return rc;
	s->machine = (struct machine){
		.loop = &s->loop,
		.config = &s->config,
		.made = machine_made,
		.lost = machine_lost,
	};
	machine_size(&s->machine, &t->init.spec.resources);
	return machine_begin(&s->machine, s->host, &t->rootfs, e);
}
