#pragma once

#include <stddef.h>

/*
 * The struct of a type that ptr, which points to its member, lies in: how a
 * callback that is given a watch or a timer finds whose it is.
 */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
