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

int main(int argc, char **argv)
{
	static const char from[64] = "what is written";
	struct room r;
	char *heap = malloc(ROOM);
	const size_t n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

	if (!n || n > sizeof(from) || !heap)
		return 2;
	memset(&r, 0, sizeof(r));
	if (!strcmp(argv[1], "memcpy"))
		memcpy(heap, from, n);
	else if (!strcmp(argv[1], "memmove"))
		memmove(heap, from, n);
	else if (!strcmp(argv[1], "memset"))
		memset(heap, 'x', n);
	else if (!strcmp(argv[1], "strncpy"))
		strncpy(r.bytes, from, n);
	else if (!strcmp(argv[1], "snprintf"))
		snprintf(r.bytes, n, "%s", argv[1]);
	else if (!strcmp(argv[1], "vsnprintf"))
		print(n, "%s", argv[1]);
	else
		return 2;
	printf("%.16s %.16s\n", heap, r.bytes);
	free(heap);
	return 0;
}
