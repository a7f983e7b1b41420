/*
 * Everything in here runs in a signal handler, in any thread, perhaps with a
 * filter on that allows write(), tcsetattr() and exit_group() only: no
 * allocation, no stdio, no locks.
 */
#include "api/faults.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "api/console.h"
#include "api/options.h"
#include "vmm/arch/host/host.h"
#include "vmm/base/cursor.h"
#include "vmm/base/log.h"
#include "vmm/seccomp/filter.h"

static const struct fault {
	int number;
	int code;
	const char *text;
} faults[] = {
	{SIGSYS, EXIT_BAD_SYSCALL, NULL},
	{SIGBUS, EXIT_SIGBUS, "killed by SIGBUS"},
	{SIGSEGV, EXIT_SIGSEGV, "killed by SIGSEGV"},
	{SIGXCPU, EXIT_SIGXCPU, "killed by SIGXCPU"},
	{SIGILL, EXIT_SIGILL, "killed by SIGILL"},
};

enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

static volatile sig_atomic_t metrics_fd = -1;

static void put_number(struct cursor *c, unsigned long long n, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	cursor_put_text(c, digits + at);
}

/* What was asked for: the second argument is the request of an ioctl(). */
static void put_call(struct cursor *c, const siginfo_t *info,
		     const void *context)
{
	cursor_put_text(c, "seccomp: thread '");
	cursor_put_text(c, log_thread());
	cursor_put_text(c, "' made the system call ");
	cursor_put_text(c, filter_call_name(info->si_syscall));
	cursor_put_text(c, " (");
	put_number(c, (unsigned long long)(unsigned)info->si_syscall, 10);
	cursor_put_text(c, ", second argument 0x");
	put_number(c, host_second_argument(context), 16);
	cursor_put_text(c, "), which its filter forbids");
}

/* The metrics' last line is this one counter: nobody can look up the rest. */
static void count_call(void)
{
	static const char line[] = "{\"seccomp\":{\"num_faults\":1}}\n";

	if (metrics_fd >= 0 && write(metrics_fd, line, sizeof(line) - 1) < 0)
		return; /* nobody reads, and nobody is left to count it */
}

static void fatal_signal(int number, siginfo_t *info, void *context)
{
	const struct fault *f = faults;
	char line[256];
	struct cursor c = cursor_over(line, sizeof(line));

	while (f < faults + FAULTS - 1 && f->number != number)
		f++;
	console_restore();
	cursor_put_text(&c, "mayfly: ");
	if (f->text)
		cursor_put_text(&c, f->text);
	else
		put_call(&c, info, context);
	cursor_put_text(&c, "\n");
	log_raw(line, c.at);
	if (!f->text)
		count_call();
	_exit(f->code);
}

void faults_tell(int fd)
{
	metrics_fd = fd;
}

void faults_take(void)
{
	const struct sigaction action = {.sa_sigaction = fatal_signal,
					 .sa_flags = SA_SIGINFO};
	unsigned i;

	for (i = 0; i < FAULTS; i++)
		sigaction(faults[i].number, &action, NULL);
}
