#pragma once

#include <stdbool.h>

/*
 * SIGINT, SIGTERM and SIGHUP while something is being made that has to be
 * unmade: they are held back, and asked for between one step and the next.
 * Programs that process_run() waits for are ended by them. A signal that was
 * ignored when we were started (nohup, a shell's `&`) stays ignored.
 */
void interrupt_hold(void);

/* Which of them has come, 0 for none. It stays pending. */
int interrupt_pending(void);

/*
 * From now on interrupt_pending() says 0: what is being done now has to be done
 * to its end. They stay held back.
 */
void interrupt_ignore(void);

/* No longer held back: what is pending ends us now, as it would have then. */
void interrupt_release(void);

/*
 * A descriptor that is readable when one of them is pending; -1 where they are
 * not heeded. Owned by the caller.
 */
int interrupt_open(void);

/*
 * Whether it was ignored when we were started. Who wants a signal by a handler
 * or a signalfd, which gets blocked ones all the same, asks first.
 */
bool interrupt_is_ignored(int signal);

/* Whether SIGHUP was ignored when we were started: nohup. */
bool interrupt_is_nohup(void);
