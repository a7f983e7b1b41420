#pragma once

/*
 * Signals that end the process, each with an exit status of its own
 * (options.h), after the terminal is as it was and a line says why.
 */

/*
 * For all threads, those to come as well, where they are not blocked. Thread:
 * main's.
 */
void faults_take(void);

/*
 * A forbidden system call is counted in a last line of metrics to fd, which is
 * borrowed; -1 for none.
 */
void faults_tell(int fd);
