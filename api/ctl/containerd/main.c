/*
 * containerd-shim-mayfly-v1: what containerd calls to have containers run in
 * microVMs. `start` leaves a shim behind and prints where it is; `delete` does
 * what a shim that was killed has not. `warm` is for people: it makes the guest
 * at rest that pods go on from.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <task.pb-c.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/base/descriptors.h"
#include "api/ctl/base/exit.h"
#include "api/ctl/base/process.h"
#include "api/ctl/base/signals.h"
#include "api/ctl/containerd/bootstrap.h"
#include "api/ctl/containerd/host.h"
#include "api/ctl/containerd/machine.h"
#include "api/ctl/containerd/service.h"
#include "api/ctl/containerd/spec.h"
#include "api/ctl/image/kept.h"
#include "api/ctl/vm/orphan.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

enum { ADOPT_MS = 5000, STATUS_KILLED = 137 };

static int complain(const struct err *e)
{
	fprintf(stderr, "containerd-shim-mayfly-v1: %s\n", e->text);
	return CTL_FAILED;
}

/* ---- start -------------------------------------------------------------- */

/*
 * containerd waits until nobody holds our output any more. What is complained
 * of goes to its log, which is a FIFO in the bundle.
 */
static void let_go(void)
{
	CLEAN_FD int log = open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	setsid();
	process_leave_streams(log);
	prctl(PR_SET_NAME, "mayfly-shim");
}

static int serve(struct host *h, int fd)
{
	struct err e = {0};

	let_go();
	/* What is the group's outlives this container's bundle. */
	if (chdir("/") || service_run(h, fd, &e))
		complain(&e);
	return 0;
}

static int start(struct host *h, struct err *e)
{
	const bool is_new = bootstrap_is_new(h->id);
	char address[sizeof(h->socket) + 8];
	int fd = -1, rc;
	pid_t pid;

	rc = host_listen(h, &fd, e);
	if (rc < 0)
		return rc;
	pid = rc ? 1 : fork();
	if (pid < 0)
		return err_errno(e, "can't fork");
	if (!pid)
		_exit(serve(h, fd));
	snprintf(address, sizeof(address), "unix://%s", h->socket);
	/* Where containerd looks for it when it was started anew. */
	rc = process_write_file("address", address, e);
	return rc ? rc : bootstrap_answer(address, is_new, e);
}

/* ---- delete ------------------------------------------------------------- */

static int delete(struct host *h, struct err *e)
{
	Task__DeleteResponse r = TASK__DELETE_RESPONSE__INIT;
	Task__Timestamp at = TASK__TIMESTAMP__INIT;
	uint8_t bytes[64];
	struct vm vm = {0};
	CLEAN_FD int fd = -1;
	size_t len;

	/* A shim that lives is the pod's, and not ours to end. */
	if (!host_answers(h)) {
		if (!vm_load(&vm, h->vm_name, NULL))
			orphan_find(vm.state.name, vm.state.id, ADOPT_MS);
		vm_fini(&vm);
		image_kept_sweep();
		if (!host_listen(h, &fd, NULL))
			unlink(h->socket);
	}
	at.seconds = time(NULL);
	r.exit_status = STATUS_KILLED;
	r.exited_at = &at;
	len = task__delete_response__pack(&r, bytes);
	return fd_write(STDOUT_FILENO, bytes, len)
		       ? err_errno(e, "can't write the answer")
		       : 0;
}

/* ---- warm --------------------------------------------------------------- */

/* Who administers a node says this, before there are pods. */
static int make_warm(struct err *e)
{
	struct host_config c;
	int rc = host_read_config(&c, e);

	if (!rc)
		rc = machine_make_warm(&c, e);
	host_config_fini(&c);
	return rc;
}

/* ---- the command line --------------------------------------------------- */

/* As Go's flags are: -word value, --word value, -word=value. */
static int take_word(struct host *h, char **argv, int *at, struct err *e)
{
	const struct {
		const char *name;
		const char **value;
	} words[] = {
		{"namespace", &h->namespace},
		{"address", &h->address},
		{"id", &h->id},
		{"bundle", &h->bundle},
		{"publish-binary", NULL},
		{"socket", NULL},
	};
	const char *name = argv[*at] + strspn(argv[*at], "-");
	const size_t len = strcspn(name, "=");
	size_t i;

	if (!strcmp(name, "debug"))
		return 0;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *value = name[len] ? name + len + 1 : argv[*at + 1];

		if (strlen(words[i].name) != len ||
		    strncmp(words[i].name, name, len) != 0)
			continue;
		if (!value)
			break;
		if (words[i].value)
			*words[i].value = value;
		*at += !name[len];
		return 0;
	}
	return err_set(e, -EINVAL, "%.100s is no option, or has no value",
		       argv[*at]);
}

static int take_words(struct host *h, char **argv, const char **verb,
		      struct err *e)
{
	int rc = 0;

	for (int i = 1; argv[i] && !rc; i++) {
		if (argv[i][0] == '-')
			rc = take_word(h, argv, &i, e);
		else
			*verb = argv[i];
	}
	if (!rc && (!*h->id || !*h->namespace))
		rc = err_set(e, -EINVAL,
			     "containerd calls this, with -namespace and -id");
	return rc;
}

int main(int argc, char **argv)
{
	static char group[256], here[PATH_MAX];
	struct host h = {.namespace = "", .address = "", .id = ""};
	const char *verb = "";
	struct err e = {0};
	int rc;

	descriptors_init();
	signals_init();
	if (argc == 2 &&
	    (!strcmp(argv[1], "-v") || !strcmp(argv[1], "--version"))) {
		printf("containerd-shim-mayfly-v1 v%s\n", MAYFLY_VERSION);
		return CTL_OK;
	}
	if (argc == 2 && !strcmp(argv[1], "-info"))
		return bootstrap_info(&e) ? complain(&e) : CTL_OK;
	if (argc == 2 && !strcmp(argv[1], "warm"))
		return make_warm(&e) ? complain(&e) : CTL_OK;
	rc = take_words(&h, argv, &verb, &e);
	if (!rc && !h.bundle)
		h.bundle = getcwd(here, sizeof(here));
	/* A bundle that is gone tells of no pod; the container is its own. */
	if (!rc && h.bundle)
		(void)spec_group(h.bundle, group, sizeof(group), &e);
	h.group = *group ? group : h.id;
	h.events = getenv("TTRPC_ADDRESS");
	if (!rc)
		rc = host_place(&h, &e);
	if (rc)
		return complain(&e);
	if (!strcmp(verb, "start"))
		rc = start(&h, &e);
	else if (!strcmp(verb, "delete"))
		rc = delete (&h, &e);
	else
		rc = err_set(&e, -EINVAL, "say start or delete");
	return rc ? complain(&e) : CTL_OK;
}
