/*
 * Forks. Who forks a microVM gets descriptors of its state, of its memory, and
 * of what its drives' overlays hold where there are any: files in memory that
 * nobody can write to any more. They go to
 * whoever asked, beside the first byte of the answer, or to a socket that the
 * request names: a child is an ordinary monitor that loads them, as any user,
 * in any jail, for a descriptor needs no permission once it is open.
 *
 * What takes time (vmm/machine/forked.c) is done by a timer's turns while the
 * guest runs and its devices are served, so the answer comes later. Requests
 * that change anything are refused meanwhile.
 *
 * Who has to bring the guest's programs to a stand first has all of that done
 * before, by a request to prepare: the next one has little left to do. It may
 * not come, so what is prepared is held for a while only.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "api/snapshot.h"
#include "api/snapshot_config.h"
#include "api/snapshot_overlays.h"
#include "api/socket_file.h"
#include "api/working_set.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/rights.h"
#include "vmm/mem/frozen.h"
#include "vmm/state/state.h"

#define WAIT_NS 10000000000ULL
#define STEP_NS 1000000ULL

struct fork {
	struct loop_timer timer;
	struct controller *controller; /* borrowed */
	int socket_fd;		       /* owned; -1: with the answer */
	int overlays_fd;	       /* owned; -1: there are none */
	struct overlay_fork_look look;
	bool was_running;
	bool runs; /* afterwards */
	bool is_prepare;
	bool waits; /* prepared; the timer ends it */
	uint64_t begin_ns;
	uint64_t pause_ns;
	size_t state_bytes;
};

/* Whether its file changes. */
static bool is_written(const struct config_drive *drive)
{
	return !drive->is_read_only && !drive->has_overlay;
}

int snapshot_fork_check_drives(const struct vm_config *config,
			       const struct snapshot_drive *overrides,
			       uint32_t count, struct err *e)
{
	uint32_t i, k;

	for (i = 0; i < config->drive_count; i++) {
		const struct config_drive *drive = &config->drives[i];

		for (k = 0; k < count; k++)
			if (!strcmp(overrides[k].drive_id, drive->drive_id))
				break;
		if (k == count && is_written(drive))
			return err_set(e, -EINVAL,
				       "this is a fork, and the microVM that "
				       "it was forked from goes on writing to "
				       "the drive %s; name a copy of it in "
				       "drive_overrides",
				       drive->drive_id);
	}
	return 0;
}

/* Children need copies of what is on the drives at that instant. */
static int check_drives(const struct controller *c, bool runs, struct err *e)
{
	uint32_t i;

	for (i = 0; i < c->config.drive_count; i++) {
		const struct config_drive *drive = &c->config.drives[i];

		if (runs && is_written(drive))
			return err_set(e, -EPERM,
				       "the drive %s can be written to, and "
				       "would go on changing; fork with "
				       "resume_vm false, copy it for the "
				       "children, then resume the microVM",
				       drive->drive_id);
	}
	return 0;
}

static void fork_free(struct fork *f)
{
	struct controller *c = f->controller;

	loop_disarm(c->loop, &f->timer);
	snapshot_overlays_fork_end(c);
	machine_fork_end(c->machine);
	fd_close(&f->socket_fd);
	fd_close(&f->overlays_fd);
	free(f);
	c->fork = NULL;
}

/* ---- the end --------------------------------------------------------------
 */

static int write_state(struct fork *f, struct state *s, int *out, struct err *e)
{
	CLEAN_FD int fd = -1;
	uint8_t *data;
	int rc = state_encode(s, &f->controller->snapshot_key, &data,
			      &f->state_bytes, e);

	if (rc)
		return rc;
	fd = frozen_new("state", 0, e);
	rc = fd < 0 ? fd : fd_pwrite(fd, data, f->state_bytes, 0);
	free(data);
	if (fd >= 0 && rc)
		return err_set(e, rc, "can't write the state: %s",
			       strerror(-rc));
	rc = rc ? rc : frozen_seal(fd, e);
	if (!rc)
		*out = fd_steal(&fd);
	return rc;
}

