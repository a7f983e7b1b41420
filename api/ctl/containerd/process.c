#include "api/ctl/containerd/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"

enum { STATUS_LOST = 137 }; /* as of one that SIGKILL has ended */

/* What readers get before Delete is carried out. */
#define DELETE_NS 10000000000ull

/* ---- its end ------------------------------------------------------------ */

Task__Timestamp process_exited_at(const struct process *p)
{
	Task__Timestamp at = TASK__TIMESTAMP__INIT;

	at.seconds = p->exited_at.tv_sec;
	at.nanos = (int32_t)p->exited_at.tv_nsec;
	return at;
}

static void answer_wait(const struct process *p, struct ttrpc_call *c)
{
	Task__WaitResponse r = TASK__WAIT_RESPONSE__INIT;
	Task__Timestamp at = process_exited_at(p);

	r.exit_status = p->exit_status;
	r.exited_at = &at;
	ttrpc_answer(c, &r.base);
}

static void waiter_gone(struct ttrpc_call *c)
{
	struct process *p = c->keeper;
	struct ttrpc_call **at = &p->waiters;

	while (*at != c)
		at = &(*at)->kept;
	*at = c->kept;
}

static void end(struct process *p, uint32_t status, const char *text)
{
	if (p->stage == PROCESS_STOPPED)
		return;
	p->stage = PROCESS_STOPPED;
	p->exit_status = status;
	clock_gettime(CLOCK_REALTIME, &p->exited_at);
	/* Who reads learns that there is no more before it hears of the end. */
	stdio_end(&p->io);
	p->ended(p, text);
	while (p->waiters) {
		struct ttrpc_call *c = p->waiters;

		p->waiters = c->kept;
		answer_wait(p, c);
	}
}

/* Its streams are closed, so nothing may be read of them or written any more.
 */
static void cut(struct process *p, uint32_t status, const char *text)
{
	if (p->stage == PROCESS_STOPPED)
		return;
	attach_fini(&p->attach);
	end(p, status, text);
}

void process_lose(struct process *p, const char *text)
{
	cut(p, STATUS_LOST, text);
}

void process_wait_for(struct process *p, struct ttrpc_call *c)
{
	if (p->stage == PROCESS_STOPPED) {
		answer_wait(p, c);
		return;
	}
	c->gone = waiter_gone;
	c->keeper = p;
	c->kept = p->waiters;
	p->waiters = c;
}

static void deleter_gone(struct ttrpc_call *c)
{
	((struct process *)c->keeper)->deleting = NULL;
}

static void output_was_read(struct stdio *s)
{
	struct process *p = container_of(s, struct process, io);
	struct ttrpc_call *c = p->deleting;

	p->deleting = NULL;
	if (c)
		p->deletable(p, c);
}

void process_delete(struct process *p, struct ttrpc_call *c)
{
	if (p->deleting) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     "it is being deleted");
		return;
	}
	if (p->stage != PROCESS_STOPPED || !stdio_holds(&p->io)) {
		p->deletable(p, c);
		return;
	}
	c->gone = deleter_gone;
	c->keeper = p;
	p->deleting = c;
	stdio_hold_until(&p->io, clock_now_ns() + DELETE_NS);
}

/* ---- its life ----------------------------------------------------------- */

static ssize_t took_output(struct attach *a, int stream, const void *bytes,
			   size_t len)
{
	struct process *p = container_of(a, struct process, attach);

	return stdio_write(&p->io, stream, bytes, len);
}

static void has_started(struct attach *a)
{
	struct process *p = container_of(a, struct process, attach);

	if (p->stage != PROCESS_CREATED)
		return;
	p->stage = PROCESS_RUNNING;
	p->started(p);
}

static void has_ended(struct attach *a, uint32_t code, const char *text)
{
	struct process *p = container_of(a, struct process, attach);

	if (a->is_dialing && p->stage == PROCESS_CREATED && p->unheard &&
	    p->unheard(p, text ? text : "it does not answer"))
		return;
	/* A sentence about what ran is that of a machine that is gone. */
	end(p, text && p->stage == PROCESS_RUNNING ? STATUS_LOST : code, text);
}

static const struct attach_calls calls = {
	.output = took_output,
	.started = has_started,
	.ended = has_ended,
};

static void has_room(struct stdio *s)
{
	attach_resume(&container_of(s, struct process, io)->attach);
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

int process_init(struct process *p, struct loop *loop,
		 const struct process_words *w, struct err *e)
{
	int rc;

	p->stage = PROCESS_CREATED;
	p->exec_id = copy(w->exec_id);
	p->in = copy(w->in);
	p->out = copy(w->out);
	p->err = copy(w->err);
	p->has_tty = w->has_tty;
	if (!p->exec_id || !p->in || !p->out || !p->err)
		return err_set(e, -ENOMEM, "no memory for a process");
	p->io.room = has_room;
	p->io.over = output_was_read;
	rc = stdio_open(&p->io, loop, p->out, p->err, e);
	p->spec.plan.has_tty = p->has_tty;
	p->spec.plan.has_stdin = *p->in != '\0';
	return rc;
}

int process_begin(struct process *p, struct loop *loop, int ready_fd,
		  const char *socket, struct err *e)
{
	int rc = 0;

	attach_fini(&p->attach);
	if (*p->in && p->io.fds[0] < 0)
		rc = stdio_open_input(&p->io, p->in, e);
	if (rc)
		return rc;
	if (ready_fd >= 0) {
		rc = attach_await(&p->attach, loop, &calls, ready_fd,
				  &p->spec.plan, e);
	} else {
		attach_dial(&p->attach, loop, &calls, socket, &p->spec.plan);
		attach_call(&p->attach);
	}
	if (!rc && p->io.fds[0] >= 0)
		attach_input(&p->attach, p->io.fds[0]);
	return rc;
}

bool process_is_unheard(const struct process *p)
{
	return p->stage == PROCESS_CREATED &&
	       (!p->attach.loop || p->attach.is_dialing ||
		p->attach.session.fd < 0);
}

int process_kill(struct process *p, int signal)
{
	if (p->stage == PROCESS_STOPPED)
		return -ESRCH;
	/* The guest has not been told of it, and may never ask. */
	if (process_is_unheard(p)) {
		cut(p, 128 + (uint32_t)signal, "it was killed before it began");
		return 0;
	}
	/* Output that nobody reads is not to hide the end. */
	if (signal == SIGKILL) {
		p->io.is_dropping = true;
		attach_resume(&p->attach);
	}
	attach_signal(&p->attach, signal);
	return 0;
}

void process_fini(struct process *p)
{
	if (p->deleting)
		ttrpc_refuse(p->deleting, TTRPC_NOT_FOUND, "it was deleted");
	p->deleting = NULL;
	while (p->waiters) {
		struct ttrpc_call *c = p->waiters;

		p->waiters = c->kept;
		ttrpc_refuse(c, TTRPC_NOT_FOUND, "it was deleted");
	}
	attach_fini(&p->attach);
	stdio_close(&p->io);
	spec_fini(&p->spec);
	free(p->exec_id);
	free(p->in);
	free(p->out);
	free(p->err);
	p->exec_id = p->in = p->out = p->err = NULL;
}
