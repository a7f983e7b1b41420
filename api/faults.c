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

struct line {
	char text[256];
	size_t len;
};

static void line_add(struct line *l, const char *text)
{
	while (*text && l->len < sizeof(l->text) - 1)
		l->text[l->len++] = *text++;
}

static void line_add_number(struct line *l, unsigned long long n, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	line_add(l, digits + at);
}

/* What was asked for: the second argument is the request of an ioctl(). */
static void line_add_call(struct line *l, const siginfo_t *info,
			  const void *context)
{
	line_add(l, "seccomp: thread '");
	line_add(l, log_thread());
	line_add(l, "' made the system call ");
	line_add(l, filter_call_name(info->si_syscall));
	line_add(l, " (");
	line_add_number(l, (unsigned long long)(unsigned)info->si_syscall, 10);
#ifdef __x86_64__
	const ucontext_t *u = context;

	line_add(l, ", second argument 0x");
	line_add_number(l, (unsigned long long)u->uc_mcontext.gregs[REG_RSI],
			16);
#else
	(void)context;
#endif
	line_add(l, "), which its filter forbids");
}

/* The metrics' last line is this one counter: the rest is nobody's to read now.
 */
static void count_call(void)
{
	static const char line[] = "{\"seccomp\":{\"num_faults\":1}}\n";

	if (metrics_fd >= 0 && write(metrics_fd, line, sizeof(line) - 1) < 0)
		return; /* nobody reads, and nobody is left to count it */
}

static void fatal_signal(int number, siginfo_t *info, void *context)
{
	const struct fault *f = faults;
	struct line l = {.len = 0};

	while (f < faults + FAULTS - 1 && f->number != number)
		f++;
	console_restore();
	line_add(&l, "mayfly: ");
	if (f->text)
		line_add(&l, f->text);
	else
		line_add_call(&l, info, context);
	line_add(&l, "\n");
	log_raw(l.text, l.len);
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
