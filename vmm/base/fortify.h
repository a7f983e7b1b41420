#pragma once

/*
 * What _FORTIFY_SOURCE does, for a C library whose headers have none of it
 * (musl): a copy that would go over the end of what the compiler knows the size
 * of ends the process. Included ahead of every file by the compiler's command
 * line.
 */
#include <sched.h> /* declares some of them again */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FORTIFY_ROOM(to) __builtin_dynamic_object_size(to, 1)
#define FORTIFY_ALL(to)	 __builtin_dynamic_object_size(to, 0)

#define memcpy(to, from, n) __builtin___memcpy_chk(to, from, n, FORTIFY_ALL(to))
#define memmove(to, from, n) \
	__builtin___memmove_chk(to, from, n, FORTIFY_ALL(to))
#define memset(to, byte, n) __builtin___memset_chk(to, byte, n, FORTIFY_ALL(to))
#define strncpy(to, from, n) \
	__builtin___strncpy_chk(to, from, n, FORTIFY_ROOM(to))
#define snprintf(to, n, ...) \
	__builtin___snprintf_chk(to, n, 0, FORTIFY_ROOM(to), __VA_ARGS__)
#define vsnprintf(to, n, format, args) \
	__builtin___vsnprintf_chk(to, n, 0, FORTIFY_ROOM(to), format, args)
