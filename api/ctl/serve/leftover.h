#pragma once

/*
 * MicroVMs and snapshots of a host that was killed. All are called
 * serve-PID-START-…, of the process that made them, so whose they are and
 * whether it lives is plain to see.
 */
enum { LEFTOVER_PREFIX = 40 };

/* How what this process makes begins. */
void leftover_prefix(char out[LEFTOVER_PREFIX]);

/* Removes all whose host is dead. */
void leftover_sweep(void);
