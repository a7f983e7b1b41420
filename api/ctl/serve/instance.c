/*
 * The microVM is one of mayctl's, with a shim that looks after it: what dies of
 * it, and whoever kills us, leaves nothing for which nobody is there. All that
 * is done here is to wait for it, by descriptors.
 */
#include "api/ctl/serve/instance.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "api/ctl/base/process.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { PROBE_PAUSE_NS = 10000000, MS_NS = 1000000 };

/* Nothing of ours takes that long, but a monitor that means ill may. */
static const uint64_t maker_ns = 600ull * 1000000000;

const char *const instance_words[INSTANCE_STAGES] = {
	"making", "probing", "saving", "ready", "busy", "resetting", "ending",
};

static void close_probe(struct instance *i)
{
	loop_delete(i->loop, &i->probe);
	fd_close(&i->probe_fd);
}

static void close_all(struct instance *i)
{
	close_probe(i);
	loop_disarm(i->loop, &i->timer);
	loop_delete(i->loop, &i->monitor);
	loop_delete(i->loop, &i->shim);
	fd_close(&i->monitor_fd);
	fd_close(&i->shim_fd);
}

static int find_processes(struct instance *i, struct err *e)
{
	struct vm vm = {0};
	int rc = vm_load(&vm, i->name, e);

	if (rc)
		return rc;
	vm_path(&vm, "vsock.sock", i->socket);
	i->shim_fd = vm_process_open(&vm.state.shim);
	i->monitor_fd = vm_process_open(&vm.state.monitor);
	vm_fini(&vm);
	if (i->shim_fd < 0 || i->monitor_fd < 0)
		return err_set(e, -ESRCH, "its microVM ended at once");
	rc = loop_add(i->loop, &i->shim, i->shim_fd, EPOLLIN, e);
	return rc ? rc
		  : loop_add(i->loop, &i->monitor, i->monitor_fd, EPOLLIN, e);
}

static void end_shim(const struct instance *i)
{
	if (i->shim_fd >= 0)
		(void)process_signal(i->shim_fd, SIGTERM);
}

/*
 * The shim first, for whoever works at its monitor has nothing to wait for
 * then. Who makes one may have been about to end: then it runs, and is ours to
 * end.
 */
static void end_all(struct instance *i)
{
	const bool is_new = i->stage == INSTANCE_MAKING &&
			    maker_is_busy(&i->maker);

	end_shim(i);
	maker_stop(&i->maker);
	if (!is_new)
		return;
	(void)find_processes(i, NULL);
	end_shim(i);
}

static void be_gone(struct instance *i)
{
	close_all(i);
	i->calls->gone(i, *i->why ? i->why : NULL);
}

/* Where there is no shim there is nothing to wait for but the next turn. */
static void gone_fire(struct loop_timer *t)
{
	be_gone(container_of(t, struct instance, timer));
}

void instance_end(struct instance *i, const char *why)
{
	if (why && !*i->why)
		snprintf(i->why, sizeof(i->why), "%s", why);
	if (i->stage == INSTANCE_ENDING)
		return;
	end_all(i);
	i->stage = INSTANCE_ENDING;
	close_probe(i);
	loop_disarm(i->loop, &i->timer);
	loop_delete(i->loop, &i->monitor);
	if (i->shim_fd >= 0)
		return;
	i->timer.fire = gone_fire;
	loop_arm(i->loop, &i->timer, clock_now_ns());
}

void instance_drop(struct instance *i)
{
	end_all(i);
	close_all(i);
}

/* ---- ends that nobody asked for ----------------------------------------- */

static void monitor_ready(struct loop_watch *w, uint32_t events)
{
	struct instance *i = container_of(w, struct instance, monitor);

	(void)events;
	loop_delete(i->loop, &i->monitor);
	/* A template that is saved ends by itself. */
	if (i->stage != INSTANCE_SAVING)
		instance_end(i, "its microVM ended");
}

static void shim_ready(struct loop_watch *w, uint32_t events)
{
	struct instance *i = container_of(w, struct instance, shim);

	(void)events;
	loop_delete(i->loop, &i->shim);
	fd_close(&i->shim_fd);
	if (i->stage == INSTANCE_ENDING)
		be_gone(i);
	else if (i->stage != INSTANCE_SAVING)
		instance_end(i, "its microVM ended");
}

/* ---- whether the server inside is there --------------------------------- */

