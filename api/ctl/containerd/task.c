#include "api/ctl/containerd/task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/containerd/event.h"
#include "api/ctl/containerd/usage.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

static void answer_pid(struct ttrpc_call *c, uint32_t pid)
{
	Task__PidResponse r = TASK__PID_RESPONSE__INIT;

	r.pid = pid;
	ttrpc_answer(c, &r.base);
}

struct task *task_find(const struct service *s, const char *id)
{
	struct task *t = s->tasks;

	while (t && strcmp(t->id, id) != 0)
		t = t->next;
	return t;
}

/* ---- its processes ------------------------------------------------------ */

/* Volumes that follow the host's. */
static void join_shares(struct task *t)
{
	const struct spec *spec = &t->init.spec;
	struct service *s = t->service;

	for (unsigned i = 0; i < spec->plan.mount_count; i++)
		if (spec->volumes[i])
			share_join(&s->shares, spec->volumes[i],
				   &spec->plan.mounts[i]);
}

/* A start that failed may have brought the guest what nobody here knows of. */
static void doubt_shares(struct task *t)
{
	const struct spec *spec = &t->init.spec;

	for (unsigned i = 0; i < spec->plan.mount_count; i++)
		if (spec->volumes[i])
			share_doubt(&t->service->shares, spec->volumes[i],
				    &spec->plan.mounts[i]);
}

static void has_started(struct process *p)
{
	struct task *t = p->owner;
	struct ttrpc_call *c = p->starting;

	event_started(t->service, t, p);
	if (p == &t->init) {
		t->service->is_configured = true;
		machine_settle(&t->service->machine);
		usage_watch(t);
		join_shares(t);
	}
	p->starting = NULL;
	if (c)
		answer_pid(c, p->pid);
}

static void has_ended(struct process *p, const char *text)
{
	struct task *t = p->owner;
	struct ttrpc_call *c = p->starting;
	struct process *x;

	p->starting = NULL;
	if (p == &t->init) {
		usage_settle(t);
		if (c)
			doubt_shares(t);
		loop_disarm(&t->service->loop, &t->deadline);
	}
	if (c)
		ttrpc_refuse(c, TTRPC_UNKNOWN, "%s",
			     text ? text : "it ended before it began");
	else
		event_ended(t->service, t, p);
	/* With PID 1 all of its container ends. */
	for (x = p == &t->init ? t->execs : NULL; x; x = x->next)
		process_lose(x, "its container has ended");
}

/* Its output was read, or is not waited for: it goes. */
static void can_be_deleted(struct process *p, struct ttrpc_call *c)
{
	struct task *t = p->owner;
	struct process **at = &t->execs;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	task_answer_delete(p, c);
	process_fini(p);
	free(p);
}

/* Not at once: who says so has not done with it. */
static bool was_unheard(struct process *p, const char *text)
{
	struct service *s = ((struct task *)p->owner)->service;

	if (!s->machine.is_warm)
		return false;
	snprintf(s->why, sizeof(s->why), "%s", text);
	loop_arm(&s->loop, &s->retry, clock_now_ns());
	return true;
}

void task_own(struct task *t, struct process *p)
{
	p->owner = t;
	p->unheard = p == &t->init ? was_unheard : NULL;
	p->started = has_started;
	p->ended = has_ended;
	p->deletable = can_be_deleted;
	p->spec.plan.id = t->guest_id[0] ? t->guest_id : NULL;
}

/* ---- its end ------------------------------------------------------------ */

static void deadline_fire(struct loop_timer *timer)
{
	struct task *t = container_of(timer, struct task, deadline);

	machine_kill(&t->service->machine);
}

