/* The methods of the task service. None of them waits for the guest. */
#include "api/ctl/containerd/method.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <task.pb-c.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/containerd/event.h"
#include "api/ctl/containerd/task.h"
#include "api/ctl/containerd/usage.h"
#include "api/ctl/vm/client.h"

enum { PAUSE_S = 10, STATUS_KILLED = 137 };

/* What a guest gets to end what SIGKILL was for. */
#define KILL_NS 5000000000ull

static void answer_empty(struct ttrpc_call *c)
{
	Task__Empty empty = TASK__EMPTY__INIT;

	ttrpc_answer(c, &empty.base);
}

/* ---- who is meant ------------------------------------------------------- */

/* NULL where there is none, and c is answered. */
static struct task *find_task(struct service *s, struct ttrpc_call *c,
			      const char *id)
{
	struct task *t = task_find(s, id);

	if (t && !t->creating)
		return t;
	ttrpc_refuse(c, TTRPC_NOT_FOUND, "there is no container %.80s here",
		     id);
	return NULL;
}

static struct process *find_process(struct service *s, struct ttrpc_call *c,
				    const char *id, const char *exec_id)
{
	struct task *t = find_task(s, c, id);
	struct process *p;

	if (!t || !*exec_id)
		return t ? &t->init : NULL;
	for (p = t->execs; p; p = p->next)
		if (!strcmp(p->exec_id, exec_id))
			return p;
	ttrpc_refuse(c, TTRPC_NOT_FOUND, "there is no exec %.80s in %.80s",
		     exec_id, id);
	return NULL;
}

/* The same of a request that may have made no sense, r then being NULL. */
static struct process *find_asked(struct service *s, struct ttrpc_call *c,
				  const void *r, char *const *id,
				  char *const *exec_id)
{
	if (r)
		return find_process(s, c, *id, *exec_id);
	ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "the request makes no sense");
	return NULL;
}

/* Of the many requests that name a process and no more. */
static struct process *process_named(struct service *s, struct ttrpc_call *c)
{
	const Task__ProcessRequest *r = task__process_request__unpack(
		&c->arena.allocator, c->len, c->payload);

	return find_asked(s, c, r, r ? &r->id : NULL, r ? &r->exec_id : NULL);
}

/* ---- a container's life ------------------------------------------------- */

static void create(struct service *s, struct ttrpc_call *c)
{
	const Task__CreateRequest *r = task__create_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct err e = {0};
	struct task *t;

	if (!r)
		ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "no sense in Create");
	else if (!*r->id)
		ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "Create has no id");
	else if (task_find(s, r->id))
		ttrpc_refuse(c, TTRPC_ALREADY_EXISTS, "%.80s is there already",
			     r->id);
	else if (*r->checkpoint)
		ttrpc_refuse(c, TTRPC_UNIMPLEMENTED,
			     "containers are not made of checkpoints; mayctl "
			     "snapshot and restore do it for microVMs");
	else if (task_begin(s, r, &t, &e)) {
		ttrpc_refuse_err(c, &e);
		if (t)
			task_drop(t);
	} else
		t->creating = c;
}

static void start(struct service *s, struct ttrpc_call *c)
{
	struct process *p = process_named(s, c);
	struct err e = {0};
	struct task *t;
	bool is_first;

	if (!p)
		return;
	t = p->owner;
	if (p->stage != PROCESS_CREATED || p->attach.loop) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     "it was started already");
		return;
	}
	/* The agent calls once, for who configures its guest. */
	is_first = p == &t->init && !p->spec.plan.is_another;
	t->has_begun = true;
	p->pid = t->init.pid;
	p->starting = c;
	if (t->is_paused) {
		process_lose(p, "its container is paused; resume it first");
		return;
	}
	if (!process_begin(p, &s->loop,
			   is_first && !s->machine.is_warm ? s->machine.ready_fd
							   : -1,
			   s->machine.vsock, &e))
		return;
	/* It may have ended on the way, and then c is answered. */
	process_lose(p, e.text);
}

/* The container that Create is still busy with, if c is about it. */
static struct task *in_creation(const struct service *s, struct ttrpc_call *c)
{
	const Task__ProcessRequest *r = task__process_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct task *t = r && !*r->exec_id ? task_find(s, r->id) : NULL;

	return t && t->creating ? t : NULL;
}

/* Who has given Create up deletes what it would have made. */
static void take_back(struct task *t, struct ttrpc_call *c)
{
	Task__DeleteResponse r = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp stamp = TASK__TIMESTAMP__INIT;

	ttrpc_refuse(t->creating, TTRPC_UNAVAILABLE,
		     "it was deleted before it was made");
	task_drop(t);
	stamp.seconds = time(NULL);
	r.exit_status = STATUS_KILLED;
	r.exited_at = &stamp;
	ttrpc_answer(c, &r.base);
}