/* Takes what is sent over the socket; what goes with the answer stays. */
static int deliver(const struct fork *f, const json_t *json,
		   int fds[RIGHTS_MAX], struct err *e)
{
	char *text;
	ssize_t n;

	if (f->socket_fd < 0)
		return 0;
	text = json_dumps(json, JSON_COMPACT);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for a message");
	n = rights_send(f->socket_fd, text, strlen(text), fds,
			rights_count(fds));
	if (n != (ssize_t)strlen(text))
		err_set(e, n < 0 ? (int)n : -EPIPE,
			"who listens at the socket_path takes no message%s%s",
			n < 0 ? ": " : "", n < 0 ? strerror((int)-n) : "");
	else
		n = 0;
	free(text);
	rights_close(fds);
	return n ? e->code : 0;
}

static json_t *describe(const struct fork *f, bool has_overlays)
{
	const struct controller *c = f->controller;
	json_t *json;

	json = json_pack("{s:I, s:I, s:I}", "pause_us",
			 (json_int_t)(f->pause_ns / 1000), "state_bytes",
			 (json_int_t)f->state_bytes, "memory_bytes",
			 (json_int_t)machine_memory(c->machine));
	if (json && has_overlays)
		json_object_set_new(json, "has_overlays", json_true());
	return json;
}

/* The instant: all that is done while the guest is held. */
static int hold(struct fork *f, struct state *s, struct err *e)
{
	struct controller *c = f->controller;
	const uint64_t begin_ns = clock_now_ns();
	int rc = controller_pause(c, e);

	rc = rc ? rc : machine_quiet(c->machine, e);
	rc = rc ? rc : machine_save(c->machine, s, e);
	rc = rc ? rc : snapshot_overlays_fork_save(c, s, f->overlays_fd, e);
	rc = rc ? rc : machine_fork(c->machine, e);
	machine_unquiet(c->machine);
	if (f->runs)
		(void)controller_resume(c, NULL);
	f->pause_ns = clock_now_ns() - begin_ns;
	return rc;
}

static int split(struct fork *f, int fds[RIGHTS_MAX], struct err *e)
{
	struct controller *c = f->controller;
	struct state *s = state_new();
	int rc = 0;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the state");
	if (getrandom(state_id(s), STATE_ID_LEN, 0) != STATE_ID_LEN)
		rc = err_errno(e, "no random bytes for the state's id");
	rc = rc ? rc : snapshot_config_save(c, true, s, e);
	rc = rc ? rc : hold(f, s, e);
	rc = rc ? rc : write_state(f, s, &fds[0], e);
	rc = rc ? rc : machine_fork_memory(c->machine, &fds[1], e);
	if (!rc && f->overlays_fd >= 0) {
		rc = frozen_seal(f->overlays_fd, e);
		fds[2] = fd_steal(&f->overlays_fd);
	}
	state_free(s);
	return rc;
}

/* Says how it ended; of *f nothing is left. */
static void answer(struct fork *f, json_t *json, int fds[RIGHTS_MAX],
		   const struct err *e)
{
	struct controller *c = f->controller;

	fork_free(f);
	if (e)
		rights_close(fds);
	if (c->forked)
		c->forked(c->forked_context, json, fds, e);
	json_decref(json);
	rights_close(fds);
}

/* One that failed leaves the microVM running where it ran, and only there. */
static void restore(struct fork *f)
{
	if (f->was_running)
		(void)controller_resume(f->controller, NULL);
	else
		(void)controller_pause(f->controller, NULL);
}

static void finish(struct fork *f)
{
	struct err e = {0};
	int fds[RIGHTS_MAX] = {-1, -1, -1};
	json_t *json = NULL;
	int rc = split(f, fds, &e);

	if (!rc) {
		log_info("a fork held the guest for %" PRIu64 " us, and took "
			 "%" PRIu64 " ms",
			 f->pause_ns / 1000,
			 (clock_now_ns() - f->begin_ns) / 1000000);
		json = describe(f, fds[2] >= 0);
		rc = json ? deliver(f, json, fds, &e)
			  : err_set(&e, -ENOMEM, "no memory for the answer");
	}
	if (rc)
		restore(f);
	answer(f, json, fds, rc ? &e : NULL);
}

/* ---- the steps ------------------------------------------------------------
 */

/* What is written from here on is noted, for whoever asks next. */
static void wait_for_next(struct fork *f)
{
	struct controller *c = f->controller;
	int none[RIGHTS_MAX] = {-1, -1, -1};

	f->waits = true;
	loop_arm(c->loop, &f->timer, clock_now_ns() + WAIT_NS);
	if (c->forked)
		c->forked(c->forked_context, NULL, none, NULL);
}

static void give_up(struct fork *f)
{
	log_info("a fork was prepared, and nobody asked for it");
	fork_free(f);
}

