/*
 * The checked functions, where the C library has none: those of fortify.h, and
 * those that libraries which were compiled for the other one call.
 */
#include "vmm/base/fortify.h"

#include <stdlib.h>

#undef memcpy
#undef memmove
#undef memset
#undef strncpy
#undef snprintf
#undef vsnprintf

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__memmove_chk(void *to, const void *from, size_t n, size_t room);
void *__memset_chk(void *to, int byte, size_t n, size_t room);
char *__strncpy_chk(char *to, const char *from, size_t n, size_t room);
int __snprintf_chk(char *to, size_t n, int flag, size_t room,
		   const char *format, ...);
int __vsnprintf_chk(char *to, size_t n, int flag, size_t room,
		    const char *format, va_list args);
int __fprintf_chk(FILE *f, int flag, const char *format, ...);

static void check(size_t n, size_t room)
{
	if (n > room)
		abort();
}

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	check(n, room);
	return memcpy(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	check(n, room);
	return memmove(to, from, n);
}

void *__memset_chk(void *to, int byte, size_t n, size_t room)
{
	check(n, room);
	return memset(to, byte, n);
}

char *__strncpy_chk(char *to, const char *from, size_t n, size_t room)
{
	check(n, room);
	return strncpy(to, from, n);
}

int __vsnprintf_chk(char *to, size_t n, int flag, size_t room,
		    const char *format, va_list args)
{
	(void)flag;
	check(n, room);
	return vsnprintf(to, n, format, args);
}

int __snprintf_chk(char *to, size_t n, int flag, size_t room,
		   const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = __vsnprintf_chk(to, n, flag, room, format, args);
	va_end(args);
	return len;
}

int __fprintf_chk(FILE *f, int flag, const char *format, ...)
{
	va_list args;
	int len;

	(void)flag;
	va_start(args, format);
	len = vfprintf(f, format, args);
	va_end(args);
	return len;
}
