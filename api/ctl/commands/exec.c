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
#include "api/ctl/commands/foreground.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"

enum { ENV_MAX = 1024 };

struct exec {
	struct session_plan session;
	const char *env[ENV_MAX + 1];
	unsigned env_count;
	const char *name;
};

static int take_env(const struct args *a, void *into, struct err *e)
{
	struct exec *x = into;

	if (x->env_count == ENV_MAX || !strchr(a->value, '='))
		return err_set(e, -EINVAL, "-e takes NAME=VALUE, not '%s'",
			       a->value);
	x->env[x->env_count++] = a->value;
	return 0;
}

#define AT(member) .offset = offsetof(struct exec, session.member)

static const struct arg table[] = {
	{"interactive", AT(has_stdin), .letter = 'i'},
	{"tty", AT(has_tty), .letter = 't'},
	{"env", "NAME=VALUE", take_env, .letter = 'e'},
	{"workdir", "PATH", AT(workdir), .letter = 'w'},
	{"user", "USER", AT(user), .letter = 'u'},
};

static int parse(struct exec *x, int argc, char **argv, struct err *e)
{
	struct args a = ARGS(table, ARGS_JOINED, argc, argv);
	enum args_found found;
	int rc;

	while ((found = args_next(&a)) == ARGS_OPTION) {
		rc = args_set(&a, x, e);
		if (rc)
			return rc;
	}
	if (found != ARGS_END)
		return err_set(e, -EINVAL,
			       "exec can't use one of its options; --help "
			       "shows which it has");
	if (a.at + 1 >= argc)
		return err_set(e, -EINVAL,
			       "exec needs the name of a microVM and a "
			       "command");
	x->name = argv[a.at];
	x->session.argv = (const char *const *)argv + a.at + 1;
	if (x->session.has_tty && x->session.has_stdin && !terminal_is_there())
		return err_set(e, -ENOTTY,
			       "-it needs a terminal; leave -t out where "
			       "stdin or stdout is none");
	if (x->session.has_tty && x->env_count < ENV_MAX)
		x->env[x->env_count++] = "TERM=xterm";
	return 0;
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
	x.session.env = x.env;
	x.session.size = terminal_size_now();
	if (parse(&x, argc, argv, &e) || vm_load(&vm, x.name, &e)) {
		ctl_complain("%s", e.text);
	} else if (vm_status(&vm) != VM_RUNNING) {
		ctl_complain("%s does not run: it is %s", x.name,
			     vm_status_word(vm_status(&vm)));
	} else {
		f.socket = vm_path(&vm, "vsock.sock", socket);
		code = foreground_run(&f);
	}
	vm_fini(&vm);
	return (int)code;
}
