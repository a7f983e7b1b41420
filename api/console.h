#pragma once

/*
 * The terminal that mayfly was started from, where there is one: while a guest
 * runs, its keys go to the guest. Thread: the loop's.
 */

/*
 * The descriptor a guest may read keys from, which is stdin, or -1 where stdin
 * is a terminal that belongs to somebody else now (we are in the background,
 * and reading would stop us).
 */
int console_input(void);

/*
 * Hands single keys to whoever reads, Ctrl-C among them; Ctrl-] becomes the
 * one that sends SIGINT. Does nothing where stdin is no terminal of ours.
 */
void console_take(void);

/* As it was before console_take(). Async-signal-safe, and idempotent. */
void console_restore(void);
