/*
 * fortified WHAT BYTES: writes as many into room for 16, by the function of
 * that name, compiled and linked as the monitor is. tests/vm/libc looks for its
 * end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 16 };

struct room {
	char bytes[ROOM];
	char behind[64];
};

static void print(size_t n, const char *format, ...)
{
	struct room r = {0};
	va_list args;

	va_start(args, format);
	vsnprintf(r.bytes, n, format, args);
	va_end(args);
	puts(r.bytes);
}

static void copy(char *heap, const char *what, size_t n)
{
	static const char from[64] = "what is written";
	struct room r = {0};

	if (!strcmp(what, "memcpy"))
		memcpy(heap, from, n);
	else if (!strcmp(what, "memmove"))
		memmove(heap, from, n);
	else if (!strcmp(what, "memset"))
		memset(heap, 'x', n);
	else if (!strcmp(what, "strncpy"))
		strncpy(r.bytes, from, n);
	else if (!strcmp(what, "snprintf"))
		snprintf(r.bytes, n, "%s", what);
	else
		print(n, "%s", what);
	printf("%.16s %.16s\n", heap, r.bytes);
}

int main(int argc, char **argv)
{
	const size_t n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	char *heap;

	if (!n || n > 64)
		return 2;
	heap = malloc(ROOM);
	if (!heap)
		return 2;
	copy(heap, argv[1], n);
	free(heap);
	return 0;
}
