/*
 * Containers: the table, and the requests that name one.
 */
#include "guest/agent/container.h"

#include "guest/agent/child.h"
#include "guest/agent/file.h"
#include "guest/agent/group.h"
#include "guest/agent/join.h"
#include "guest/agent/machine.h"
#include "guest/agent/plan.h"
#include "guest/agent/progress.h"
#include "guest/agent/root.h"
#include "guest/agent/tar.h"
#include "guest/agent/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAILED = 125, ARGV_SHOWN = 1024 };

static struct container *containers;
static unsigned containers_len;
static void (*on_ended)(void);

/* ---- the table ------------------------------------------------------------
 */

struct container *containers_first(void)
{
	return containers;
}

void containers_watch(void (*ended)(void))
{
	on_ended = ended;
}

int containers_rename(const char *from, const char *name)
{
	const int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	int rc = own < 0 ? -errno : 0;

	for (struct container *c = containers; c && !rc; c = c->next) {
		if (!c->init || strcmp(c->hostname, from))
			continue;
		if (setns(c->pidfd, CLONE_NEWUTS) ||
		    sethostname(name, strlen(name)))
			rc = -errno;
		else
			snprintf(c->hostname, sizeof(c->hostname), "%s", name);
	}
	if (own >= 0 && setns(own, CLONE_NEWUTS) && !rc)
		rc = -errno;
	if (own >= 0)
		close(own);
	return rc;
}

void container_release(struct container *c)
{
	if (c->mntfd >= 0)
		close(c->mntfd);
	c->mntfd = -1;
}

struct container *container_find(struct bytes id)
{
	struct container *c = containers;

	while (c && (strlen(c->id) != id.len || memcmp(c->id, id.at, id.len)))
		c = c->next;
	return c;
}

static void container_free(struct container *c)
{
	struct container **at = &containers;

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at) {
		*at = c->next;
		containers_len--;
	}
	if (c->pidfd >= 0)
		close(c->pidfd);
	container_release(c);
	free(c->user);
	free(c->cwd);
	free(c->argv);
	free(c->env);
	free(c->rights.filter);
	free(c->log.buf);
	free(c);
}

static int remove_tree(void *arg, int in, int out, char *sentence, size_t len)
{
	(void)in;
	(void)out;
	(void)len;
	sentence[0] = '\0';
	return tree_remove(machine.base, arg);
}

static void refuse_waiting(struct session *s, void *arg)
{
	if (s->container == arg)
		session_error(s, ESRCH, FAILED, "the container is gone");
}

/* Its id is free at once; a session is answered when its tree is gone. */
static void container_discard(struct container *c, struct session *s)
{
	char away[TREE_AWAY];
	const int error = tree_put_away(machine.base, c->id, away);

	if (s)
		s->container = NULL;
	sessions_each(refuse_waiting, c);
	group_remove((struct bytes){c->id, strlen(c->id)});
	if (!error)
		child_help(s, PROCESS_HELPER, remove_tree, away, NULL);
	else if (s && error == ENOENT)
		session_done(s);
	else if (s)
		session_error(s, error, FAILED,
			      "cannot remove the files of %s: %s", c->id,
			      strerror(error));
	container_free(c);
}

/* ---- what happens to them -------------------------------------------------
 */

static void container_started(struct container *c)
{
	c->started_ns = machine_realtime_ns();
}

static void log_pump(struct session *s)
{
	const struct container *c = s->container;
	uint8_t stream;

	while (c && log_peek(&c->log, &s->log_at, &stream)) {
		size_t room = session_room(s, stream);
		struct proto_frame f = {.type = PROTO_DATA, .stream = stream};
		uint8_t *to;

		if (!room)
			return;
		if (room > PROTO_DATA_MAX)
			room = PROTO_DATA_MAX;
		to = writer_room(&s->tx, sizeof(f) + room);
		if (!to)
			return;
		room = log_read(&c->log, &s->log_at, &stream, room,
				to + sizeof(f));
		proto_put32(&f.length, (uint32_t)room);
		memcpy(to, &f, sizeof(f));
		s->tx.to += sizeof(f) + room;
		s->window[stream] -= (uint32_t)room;
		session_flush(s);
	}
	if (c && (!s->log_follows || !c->init))
		session_done(s);
}

