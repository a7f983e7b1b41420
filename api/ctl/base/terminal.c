/* Raw mode, and out of it again however mayctl ends. */
#include "api/ctl/base/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile sig_atomic_t is_raw;

bool terminal_is_there(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* Async-signal-safe. */
void terminal_restore(void)
{
	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

void terminal_make_raw(void)
{
	static bool is_registered;
	struct termios raw;

	if (is_raw || tcgetattr(STDIN_FILENO, &before))
		return;
	raw = before;
	cfmakeraw(&raw);
	/* TCSADRAIN: what was typed ahead is kept. */
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw))
		return;
	is_raw = 1;
	if (!is_registered)
		atexit(terminal_restore);
	is_registered = true;
}

struct terminal_size terminal_size_now(void)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row ||
	    !size.ws_col)
		return (struct terminal_size){.rows = 24, .columns = 80};
	return (struct terminal_size){.rows = size.ws_row,
				      .columns = size.ws_col};
}