static int copy_overlays(void *context, struct err *e)
{
	struct fork *f = context;

	return snapshot_overlays_fork_step(f->controller, STEP_NS, &f->look, e);
}

/* Of memory, and of overlays; 1 where next to nothing is left of both. */
static int take_step(struct fork *f, uint64_t *rest_ns, struct err *e)
{
	struct machine *m = f->controller->machine;
	int few = 1, rc;

	f->look = (struct overlay_fork_look){0};
	if (f->overlays_fd >= 0)
		few = machine_fork_beside(m, copy_overlays, f, e);
	if (f->look.is_stuck)
		machine_fork_slow(m);
	rc = few < 0 ? few : machine_fork_step(m, rest_ns, e);
	/* A disk is not waited for here. */
	if (f->look.waits && *rest_ns < STEP_NS)
		*rest_ns = STEP_NS;
	return rc < 0 ? rc : few && rc;
}

void snapshot_fork_turn(struct loop_timer *t)
{
	struct fork *f = container_of(t, struct fork, timer);
	struct controller *c = f->controller;
	struct err e = {0};
	int none[RIGHTS_MAX] = {-1, -1, -1};
	uint64_t rest_ns = 0;
	int rc;

	if (f->waits) {
		give_up(f);
		return;
	}
	rc = take_step(f, &rest_ns, &e);
	if (rc < 0)
		answer(f, NULL, none, &e);
	else if (rc && f->is_prepare)
		wait_for_next(f);
	else if (rc)
		finish(f);
	else
		loop_arm(c->loop, &f->timer, clock_now_ns() + rest_ns);
}

void snapshot_fork_cancel(struct controller *c)
{
	int none[RIGHTS_MAX] = {-1, -1, -1};
	struct err e;

	if (!c->fork)
		return;
	if (c->fork->waits) {
		fork_free(c->fork);
		return;
	}
	err_set(&e, -ESHUTDOWN, "the microVM has ended");
	answer(c->fork, NULL, none, &e);
}

bool snapshot_fork_is_prepared(const struct controller *c)
{
	return c->fork && c->fork->waits;
}

static int begin(struct controller *c, struct err *e)
{
	struct fork *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return err_set(e, -ENOMEM, "no memory for a fork");
	*f = (struct fork){
		.timer.fire = snapshot_fork_turn,
		.controller = c,
		.socket_fd = -1,
		.overlays_fd = -1,
		.was_running = c->state == CONTROLLER_RUNNING,
		.begin_ns = clock_now_ns(),
	};
	/* What we read is no touch of the guest's. */
	working_set_end(c->working);
	rc = machine_fork_begin(c->machine, f->was_running, e);
	if (rc) {
		free(f);
		return rc;
	}
	c->fork = f;
	rc = snapshot_overlays_fork_begin(c, &f->overlays_fd, e);
	if (rc)
		fork_free(f);
	return rc;
}

/* Goes on with what was prepared, and written since. */
static void go_on(struct fork *f)
{
	loop_disarm(f->controller->loop, &f->timer);
	f->waits = false;
	machine_fork_again(f->controller->machine);
	snapshot_overlays_fork_again(f->controller);
}

int snapshot_fork(struct controller *c, struct snapshot_fork *body,
		  struct err *e)
{
	const bool runs = body->has_resume_vm ? body->resume_vm
					      : c->state == CONTROLLER_RUNNING;
	CLEAN_FD int socket_fd = -1;
	int rc;

	if (body->prepare && (body->socket_path || body->has_resume_vm))
		return err_set(e, -EINVAL,
			       "socket_path and resume_vm are for the request "
			       "that ends a fork; leave them out beside "
			       "prepare");
	rc = body->prepare ? 0 : check_drives(c, runs, e);
	if (!rc && body->socket_path) {
		socket_fd = socket_file_connect(
			body->socket_path, "socket_path", SOCK_NONBLOCK, e);
		rc = socket_fd < 0 ? socket_fd : 0;
	}
	if (!rc && c->fork)
		go_on(c->fork);
	else
		rc = rc ? rc : begin(c, e);
	if (rc)
		return rc;
	assert(c->fork);
	c->fork->runs = runs;
	c->fork->is_prepare = body->prepare;
	c->fork->socket_fd = fd_steal(&socket_fd);
	loop_arm(c->loop, &c->fork->timer, clock_now_ns());
	return -EINPROGRESS;
}