/* A session that waits to remove what it has killed. */
static struct session *remover;

static void answer_waiting(struct session *s, void *arg)
{
	const struct container *c = arg;
	struct proto_exited exited;

	if (s->container != c)
		return;
	if (s->mode == SESSION_WAIT && s->removes) {
		remover = s;
	} else if (s->mode == SESSION_WAIT) {
		proto_put32(&exited.status, c->status);
		proto_put32(&exited.signal, c->signal);
		session_answer(s, PROTO_EXITED, &exited, sizeof(exited));
		session_idle(s);
	} else if (s->mode == SESSION_LOGS) {
		log_pump(s);
	}
}

/* Who waits for kills hears of them before others hear of the end. */
static void container_ending(struct container *c)
{
	/* Its process is no PID 1, with which the others would end. */
	if (c->shares_pids)
		group_kill(c->id);
	group_ended(c->id);
}

static void container_ended(struct container *c, uint32_t status,
			    uint32_t signal)
{
	c->init = NULL;
	c->status = status;
	c->signal = signal;
	c->ended_ns = machine_realtime_ns();
	remover = NULL;
	sessions_each(answer_waiting, c);
	if (remover)
		container_discard(c, remover);
	if (on_ended)
		on_ended();
}

static void container_failed(struct container *c)
{
	c->init = NULL;
	container_discard(c, NULL);
}

static void container_output(struct container *c, uint8_t stream,
			     const void *data, size_t len)
{
	log_add(&c->log, stream, data, len);
}

static const struct process_ops container_ops = {
	.started = container_started,
	.output = container_output,
	.ending = container_ending,
	.ended = container_ended,
	.failed = container_failed,
};

/* ---- RUN and EXEC ---------------------------------------------------------
 */

static bool container_fits(struct session *s, const struct container *c)
{
	const struct bytes id = {c->id, strlen(c->id)};

	if (container_find(id)) {
		session_error(s, EEXIST, FAILED,
			      "there is a container %s; REMOVE it first",
			      c->id);
		return false;
	}
	if (containers_len >= PROTO_CONTAINERS) {
		session_error(s, ENOSPC, FAILED,
			      "there are %d containers; REMOVE one first",
			      PROTO_CONTAINERS);
		return false;
	}
	if (!machine.is_configured) {
		session_error(s, EAGAIN, FAILED, "CONFIGURE comes first");
		return false;
	}
	return true;
}

static void container_hold(struct container *c, struct process *p)
{
	char path[40];

	c->init = p;
	c->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", p->pid);
	c->mntfd = open(path, O_RDONLY | O_CLOEXEC);
}

/* False where s is answered. */
static bool walls_fit(struct session *s, struct container *c, struct spawn *sp,
		      const struct walls *w)
{
	const char *missing = w ? join_plan(containers, sp, w) : NULL;

	c->shares_pids = sp->pid_fd >= 0;
	if (missing)
		session_error(s, ESRCH, FAILED,
			      "the container %.64s, whose namespaces it is to "
			      "share, does not run; start it first",
			      missing);
	else if (w && w->devices.rules_len && group_fd(c->id) < 0)
		session_error(s, EINVAL, FAILED,
			      "rules for devices are of a control group; GROUP "
			      "comes first");
	else
		return true;
	return false;
}

static void fork_failed(struct session *s, int error)
{
	session_error(s, error, FAILED, "cannot make a process: %s",
		      strerror(error));
}

