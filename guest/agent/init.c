/*
 * The init of containers that ask for one: for commands that were not made to
 * be PID 1, which neither reap nor have a handler for every signal.
 */
#include "guest/agent/init.h"

#include "guest/proto.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125 };

/* Its status, as a shell has it, when @command has ended; or -1. */
static int reap(pid_t command)
{
	int wait_status, status = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status)
						  : WEXITSTATUS(wait_status);
	}
	return status;
}

/* Whatever comes from now on waits, even before there is a command: what is
 * blocked is not lost to a PID 1. */
static sigset_t hold_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	return all;
}

/* command 0: there is none. */
static _Noreturn void init_be(pid_t command, const sigset_t *all)
{
	const uint64_t kill_only = 1ULL << CAP_KILL;
	const struct rights_sets sets = {
		.bounding = kill_only,
		.effective = kill_only,
		.permitted = kill_only,
	};
	int status = -1;

	/* The command's streams and reports are not ours. */
	syscall(SYS_close_range, 3, ~0U, 0);
	prctl(PR_SET_NAME, "init", 0, 0, 0);
	if (rights_limit(&sets))
		_exit(FAILED);
	while (status < 0) {
		const int signal = sigwaitinfo(all, NULL);

		if (signal == SIGCHLD)
			status = reap(command);
		else if (signal > 0 && command)
			kill(command, signal);
		else if (signal > 0)
			status = 128 + signal;
	}
	_exit(status);
}

static void init_fork(const struct spawn *sp)
{
	const sigset_t all = hold_signals();
	const pid_t pid = fork();

	if (pid < 0)
		spawn_fail(sp, FAILED, errno, "cannot make the init");
	if (pid)
		init_be(pid, &all);
}

static _Noreturn void init_idle(void)
{
	const sigset_t all = hold_signals();

	setsid();
	init_be(0, &all);
}

void init_begin(const struct spawn *sp)
{
	if (sp->flags & PROTO_IDLE)
		init_idle();
	if (sp->flags & PROTO_INIT)
		init_fork(sp);
}
