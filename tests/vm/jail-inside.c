/*
 * Stands in the monitor's place in a jail and tries to get out of it, and to do
 * everything else that a monitor has no business with. Each attempt is made by
 * a child of its own and printed as a line: `probe NAME open`, or the error
 * that stopped it; then each system call by its number, with arguments that do
 * no harm: `call NUMBER RESULT`. What it means is tests/vm/jail-inside's part.
 *
 * Arguments, behind whatever else there is: inside PID PORT NAME ID, of a
 * process of the same user outside, of a TCP and UDP port it listens at, of its
 * abstract socket, and of its System V shared memory. Behind them may stand
 * probes, for no system calls, or loop or vcpu, for that thread's filter around
 * each attempt: what it ends is SIG31.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/vm/jail-inside.h"
#include "vmm/seccomp/filter.h"

struct outside outside;

/* The filter around each attempt; FILTERS for none. */
static enum filter_kind filter = FILTERS;

int done(long rc)
{
	return rc < 0 ? errno : 0;
}

int unless_einval(long rc)
{
	return rc < 0 && errno != EINVAL && errno != ENOENT && errno != ENOEXEC
		       ? errno
		       : 0;
}

/*
 * Runs one attempt in a child. Its exit status is the errno; a signal that
 * ended it stands as SIGn, 14 being that of an attempt that waits for ever.
 */
static void attempt(const char *kind, const char *name,
		    const struct probe *probe, long number)
{
	int status, code;
	const char *word;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		setpgid(0, 0);
		alarm(1);
		/* What it writes by chance shall not look like a result. */
		if (!probe)
			dup2(open("/dev/null", O_RDWR), 1);
		if (filter != FILTERS && filter_load(filter, NULL))
			_exit(EBADMSG);
		if (probe)
			_exit(probe->try());
		_exit(done(syscall(number, -1L, -1L, -1L, -1L, -1L, -1L)));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	kill(-child, SIGKILL);
	if (WIFSIGNALED(status)) {
		printf("%s %s SIG%d\n", kind, name, WTERMSIG(status));
		return;
	}
	code = WEXITSTATUS(status);
	word = code ? strerrorname_np(code) : "open";
	printf("%s %s %s\n", kind, name, word ? word : "other");
}

/* Calls that end the host's peace even where they mean no harm. */
static int is_left_out(long number)
{
	return number == SYS_sync || number == SYS_vhangup ||
	       number == SYS_exit || number == SYS_exit_group ||
	       number == SYS_rt_sigreturn || number == SYS_kill ||
	       number == SYS_msgget; /* which would be left there */
}

int main(int argc, char **argv)
{
	enum { CALLS = 470 };
	const struct probe *p;
	char name[16];
	unsigned i;
	int at;

	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	for (at = 1; at < argc && strcmp(argv[at], "inside"); at++)
		;
	if (at + 4 >= argc)
		return 2;
	outside = (struct outside){
		.process = atoi(argv[at + 1]),
		.port = atoi(argv[at + 2]),
		.abstract_name = argv[at + 3],
		.memory = atoi(argv[at + 4]),
		.self = argv[0],
	};
	/* As it is with an API, which may ask for the state. */
	if (at + 5 < argc && !strcmp(argv[at + 5], "loop"))
		filter = FILTER_STATE;
	if (at + 5 < argc && !strcmp(argv[at + 5], "vcpu"))
		filter = FILTER_VCPU;
	for (p = file_probes; p->name; p++)
		attempt("probe", p->name, p, 0);
	for (p = kernel_probes; p->name; p++)
		attempt("probe", p->name, p, 0);
	/* Root would do some of what it is asked even with such arguments. */
	for (i = 0; i < CALLS; i++) {
		if (at + 5 < argc && filter == FILTERS)
			break; /* probes only */
		snprintf(name, sizeof(name), "%u", i);
		if (!is_left_out(i))
			attempt("call", name, NULL, i);
	}
	printf("end\n");
	return 0;
}
