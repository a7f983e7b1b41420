/*
 * SHUTDOWN: containers get their stop signal and a while, then SIGKILL; then
 * the disks are synced, and the machine ends.
 */
#include "guest/agent/shutdown.h"

#include "guest/agent/child.h"
#include "guest/agent/container.h"
#include "guest/agent/freezer.h"
#include "guest/agent/group.h"
#include "guest/agent/machine.h"
#include "guest/agent/progress.h"

#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

enum { FAILED = 125, BYE_MS = 5 };

static struct timer grace;
static bool is_ending, is_synced;
static struct session *shutdown_by;

static void power_off(struct timer *t)
{
	(void)t;
	if (machine.is_test) {
		freezer_fini();
		groups_fini();
		_exit(0);
	}
	reboot(RB_AUTOBOOT);
	_exit(1); /* the kernel panics, which ends the machine as well */
}

static void answer_shutdown(struct session *s, void *arg)
{
	(void)arg;
	if (s == shutdown_by)
		session_done(s);
}

/*
 * What containers had mounted goes with the last hold on it, and leaves clean
 * journals; all that was large has been written by now.
 */
static void disks_release(void)
{
	for (struct container *c = containers_first(); c; c = c->next)
		container_release(c);
	if (!machine.is_test)
		umount2(machine.base, 0);
}

/* The answer needs a moment to leave: vsock sends in a worker of the kernel. */
static void synced(struct process *p, int status)
{
	(void)p;
	(void)status;
	disks_release();
	sessions_each(answer_shutdown, NULL);
	timer_set(&grace, BYE_MS, power_off);
}

static void kill_all(struct timer *t)
{
	(void)t;
	for (struct container *c = containers_first(); c; c = c->next)
		if (c->init)
			process_signal(c->init, SIGKILL);
}

static void container_ended(void)
{
	if (!is_ending || is_synced)
		return;
	for (const struct container *c = containers_first(); c; c = c->next)
		if (c->init)
			return;
	is_synced = true;
	child_help(NULL, PROCESS_HELPER, child_sync, NULL, synced);
}

void shutdown_begin(struct session *s, struct reader *r)
{
	const struct proto_shutdown *head = reader_take(r, sizeof(*head));
	const uint32_t ms = head ? proto_get32(&head->grace_ms) : 0;

	if (!reader_done(r) || is_ending) {
		session_error(s, is_ending ? EALREADY : EPROTO, FAILED,
			      is_ending ? "the machine is ending already"
					: "SHUTDOWN is not as it should be");
		return;
	}
	is_ending = true;
	freezer_release(); /* what stands still hears no signal */
	containers_watch(container_ended);
	shutdown_by = s;
	s->mode = SESSION_WAIT;
	progress_watch(s);
	for (struct container *c = containers_first(); c && ms; c = c->next)
		if (c->init)
			process_signal(c->init, c->stop_signal
							? (int)c->stop_signal
							: SIGTERM);
	if (ms)
		timer_set(&grace, ms, kill_all);
	else
		kill_all(NULL);
	container_ended();
}
