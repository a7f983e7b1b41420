#include "api/ctl/vm/still.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/vm/client.h"
#include "vmm/base/fd.h"

enum { LET_GO_TRIES = 600, LET_GO_PAUSE_US = 100000 };

/* ---- finding ------------------------------------------------------------ */

static int check_runs(const struct still *s, const struct vm *vm, struct err *e)
{
	struct client_answer answer;
	json_t *body = NULL;
	const char *state;
	int rc = client_request(s->api, "GET", "/", NULL, &answer, e);

	if (rc)
		return rc;
	body = json_parse(answer.body, strlen(answer.body), NULL);
	state = json_string_value(json_object_get(body, "state"));
	if (!state || strcmp(state, "Running") != 0)
		rc = err_set(e, -EBUSY,
			     "%s is not running: somebody has paused it, or it "
			     "has only just begun; `mayctl status --socket %s` "
			     "says more",
			     vm->state.name, s->api);
	json_decref(body);
	client_answer_fini(&answer);
	return rc;
}

/* One at a time: of a file that nobody replaces. */
static int lock(struct still *s, const struct vm *vm, struct err *e)
{
	char path[VM_PATH_MAX];

	s->lock_fd =
		open(vm_path(vm, "config.json", path), O_RDONLY | O_CLOEXEC);
	if (s->lock_fd < 0)
		return err_errno(e, "can't open %s", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return err_set(e, -EBUSY,
			       "another mayctl is saving %s, or taking it back",
			       vm->state.name);
	return 0;
}

int still_find(struct still *s, struct vm *vm, const char *name, struct err *e)
{
	int rc;

	*s = (struct still){.lock_fd = -1, .guard_fd = -1};
	rc = vm_load(vm, name, e);
	if (rc == -ENOENT)
		return err_set(e, rc,
			       "there is no microVM named %s; `mayctl ps -a` "
			       "lists them. One of `mayctl boot` has no name "
			       "and no API: to save such a one, start mayfly "
			       "with --api-sock, and use `mayctl api`",
			       name);
	if (rc)
		return rc;
	if (vm_status(vm) != VM_RUNNING)
		return err_set(e, -ESRCH, "%s does not run", name);
	vm_path(vm, "api.sock", s->api);
	vm_path(vm, "vsock.sock", s->vsock);
	rc = lock(s, vm, e);
	return rc ? rc : check_runs(s, vm, e);
}

/* ---- the guest ---------------------------------------------------------- */

static int set_state(const struct still *s, const char *word, struct err *e)
{
	char body[64];

	snprintf(body, sizeof(body), "{\"state\": \"%s\"}", word);
	return client_order(s->api, "PATCH", "/vm", body, CLIENT_SAVE_S, e);
}

/* Said before it is asked for: an answer can be lost, and what it tells of not.
 */
int still_freeze(struct still *s, struct err *e)
{
	s->is_frozen = true;
	if (session_freeze(s->vsock, e))
		return err_context(e, "the guest can't be made to stand still");
	return 0;
}

int still_pause(struct still *s, struct err *e)
{
	s->is_paused = true;
	return set_state(s, "Paused", e);
}

int still_go_on(struct still *s, struct err *e)
{
	int rc = s->is_paused ? set_state(s, "Resumed", e) : 0;

	s->is_paused = s->is_paused && rc;
	if (!rc && s->is_frozen) {
		rc = session_thaw(s->vsock, e);
		s->is_frozen = rc != 0;
	}
	return rc;
}

void still_let_go(struct still *s)
{
	unsigned tries;

	for (tries = 0; still_go_on(s, NULL) == -EREMOTEIO; tries++) {
		if (tries == LET_GO_TRIES)
			break;
		usleep(LET_GO_PAUSE_US);
	}
}

/* ---- the guard ---------------------------------------------------------- */

/* We are gone, at whatever moment: all of it may have been done, or nothing. */
static void guard_main(struct still *s, int from, void (*undo)(void *context),
		       void *context)
{
	char byte;
	ssize_t n;

	prctl(PR_SET_NAME, "mayctl-guard");
	setsid();
	do
		n = read(from, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	s->is_frozen = s->is_paused = true;
	still_let_go(s);
	if (undo)
		undo(context);
	_exit(0);
}

int still_guard(struct still *s, void (*undo)(void *context), void *context,
		struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return err_errno(e, "can't make a pipe");
	s->guard = fork();
	if (s->guard < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_errno(e, "can't fork");
	}
	if (!s->guard) {
		close(ends[1]);
		guard_main(s, ends[0], undo, context);
	}
	close(ends[0]);
	s->guard_fd = ends[1];
	return 0;
}

void still_fini(struct still *s)
{
	if (s->guard > 0) {
		(void)!write(s->guard_fd, "x", 1);
		while (waitpid(s->guard, NULL, 0) < 0 && errno == EINTR)
			;
	}
	fd_close(&s->guard_fd);
	fd_close(&s->lock_fd);
	s->guard = 0;
}
