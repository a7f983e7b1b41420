#pragma once

/*
 * What mayctl inherits. Whoever starts it may have closed a standard stream, or
 * may have left anything open; neither is to reach a microVM, which outlives
 * mayctl.
 */

/*
 * First thing in main(): /dev/null takes the place of a standard stream that is
 * closed, so that no socket or file of ours gets its number, and what else was
 * inherited is not passed on to programs.
 */
void descriptors_init(void);

/*
 * Closes what was inherited beside the standard streams, for a fork that stays
 * when mayctl has gone. Those we opened since then stay.
 */
void descriptors_drop(void);

/*
 * In a child that starts no program: closes all but the standard streams, a and
 * b (which may be one, or -1 for none). Who reads a pipe or socket of ours to
 * its end would wait for the child as well.
 */
void descriptors_keep(int a, int b);
