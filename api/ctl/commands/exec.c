/* mayctl exec: another command in a container that runs. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/terminal.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/foreground.h"
#include "api/ctl/vm/vm.h"

enum { ENV_MAX = 1024 };

struct exec {
	struct session_plan session;
	const char *env[ENV_MAX + 1];
	unsigned env_count;
	const char *name;
};

static const struct option long_options[] = {
	{"interactive", no_argument, NULL, 'i'},
	{"tty", no_argument, NULL, 't'},
	{"env", required_argument, NULL, 'e'},
	{"workdir", required_argument, NULL, 'w'},
	{"user", required_argument, NULL, 'u'},
	{NULL, 0, NULL, 0},
};

static int take_option(struct exec *x, int option, struct err *e)
{
	switch (option) {
	case 'i':
		x->session.has_stdin = true;
		return 0;
	case 't':
		x->session.has_tty = true;
		return 0;
	case 'w':
		x->session.workdir = optarg;
		return 0;
	case 'u':
		x->session.user = optarg;
		return 0;
	case 'e':
		if (x->env_count < ENV_MAX && strchr(optarg, '=')) {
			x->env[x->env_count++] = optarg;
			return 0;
		}
		return err_set(e, -EINVAL, "-e takes NAME=VALUE, not '%s'",
			       optarg);
	default:
		return err_set(e, -EINVAL,
			       "exec can't use one of its options; --help "
			       "shows which it has");
	}
}

static int parse(struct exec *x, int argc, char **argv, struct err *e)
{
	int option, rc;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:ite:w:u:", long_options,
				     NULL)) >= 0) {
		rc = take_option(x, option, e);
		if (rc)
			return rc;
	}
	if (optind + 1 >= argc)
		return err_set(e, -EINVAL,
			       "exec needs the name of a microVM and a "
			       "command");
	x->name = argv[optind];
	x->session.argv = (const char *const *)argv + optind + 1;
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
