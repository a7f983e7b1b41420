/* mayctl exec: another command in a container that runs. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/terminal.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/docker.h"
#include "api/ctl/commands/env.h"
#include "api/ctl/commands/foreground.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"

enum { START_MS = 30000 };

struct exec {
	struct session_plan session;
	struct env env;
	const char *list[ENV_MAX + 2]; /* of it, and TERM before */
	bool is_detached;
	const char *name;
};

static int take_env(const struct args *a, void *into, struct err *e)
{
	return env_add(&((struct exec *)into)->env, a->value, e);
}

static int take_env_file(const struct args *a, void *into, struct err *e)
{
	return env_add_file(&((struct exec *)into)->env, a->value, e);
}

#define AT(member) .offset = offsetof(struct exec, session.member)

static const struct arg table[] = {
	{"interactive", AT(has_stdin), .letter = 'i'},
	{"tty", AT(has_tty), .letter = 't'},
	{"detach", .offset = offsetof(struct exec, is_detached), .letter = 'd'},
	{"env", "NAME[=VALUE]", take_env, .letter = 'e'},
	{"env-file", "FILE", take_env_file},
	{"workdir", "PATH", AT(workdir), .letter = 'w'},
	{"user", "USER", AT(user), .letter = 'u'},
};

/* Later variables count more, so one that -e gives is behind ours. */
static void make_env(struct exec *x)
{
	unsigned i, n = 0;

	if (x->session.has_tty)
		x->list[n++] = "TERM=xterm";
	for (i = 0; i < x->env.count; i++)
		x->list[n++] = x->env.list[i];
	x->session.env = x->list;
}

static int judge(struct exec *x, const struct args *a, struct err *e)
{
	if (a->at + 1 >= a->argc)
		return err_set(e, -EINVAL,
			       "exec needs the name of a microVM and a "
			       "command");
	x->name = a->argv[a->at];
	x->session.argv = (const char *const *)a->argv + a->at + 1;
	if (x->session.workdir && *x->session.workdir != '/')
		return err_set(e, -EINVAL,
			       "-w takes a path from / on, not '%s'",
			       x->session.workdir);
	if (x->session.has_tty && x->session.has_stdin && !x->is_detached &&
	    !terminal_is_there())
		return err_set(e, -ENOTTY,
			       "-it needs a terminal; leave -t out where "
			       "stdin or stdout is none");
	make_env(x);
	return 0;
}

static int parse(struct exec *x, int argc, char **argv, struct err *e)
{
	struct args a = ARGS(table, ARGS_JOINED, argc, argv);
	enum args_found found;
	const char *why;
	int rc;

	while ((found = args_next(&a)) == ARGS_OPTION) {
		rc = args_set(&a, x, e);
		if (rc)
			return rc;
	}
	if (found == ARGS_END)
		return judge(x, &a, e);
	why = docker_option("exec", a.word);
	return err_set(e, -EINVAL, "exec can't use '%s'%s%s", a.word,
		       why ? ": " : "; --help shows which options it has",
		       why ? why : "");
}

/* -d: as soon as the command runs nobody of us is needed. */
static uint32_t run_detached(struct exec *x, const char *socket)
{
	struct session_frame f = {0};
	struct session s = {.fd = -1};
	uint32_t code = CTL_FAILED;
	struct err e = {0};
	int rc;

	x->session.is_detached = x->session.is_kept = true;
	x->session.has_stdin = false;
	rc = session_connect(&s, socket, &e);
	if (!rc)
		rc = session_start(&s, &x->session, &e);
	if (!rc)
		rc = session_await(&s, &f, START_MS, &e);
	if (rc)
		ctl_complain("%s", e.text);
	else if (f.event == SESSION_STARTED)
		code = CTL_OK;
	else if (f.event == SESSION_FAILED) {
		ctl_complain("%s", f.text);
		code = f.code;
	}
	session_fini(&s);
	return code;
}

int ctl_exec(int argc, char **argv)
{
	static struct exec x;
	struct foreground f = {
		.session = &x.session, .ready_fd = -1, .control = -1};
	char socket[VM_PATH_MAX];
	struct err e = {0};
	struct vm vm = {0};
	uint32_t code = CTL_FAILED;

	x.session.kind = SESSION_EXEC;
	x.session.size = terminal_size_now();
	if (parse(&x, argc, argv, &e) || vm_load(&vm, x.name, &e)) {
		ctl_complain("%s", e.text);
	} else if (vm_status(&vm) != VM_RUNNING) {
		ctl_complain("%s does not run: it is %s", x.name,
			     vm_status_word(vm_status(&vm)));
	} else {
		f.socket = vm_path(&vm, "vsock.sock", socket);
		code = x.is_detached ? run_detached(&x, f.socket)
				     : foreground_run(&f);
	}
	vm_fini(&vm);
	env_fini(&x.env);
	return (int)code;
}