void container_run(struct session *s, struct reader *r)
{
	struct container *c = calloc(1, sizeof(*c));
	struct root root = {
		.base = machine.base,
		.tree = machine.tree,
		.resolv = machine.resolv,
		.addresses = {machine.address[0], machine.address[1]},
		.request = r->at,
		.request_len = r->left};
	struct spawn sp = {0};
	struct process *p;
	int error = 0;

	if (!c) {
		session_error(s, ENOMEM, FAILED, "no memory for a container");
		return;
	}
	c->pidfd = c->mntfd = -1;
	plan_container(c, &sp, &root, r);
	if (r->is_bad)
		session_error(s, EPROTO, FAILED,
			      "this RUN is not as guest/proto.h has it");
	if (r->is_bad || !container_fits(s, c) ||
	    !walls_fit(s, c, &sp, root.walls)) {
		files_clear();
		root_fini(&root);
		container_free(c);
		return;
	}
	if (!c->hostname[0])
		snprintf(c->hostname, sizeof(c->hostname), "%.12s", c->id);
	if (!c->image[0])
		memcpy(c->image, machine.image, sizeof(c->image));
	c->next = containers;
	containers = c;
	containers_len++;
	root.id = c->id;
	root.image = c->image;
	sp.hostname = c->hostname;
	sp.group_fd = group_fd(c->id);
	sp.is_init = true;
	p = child_start(s, &sp, &root, c, &container_ops, &error);
	root_fini(&root);
	files_clear();
	if (p) {
		container_hold(c, p);
		return;
	}
	container_failed(c);
	fork_failed(s, error);
}

/* The container that a request's id names; answers if there is none. */
static struct container *container_named(struct session *s, struct reader *r)
{
	const struct bytes id = reader_string(r);
	struct container *c = container_find(id);

	if (r->is_bad) {
		session_error(s, EPROTO, FAILED,
			      "this request is not as guest/proto.h has it");
		return NULL;
	}
	if (!c)
		session_error(s, ENOENT, FAILED, "there is no container %.*s",
			      (int)(id.len > 64 ? 64 : id.len), id.at);
	return c;
}

/* One that runs, and has come as far as its first process. */
static struct container *container_running(struct session *s, struct reader *r)
{
	struct container *c = container_named(s, r);

	if (!c || (c->init && c->init->is_started))
		return c;
	session_error(s, ESRCH, FAILED, "the container %s %s", c->id,
		      c->init ? "is only beginning" : "has ended");
	return NULL;
}

void container_exec(struct session *s, struct reader *r)
{
	struct spawn sp;
	struct container *c;
	int error = 0;

	if (!plan_process(&sp, r))
		r->is_bad = true;
	c = container_running(s, r);
	plan_rights(&sp, r);
	if (c && !reader_done(r)) {
		session_error(s, EPROTO, FAILED,
			      "this EXEC is not as guest/proto.h has it");
		c = NULL;
	}
	if (c && sp.user && !sp.user[0]) {
		free(sp.user);
		sp.user = strdup(c->user);
	}
	if (c && sp.cwd && !sp.cwd[0]) {
		free(sp.cwd);
		sp.cwd = strdup(c->cwd);
	}
	if (c && sp.user && sp.cwd) {
		sp.base_env = (const char *const *)c->env;
		sp.limits = c->limits;
		sp.limits_len = c->limits_len;
		rights_inherit(&sp.rights, &c->rights);
		sp.hostname = c->hostname;
		sp.pidfd = c->pidfd;
		sp.group_fd = group_fd(c->id);
		sp.flags &= ~(uint32_t)PROTO_OWN_NETWORK;
		if (c->own_network)
			sp.flags |= PROTO_OWN_NETWORK;
		if (!child_start(s, &sp, NULL, NULL, NULL, &error))
			fork_failed(s, error);
	} else if (c) {
		session_error(s, ENOMEM, FAILED, "no memory for a process");
	}
	spawn_fini(&sp);
}

/* ---- the others -----------------------------------------------------------
 */

void container_attach(struct session *s, struct reader *r)
{
	struct container *c = container_running(s, r);
	struct proto_started started;

	if (!c)
		return;
	if (c->init->session) {
		session_error(s, EBUSY, FAILED,
			      "another connection is attached to %s", c->id);
		return;
	}
	c->init->flags |= PROTO_KEEP | PROTO_DETACH;
	process_join(c->init, s);
	proto_put32(&started.pid, (uint32_t)c->init->pid);
	session_answer(s, PROTO_STARTED, &started, sizeof(started));
	process_pump(c->init);
}

void container_logs(struct session *s, struct reader *r)
{
	static const struct session_ops ops = {.pump = log_pump};
	const struct proto_logs *head = reader_take(r, sizeof(*head));
	struct container *c = container_named(s, r);

	if (!c || !head)
		return;
	s->mode = SESSION_LOGS;
	s->ops = &ops;
	s->container = c;
	s->log_follows = proto_get32(&head->follow);
	s->log_at = c->log.buf ? log_tail(&c->log, proto_get32(&head->tail))
			       : 0;
	log_pump(s);
}