static void probe(struct loop_timer *t);

static void probe_again(struct instance *i)
{
	const uint64_t now = clock_now_ns();

	close_probe(i);
	if (now >= i->due_ns) {
		instance_end(i, "no server inside took a connection in time");
		return;
	}
	i->timer.fire = probe;
	loop_arm(i->loop, &i->timer, now + PROBE_PAUSE_NS);
}

static void got_ready(struct instance *i)
{
	close_probe(i);
	loop_disarm(i->loop, &i->timer);
	if (!i->made_ns)
		i->made_ns = clock_now_ns() - i->begun_ns;
	i->stage = INSTANCE_READY;
	i->calls->ready(i);
}

static void probe_ready(struct loop_watch *w, uint32_t events)
{
	struct instance *i = container_of(w, struct instance, probe);
	const int rc = dial_go_on(&i->dial, i->probe_fd);

	if (rc == -EAGAIN && !(events & (EPOLLHUP | EPOLLERR)))
		return;
	if (rc) {
		probe_again(i);
		return;
	}
	got_ready(i);
}

static void probe(struct loop_timer *t)
{
	struct instance *i = container_of(t, struct instance, timer);

	/* Also for one whose agent never answers. */
	close_probe(i);
	/* mayctl has ended when the agent had answered. */
	if (!i->port) {
		got_ready(i);
		return;
	}
	if (clock_now_ns() >= i->due_ns) {
		probe_again(i);
		return;
	}
	i->probe_fd = dial_begin(&i->dial, i->socket, i->port, NULL);
	if (i->probe_fd < 0 ||
	    loop_add(i->loop, &i->probe, i->probe_fd, EPOLLIN, NULL)) {
		probe_again(i);
		return;
	}
	loop_arm(i->loop, &i->timer, i->due_ns);
}

static void begin_probing(struct instance *i)
{
	i->stage = INSTANCE_PROBING;
	i->due_ns = clock_now_ns() + i->start_ms * MS_NS;
	i->timer.fire = probe;
	i->probe.ready = probe_ready;
	loop_arm(i->loop, &i->timer, clock_now_ns());
}

/* ---- making, resetting, saving ------------------------------------------ */

static void maker_ended(struct maker *m, bool is_ok, const char *said)
{
	struct instance *i = container_of(m, struct instance, maker);
	struct err e = {0};

	if (!is_ok) {
		instance_end(i, said);
		return;
	}
	if (i->stage == INSTANCE_SAVING) {
		i->calls->saved(i);
		instance_end(i, NULL);
		return;
	}
	if (i->stage == INSTANCE_MAKING && find_processes(i, &e)) {
		instance_end(i, e.text);
		return;
	}
	begin_probing(i);
}

static void late_fire(struct loop_timer *t)
{
	instance_end(container_of(t, struct instance, timer),
		     "it took too long");
}

static int start_maker(struct instance *i, const char *const *words,
		       struct err *e)
{
	const int rc = maker_start(&i->maker, i->loop, words, e);

	i->timer.fire = late_fire;
	if (!rc)
		loop_arm(i->loop, &i->timer, clock_now_ns() + maker_ns);
	return rc;
}

int instance_make(struct instance *i, const char *const *words, struct err *e)
{
	i->stage = INSTANCE_MAKING;
	i->begun_ns = clock_now_ns();
	i->monitor = (struct loop_watch){.fd = -1, .ready = monitor_ready};
	i->shim = (struct loop_watch){.fd = -1, .ready = shim_ready};
	i->probe.fd = i->probe_fd = i->monitor_fd = i->shim_fd = -1;
	i->maker.ended = maker_ended;
	return start_maker(i, words, e);
}

void instance_take(struct instance *i)
{
	i->stage = INSTANCE_BUSY;
	i->served++;
}

void instance_reset(struct instance *i)
{
	const char *const words[] = {"reset", i->name, NULL};
	struct err e = {0};

	i->stage = INSTANCE_RESETTING;
	if (start_maker(i, words, &e))
		instance_end(i, e.text);
}

void instance_save(struct instance *i, const char *folder)
{
	const char *const words[] = {"snapshot", "--stop", "--no-sync",
				     "--output", folder,   i->name,
				     NULL};
	struct err e = {0};

	i->stage = INSTANCE_SAVING;
	if (start_maker(i, words, &e))
		instance_end(i, e.text);
}
