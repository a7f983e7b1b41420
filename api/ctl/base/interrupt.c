/* Signals that end us, held back until what was begun can be undone. */
#include "api/ctl/base/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

enum { ENDING = sizeof(ending) / sizeof(ending[0]) };

static sigset_t held, before;
static bool is_held, is_heeded;

bool interrupt_is_ignored(int signal)
{
	struct sigaction now;

	return !sigaction(signal, NULL, &now) && now.sa_handler == SIG_IGN;
}

bool interrupt_is_nohup(void)
{
	return interrupt_is_ignored(SIGHUP);
}

void interrupt_hold(void)
{
	unsigned i;

	sigemptyset(&held);
	for (i = 0; i < ENDING; i++)
		if (!interrupt_is_ignored(ending[i]))
			sigaddset(&held, ending[i]);
	sigprocmask(SIG_BLOCK, &held, is_held ? NULL : &before);
	is_held = is_heeded = true;
}

int interrupt_pending(void)
{
	sigset_t pending;
	unsigned i;

	if (!is_heeded || sigpending(&pending))
		return 0;
	for (i = 0; i < ENDING; i++)
		if (sigismember(&held, ending[i]) > 0 &&
		    sigismember(&pending, ending[i]) > 0)
			return ending[i];
	return 0;
}

void interrupt_ignore(void)
{
	is_heeded = false;
}

void interrupt_release(void)
{
	is_heeded = false;
	if (is_held)
		sigprocmask(SIG_SETMASK, &before, NULL);
	is_held = false;
}

int interrupt_open(void)
{
	return is_heeded ? signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}
