/*
 * no-vdso PROGRAM [ARGUMENT...]: becomes PROGRAM, from which the kernel's vDSO
 * is hidden, so that the C library asks for the time by system calls, as it
 * does on hosts whose clock the vDSO can't read (hpet, acpi_pm, an unstable
 * TSC).
 *
 * A grandchild traces us over execve() and takes AT_SYSINFO_EHDR out of the new
 * program's auxiliary vector before its first instruction. The process stays
 * the same, for whoever waits for it or sends it signals.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "no-vdso: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static long peek(pid_t pid, unsigned long at)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, at, 0);
	if (errno)
		die("reading the stack");
	return word;
}

/* At its entry a program's stack is argc, argv, NULL, environ, NULL, auxv. */
static void hide_vdso(pid_t pid)
{
	struct user_regs_struct regs;
	unsigned long at;
	long type;

	if (ptrace(PTRACE_GETREGS, pid, 0, &regs))
		die("reading registers");
	at = regs.rsp + (2 + (unsigned long)peek(pid, regs.rsp)) * 8;
	while (peek(pid, at))
		at += 8;
	for (at += 8; (type = peek(pid, at)) != AT_NULL; at += 16)
		if (type == AT_SYSINFO_EHDR &&
		    ptrace(PTRACE_POKEDATA, pid, at, AT_IGNORE))
			die("writing the stack");
}

static void trace(pid_t pid, int ready)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXEC))
		die("tracing");
	if (write(ready, "", 1) != 1)
		die("write");
	/* Signals on the way are passed on. */
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
			hide_vdso(pid);
			ptrace(PTRACE_DETACH, pid, 0, 0);
			break;
		}
		ptrace(PTRACE_CONT, pid, 0,
		       status >> 16 ? 0 : WSTOPSIG(status));
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	const pid_t pid = getpid();
	int ready[2], status;
	pid_t child;
	char byte;

	if (argc < 2 || pipe(ready))
		die("use: no-vdso PROGRAM [ARGUMENT...]");
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	child = fork();
	if (child == 0) {
		/* The program must not find a child of ours. */
		if (fork() == 0)
			trace(pid, ready[1]);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("fork");
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the tracer did not start");
	close(ready[0]);
	execv(argv[1], argv + 1);
	die(argv[1]);
}