void task_kill_in(struct task *t, uint64_t ns)
{
	/* Of several the first counts. */
	if (t->deadline.due_ns)
		return;
	t->deadline.fire = deadline_fire;
	loop_arm(&t->service->loop, &t->deadline, clock_now_ns() + ns);
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

/* Its place in the pod, for another. */
static void give_disk(struct task *t)
{
	if (t->disk > 0 && t->service->machine.monitor.fd >= 0)
		machine_give_disk(&t->service->machine, (unsigned)t->disk);
	t->disk = -1;
}

void task_drop(struct task *t)
{
	struct service *s = t->service;
	struct task **at = &s->tasks;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	while (t->execs) {
		struct process *p = t->execs;

		t->execs = p->next;
		process_fini(p);
		free(p);
	}
	packer_end(&t->packer);
	/* One that was never there, for its Create failed or was taken back. */
	if (s->tasks && !t->has_begun)
		give_disk(t);
	usage_drop(t);
	ask_fini(&t->removal);
	loop_disarm(&s->loop, &t->deadline);
	process_fini(&t->init);
	if (!s->tasks) {
		loop_disarm(&s->loop, &s->retry);
		shares_end(&s->shares);
		machine_end(&s->machine);
	}
	rootfs_fini(&t->rootfs);
	free(t->id);
	free(t->bundle);
	free(t);
}

static void delete_now(struct task *t)
{
	if (t->deleting) {
		event_deleted(t->service, t);
		task_answer_delete(&t->init, t->deleting);
	}
	task_drop(t);
}

/* The guest has let go of it, or can't; then its disk stays taken. */
static void was_removed(struct ask *a, const struct session_frame *f,
			const struct err *e)
{
	struct task *t = container_of(a, struct task, removal);

	if (f || e->code == -ENOENT)
		give_disk(t);
	delete_now(t);
}

static void deleter_gone(struct ttrpc_call *c)
{
	((struct task *)c->keeper)->deleting = NULL;
}

void task_delete(struct task *t, struct ttrpc_call *c)
{
	const struct ask_whom whom = usage_whom(t);
	struct err e = {0};

	if (t->removal.loop) {
		ttrpc_refuse(c, TTRPC_FAILED_PRECONDITION,
			     "it is being deleted");
		return;
	}
	c->gone = deleter_gone;
	c->keeper = t;
	t->deleting = c;
	t->removal.answered = was_removed;
	/* With the last one its machine goes, and one that is lost has gone. */
	if (t->has_begun && (t != t->service->tasks || t->next) &&
	    t->service->machine.monitor.fd >= 0 &&
	    !ask_removal(&t->removal, &whom, &e))
		return;
	delete_now(t);
}

/* ---- its beginning ------------------------------------------------------ */

/* A guest that goes on is told first that it is another machine. */
static void take_monitor(struct task *t)
{
	struct machine *m = &t->service->machine;

	t->init.pid = (uint32_t)m->pid;
	t->init.spec.plan.is_warm = m->is_warm;
	t->init.spec.plan.mac = m->plan.mac;
}

/* Its image is there: it can be started once its machine runs. */
static int come(struct task *t, struct err *e)
{
	struct machine *m = &t->service->machine;
	int rc;

	if (t->disk > 0) {
		t->init.pid = (uint32_t)m->pid;
		return machine_fill(m, (unsigned)t->disk, e);
	}
	rc = machine_start(m, e);
	take_monitor(t);
	return rc;
}

static void packed(struct packer *p, const struct err *why)
{
	struct task *t = container_of(p, struct task, packer);
	struct ttrpc_call *c = t->creating;
	struct err e = *why;

	t->creating = NULL;
	if (p->found)
		machine_lend(&t->service->machine, p->found,
			     fd_steal(&p->found_fd));
	if (e.code || come(t, &e)) {
		ttrpc_refuse_err(c, &e);
		task_drop(t);
		return;
	}
	event_created(t->service, t);
	answer_pid(c, t->init.pid);
}

/*
 * The guest at rest was of no use: there is nothing in it yet, for it was told
 * nothing, or did not answer. Who was told its monitor's process is told the
 * other's by Start.
 */
static int boot_instead(struct service *s, const char *why, struct err *e)
{
	struct task *t = s->tasks;
	int rc = machine_boot_instead(&s->machine, why, e);

	loop_disarm(&s->loop, &s->retry);
	take_monitor(t);
	return rc || !t->has_begun
		       ? rc
		       : process_begin(&t->init, &s->loop, s->machine.ready_fd,
				       s->machine.vsock, e);
}

static void retry_fire(struct loop_timer *timer)
{
	struct service *s = container_of(timer, struct service, retry);
	struct err e = {0};

	/* It may have been ended meanwhile. */
	if (s->machine.is_warm && process_is_unheard(&s->tasks->init) &&
	    boot_instead(s, s->why, &e))
		process_lose(&s->tasks->init, e.text);
}

static void machine_lost(struct machine *m, const char *why)
{
	struct service *s = container_of(m, struct service, machine);
	struct err e = {0};

	if (m->is_warm && process_is_unheard(&s->tasks->init)) {
		if (!boot_instead(s, why, &e))
			return;
		why = e.text;
	}
	/* Of a container that ran nobody is told but by a status. */
	fprintf(stderr, "containerd-shim-mayfly-v1: %s: %s\n", s->host->id,
		why);
	for (struct task *t = s->tasks; t; t = t->next)
		process_lose(&t->init, why);
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

static int make_machine(struct task *t, struct err *e)
{
	struct service *s = t->service;
	const struct session_plan *plan = &t->init.spec.plan;
	int rc;

	s->machine = (struct machine){
		.loop = &s->loop,
		.config = &s->config,
		.lost = machine_lost,
	};
	s->made = 0;
	s->is_configured = false;
	if (t->init.spec.wants_hosts_network)
		return err_set(e, -ENOTSUP,
			       "it is to have the host's network, which no "
			       "microVM can have; leave hostNetwork out, or "
			       "run it by another runtime");
	s->retry.fire = retry_fire;
	snprintf(s->hostname, sizeof(s->hostname), "%s", plan->hostname);
	rc = wishes_read(&s->machine.wishes, &s->config, &t->init.spec, e);
	if (rc)
		return rc;
	machine_size(&s->machine, &t->init.spec.resources);
	rc = machine_make(&s->machine, s->host, t->init.spec.sandbox != NULL,
			  t->init.spec.netns, e);
	s->shares.loop = &s->loop;
	s->shares.socket = s->machine.vsock;
	s->shares.id = s->host->id;
	if (!rc && s->machine.net.name[0])
		t->init.spec.plan.network = &s->machine.net.guest;
	return rc;
}

/* A pod's container that is not its first. */
static int join_machine(struct task *t, struct err *e)
{
	struct session_plan *plan = &t->init.spec.plan;
	const struct service *s = t->service;

	/* The guest is told who it is by its first container. */
	if (s->machine.monitor.fd < 0 || !s->is_configured)
		return err_set(e, -EAGAIN,
			       "the pod's microVM does not run: its first "
			       "container has to be started first");
	plan->is_another = true;
	if (!t->init.spec.hostname || !*t->init.spec.hostname)
		plan->hostname = s->hostname;
	return 0;
}

/* ---- what a pod's containers share -------------------------------------- */

/* What containerd calls the first, whose pod it is, by the pid it was told. */
static bool is_of_pod(const struct task *t, const char *path, const char *type)
{
	char own[64];

	snprintf(own, sizeof(own), "/proc/%d/ns/%s",
		 (int)t->service->machine.pid, type);
	return t->next && !strcmp(path, own);
}

/* The first one has no name but the usual one. */
static const char *name_of(const struct task *t)
{
	return t->guest_id[0] ? t->guest_id : SESSION_CONTAINER;
}

/*
 * All of a pod's have one pid, its microVM's. In a pod whose containers share
 * their processes, all but the first say so; where some do not, the one that
 * does is there to look into one of them, which is told by no more than that.
 */
static const char *whose_pids(const struct task *t, struct err *e)
{
	const struct task *found = NULL;

	for (const struct task *x = t->next; x; x = x->next) {
		if (!x->next || x->init.spec.pid ||
		    x->init.stage != PROCESS_RUNNING)
			continue;
		if (found) {
			err_set(e, -ENOTSUP,
				"it is to share the processes of a container "
				"of its pod, and several have their own: have "
				"the pod share them (shareProcessNamespace)");
			return NULL;
		}
		found = x;
	}
	if (found)
		return name_of(found);
	for (found = t; found->next;)
		found = found->next;
	return name_of(found);
}

/* It may be gone when this one starts, so its name is kept here. */
static const char *take_pids(struct task *t, struct err *e)
{
	const char *name = whose_pids(t, e);

	if (name)
		snprintf(t->pids_of, sizeof(t->pids_of), "%s", name);
	return name ? t->pids_of : NULL;
}

static int take_shared(struct task *t, struct err *e)
{
	struct spec *s = &t->init.spec;
	const struct {
		const char *type, *path;
		const char **whose;
	} kinds[] = {
		{"ipc", s->ipc, &s->security.ipc},
		{"uts", s->uts, &s->security.uts},
		{"pid", s->pid, &s->security.pid},
	};

	for (size_t i = 0; i < 3; i++) {
		if (!kinds[i].path)
			continue;
		if (!is_of_pod(t, kinds[i].path, kinds[i].type))
			return err_set(e, -ENOTSUP,
				       "%.100s is a namespace of the host's, "
				       "which a microVM has no way to share; "
				       "leave it out, or name one of the "
				       "container's pod by the pid of its task",
				       kinds[i].path);
		if (kinds[i].whose == &s->security.pid)
			*kinds[i].whose = take_pids(t, e);
		else
			*kinds[i].whose = SESSION_CONTAINER;
		if (!*kinds[i].whose)
			return e->code;
	}
	return 0;
}

int task_begin(struct service *s, const Task__CreateRequest *r,
	       struct task **out, struct err *e)
{
	const struct process_words words = {"", r->stdin, r->stdout, r->stderr,
					    r->terminal};
	struct task *t = *out = calloc(1, sizeof(*t));
	struct machine *m = &s->machine;
	int rc;

	if (!t)
		return err_set(e, -ENOMEM, "no memory for a container");
	t->service = s;
	t->disk = -1;
	t->next = s->tasks;
	s->tasks = t;
	t->id = strdup(r->id);
	t->bundle = strdup(r->bundle);
	if (!t->id || !t->bundle)
		return err_set(e, -ENOMEM, "no memory for a container");
	if (t->next)
		snprintf(t->guest_id, sizeof(t->guest_id), "c%u", ++s->made);
	rc = spec_read(&t->init.spec, t->bundle,
		       s->config.directories == DIRECTORIES_COPIED, e);
	task_own(t, &t->init);
	if (!rc)
		rc = take_shared(t, e);
	if (!rc)
		rc = process_init(&t->init, &s->loop, &words, e);
	if (!rc)
		rc = take_rootfs(t, r, e);
	if (!rc)
		rc = t->next ? join_machine(t, e) : make_machine(t, e);
	if (!rc)
		rc = t->disk = machine_take_disk(m, e);
	if (rc < 0)
		return rc;
	t->init.spec.plan.image = m->disks[t->disk].serial;
	t->packer.packed = packed;
	t->rootfs.kept_bytes = s->config.images_mib << 20;
	/* A slot's file is the monitor's already. */
	t->rootfs.is_handed = !t->disk;
	return packer_begin(&t->packer, &s->loop, &t->rootfs,
			    m->disks[t->disk].path, e);
}
