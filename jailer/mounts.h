#pragma once

#include <stdbool.h>

/*
 * Moves this process out of a mount namespace with many mounts into one with
 * few, where there is such a one. Returns whether it did, which makes no
 * difference but for root and working directory, which then are others.
 * unshare() copies all mounts and what is detached is torn down again one by
 * one: 500 cost 1.5 ms a jail, and all jails wait for one another's.
 */
bool mounts_leave(void);