static void delete(struct service *s, struct ttrpc_call *c)
{
	struct task *t = in_creation(s, c);
	struct process *p;

	if (t) {
		take_back(t, c);
		return;
	}
	p = process_named(s, c);
	if (!p)
		return;
	t = p->owner;
	if (p->stage == PROCESS_RUNNING ||
	    (p->stage == PROCESS_CREATED && p->starting)) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     "it runs; kill it first");
	} else if (p != &t->init) {
		process_delete(p, c);
	} else {
		/* Its clients wait for the end of its output before. */
		task_delete(t, c);
	}
}

static void exec(struct service *s, struct ttrpc_call *c)
{
	const Task__ExecRequest *r = task__exec_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct process_words words;
	struct process *p, *x;
	struct err e = {0};
	struct task *t;

	if (!r) {
		ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "no sense in Exec");
		return;
	}
	t = find_task(s, c, r->id);
	if (!t)
		return;
	for (x = t->execs; x && strcmp(x->exec_id, r->exec_id) != 0;)
		x = x->next;
	if (x || !*r->exec_id || !r->spec) {
		ttrpc_refuse(c,
			     x ? TTRPC_ALREADY_EXISTS : TTRPC_INVALID_ARGUMENT,
			     x ? "there is an exec of that id"
			       : "an exec has an id and a process");
		return;
	}
	words = (struct process_words){r->exec_id, r->stdin, r->stdout,
				       r->stderr, r->terminal};
	p = calloc(1, sizeof(*p));
	if (!p ||
	    spec_parse_process(&p->spec, (const char *)r->spec->value.data,
			       r->spec->value.len, &e) ||
	    (task_own(t, p), process_init(p, &s->loop, &words, &e))) {
		ttrpc_refuse_err(c, &e);
		if (p)
			process_fini(p);
		free(p);
		return;
	}
	p->next = t->execs;
	t->execs = p;
	event_exec_added(s, t, p);
	answer_empty(c);
}

/* ---- what is done to a process ------------------------------------------ */

static void state(struct service *s, struct ttrpc_call *c)
{
	const struct process *p = process_named(s, c);
	Task__StateResponse r = TASK__STATE_RESPONSE__INIT;
	const struct task *t;
	Task__Timestamp at;

	if (!p)
		return;
	t = p->owner;
	at = process_exited_at(p);
	r.id = t->id;
	r.bundle = t->bundle;
	r.pid = p->pid;
	r.status = (Task__Status)p->stage;
	if (t->is_paused && p->stage == PROCESS_RUNNING)
		r.status = TASK__STATUS__PAUSED;
	r.stdin = p->in;
	r.stdout = p->out;
	r.stderr = p->err;
	r.terminal = p->has_tty;
	r.exit_status = p->exit_status;
	r.exited_at = p->stage == PROCESS_STOPPED ? &at : NULL;
	r.exec_id = p->exec_id;
	ttrpc_answer(c, &r.base);
}

static void kill_process(struct service *s, struct ttrpc_call *c)
{
	const Task__KillRequest *r = task__kill_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct process *p =
		find_asked(s, c, r, r ? &r->id : NULL, r ? &r->exec_id : NULL);
	struct task *t = p ? p->owner : NULL;

	if (!p || !r)
		return;
	if (r->signal < 1 || r->signal > 64)
		ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "%u is no signal",
			     r->signal);
	else if (process_kill(p, (int)r->signal))
		ttrpc_refuse(c, TTRPC_NOT_FOUND, "process already finished");
	else {
		/* A guest may be hung, or not want to; one at rest can't. */
		if (r->signal == SIGKILL && p == &t->init &&
		    p->stage != PROCESS_STOPPED)
			task_kill_in(t, task_is_at_rest(t) ? 0 : KILL_NS);
		answer_empty(c);
	}
}

static void wait_for(struct service *s, struct ttrpc_call *c)
{
	struct process *p = process_named(s, c);

	if (p)
		process_wait_for(p, c);
}

static void resize(struct service *s, struct ttrpc_call *c)
{
	const Task__ResizeRequest *r = task__resize_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct process *p =
		find_asked(s, c, r, r ? &r->id : NULL, r ? &r->exec_id : NULL);

	if (!p || !r)
		return;
	p->spec.plan.size = (struct terminal_size){
		.rows = (uint16_t)r->height, .columns = (uint16_t)r->width};
	if (p->attach.loop)
		attach_resize(&p->attach, p->spec.plan.size);
	answer_empty(c);
}