void container_wait(struct session *s, struct reader *r)
{
	struct container *c = container_named(s, r);

	if (!c)
		return;
	s->mode = SESSION_WAIT;
	s->container = c;
	s->removes = false;
	if (!c->init)
		answer_waiting(s, c);
}

void container_kill(struct session *s, struct reader *r)
{
	const struct proto_kill *head = reader_take(r, sizeof(*head));
	const uint32_t signal = head ? proto_get32(&head->signal) : 0;
	struct container *c = container_named(s, r);

	if (!c)
		return;
	if (!c->init || signal < 1 || signal > 64) {
		session_error(s, c->init ? EINVAL : ESRCH, FAILED,
			      c->init ? "there is no signal %u"
				      : "the container has ended (signal %u)",
			      signal);
		return;
	}
	process_signal(c->init, (int)signal);
	session_done(s);
}

void container_remove(struct session *s, struct reader *r)
{
	const struct proto_remove *head = reader_take(r, sizeof(*head));
	struct reader again = *r;
	struct bytes id = reader_string(&again);
	struct container *c;

	/* A group that has waited for a container in vain. */
	if (!container_find(id) && group_remove(id)) {
		session_done(s);
		return;
	}
	c = container_named(s, r);
	if (!c)
		return;
	progress_watch(s);
	if (c->init && proto_get32(&head->force)) {
		s->mode = SESSION_WAIT;
		s->container = c;
		s->removes = true;
		process_signal(c->init, SIGKILL);
		return;
	}
	if (c->init) {
		session_error(s, EBUSY, FAILED,
			      "the container %s is running; stop it first",
			      c->id);
		return;
	}
	container_discard(c, s);
}

static void container_put(struct session *s, const struct container *c)
{
	const size_t begin = frame_begin(&s->tx, PROTO_CONTAINER, 0);
	struct proto_container head;
	struct proto_le32 count;
	uint32_t n = 0;
	size_t len = 0;

	proto_put32(&head.state, c->init ? PROTO_RUNNING : PROTO_ENDED);
	proto_put32(&head.pid, c->init ? (uint32_t)c->init->pid : 0);
	proto_put32(&head.status, c->status);
	proto_put32(&head.signal, c->signal);
	proto_put64(&head.started_ns, c->started_ns);
	proto_put64(&head.ended_ns, c->ended_ns);
	writer_add(&s->tx, &head, sizeof(head));
	writer_string(&s->tx, c->id, strlen(c->id));
	writer_string(&s->tx, c->image, strlen(c->image));
	writer_string(&s->tx, c->hostname, strlen(c->hostname));
	while (c->argv[n] && len < ARGV_SHOWN)
		len += strlen(c->argv[n++]) + 1;
	proto_put32(&count, n);
	writer_add(&s->tx, &count, sizeof(count));
	for (uint32_t i = 0; i < n; i++)
		writer_string(&s->tx, c->argv[i],
			      strnlen(c->argv[i], ARGV_SHOWN));
	frame_end(&s->tx, begin);
}

void container_list(struct session *s, struct reader *r)
{
	(void)r;
	for (const struct container *c = containers; c; c = c->next)
		container_put(s, c);
	session_done(s);
}

void container_copy(struct session *s, struct reader *r, uint8_t type)
{
	const struct proto_copy *head = reader_take(r, sizeof(*head));
	const bool in = type == PROTO_COPY_IN;
	struct container *c = container_named(s, r);
	struct copy copy;
	char *path;

	if (!c)
		return;
	path = reader_copy(r);
	if (!path || path[0] != '/' || !reader_done(r)) {
		session_error(s, EPROTO, FAILED,
			      "a copy wants an id and an absolute path");
		free(path);
		return;
	}
	copy = (struct copy){.mntfd = c->mntfd,
			     .flags = proto_get32(&head->flags),
			     .path = path};
	if (c->init && !c->init->is_started)
		session_error(s, EAGAIN, FAILED,
			      "the container is only "
			      "beginning");
	else
		child_help(s, in ? PROCESS_COPY_IN : PROCESS_COPY_OUT,
			   in ? tar_read : tar_write, &copy, NULL);
	free(path);
}
