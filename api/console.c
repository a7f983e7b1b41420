/*
 * The terminal. There is one per process, so its state is the file's own.
 * Instead of looking for an escape key in the guest's input, the terminal's
 * interrupt key is moved out of the guest's way.
 */
#include "api/console.h"

#include <signal.h>
#include <stdbool.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { ESCAPE_KEY = 0x1d }; /* Ctrl-] */

static struct {
	struct termios before;
	volatile sig_atomic_t is_taken;
} console;

static bool is_ours(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgid(0);
}

int console_input(void)
{
	if (fd_is_terminal(STDIN_FILENO) && !is_ours())
		return -1;
	return STDIN_FILENO;
}

void console_take(void)
{
	struct termios raw;

	if (console.is_taken || tcgetattr(STDIN_FILENO, &raw) || !is_ours())
		return;
	console.before = raw;
	raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK |
				   ISTRIP | IXON);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
	raw.c_cc[VINTR] = ESCAPE_KEY;
	raw.c_cc[VQUIT] = _POSIX_VDISABLE;
	raw.c_cc[VSUSP] = _POSIX_VDISABLE;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	console.is_taken = 1;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void console_restore(void)
{
	if (!console.is_taken)
		return;
	console.is_taken = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &console.before);
}