static void close_io(struct service *s, struct ttrpc_call *c)
{
	const Task__CloseRequest *r = task__close_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct process *p =
		find_asked(s, c, r, r ? &r->id : NULL, r ? &r->exec_id : NULL);

	if (!p || !r)
		return;
	if (r->stdin)
		stdio_close_input(&p->io);
	answer_empty(c);
}

static void pids(struct service *s, struct ttrpc_call *c)
{
	const struct process *p = process_named(s, c);
	Task__PidsResponse r = TASK__PIDS_RESPONSE__INIT;
	Task__ProcessInfo one = TASK__PROCESS_INFO__INIT, *all = &one;

	if (!p)
		return;
	one.pid = p->pid;
	r.n_processes = 1;
	r.processes = &all;
	ttrpc_answer(c, &r.base);
}

/* ---- the machine -------------------------------------------------------- */

static void set_paused(struct service *s, struct ttrpc_call *c, bool is_paused)
{
	const struct process *p = process_named(s, c);
	char path[VM_PATH_MAX];
	struct err e = {0};
	struct task *t;

	if (!p)
		return;
	t = p->owner;
	if (p->stage != PROCESS_RUNNING)
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION, "it does not run");
	else if (t->init.spec.sandbox)
		usage_freeze(t, c, is_paused);
	else if (client_order(vm_path(&s->machine.vm, "api.sock", path),
			      "PATCH", "/vm",
			      is_paused ? "{\"state\":\"Paused\"}"
					: "{\"state\":\"Resumed\"}",
			      PAUSE_S, &e))
		ttrpc_refuse_err(c, &e);
	else {
		t->is_paused = is_paused;
		event_paused(s, t, is_paused);
		answer_empty(c);
	}
}

static void pause_vm(struct service *s, struct ttrpc_call *c)
{
	set_paused(s, c, true);
}

static void resume_vm(struct service *s, struct ttrpc_call *c)
{
	set_paused(s, c, false);
}

static void checkpoint(struct service *s, struct ttrpc_call *c)
{
	(void)s;
	ttrpc_refuse(c, TTRPC_UNIMPLEMENTED,
		     "a container in a microVM has no checkpoint of its own; "
		     "mayctl snapshot saves the microVM");
}

static void update(struct service *s, struct ttrpc_call *c)
{
	const Task__UpdateRequest *r = task__update_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	struct resources limits = {0};
	struct err e = {0};
	struct task *t = NULL;

	if (!r || !r->resources)
		ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "no sense in Update");
	else
		t = find_task(s, c, r->id);
	if (!t)
		return;
	if (resources_parse(&limits, (const char *)r->resources->value.data,
			    r->resources->value.len, &e))
		ttrpc_refuse_err(c, &e);
	else
		usage_limit(t, c, &limits);
	resources_fini(&limits);
}

static void stats(struct service *s, struct ttrpc_call *c)
{
	const struct process *p = process_named(s, c);

	if (p)
		usage_tell(p->owner, c);
}

static void connect_shim(struct service *s, struct ttrpc_call *c)
{
	const Task__ProcessRequest *q = task__process_request__unpack(
		&c->arena.allocator, c->len, c->payload);
	const struct task *t = q ? task_find(s, q->id) : NULL;
	Task__ConnectResponse r = TASK__CONNECT_RESPONSE__INIT;

	r.shim_pid = (uint32_t)getpid();
	if (t)
		r.task_pid = t->init.pid;
	ttrpc_answer(c, &r.base);
}

static void shutdown_shim(struct service *s, struct ttrpc_call *c)
{
	/* It is another container's too. */
	if (!s->tasks)
		s->is_over = true;
	answer_empty(c);
}

static const struct {
	const char *name;
	void (*serve)(struct service *s, struct ttrpc_call *c);
} methods[] = {
	{"State", state},
	{"Create", create},
	{"Start", start},
	{"Delete", delete},
	{"Pids", pids},
	{"Pause", pause_vm},
	{"Resume", resume_vm},
	{"Checkpoint", checkpoint},
	{"Kill", kill_process},
	{"Exec", exec},
	{"ResizePty", resize},
	{"CloseIO", close_io},
	{"Update", update},
	{"Wait", wait_for},
	{"Stats", stats},
	{"Connect", connect_shim},
	{"Shutdown", shutdown_shim},
};

void method_serve(struct service *s, struct ttrpc_call *c)
{
	/* Version 3 has the same messages, and one field more in some answers.
	 */
	if (!strcmp(c->service, "containerd.task.v2.Task") ||
	    !strcmp(c->service, "containerd.task.v3.Task"))
		for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]);
		     i++)
			if (!strcmp(c->method, methods[i].name)) {
				methods[i].serve(s, c);
				return;
			}
	ttrpc_refuse(c, TTRPC_UNIMPLEMENTED, "there is no %.100s/%.100s here",
		     c->service, c->method);
}
