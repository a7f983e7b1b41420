/* What is said to a handler of page faults; see uffd.h. */
#include "tests/vm/uffd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void die(const char *what)
{
	fflush(stdout);
	perror(what);
	exit(1);
}

/* The number behind a key, from there on; 0 where there is none. */
static uint64_t number(const char *from, const char *end, const char *key)
{
	const char *at = strstr(from, key);

	if (!at || at >= end)
		return 0;
	at += strlen(key);
	while (*at == '"' || *at == ':' || *at == ' ')
		at++;
	return strtoull(at, NULL, 10);
}

int regions_parse(const char *text, struct region out[REGIONS_MAX])
{
	const char *at = text, *end;
	int count = 0;

	if (*text != '[')
		return -1;
	while ((at = strchr(at, '{'))) {
		end = strchr(at, '}');
		if (!end || count == REGIONS_MAX)
			return -1;
		out[count] = (struct region){
			number(at, end, "\"base_host_virt_addr\""),
			number(at, end, "\"size\""),
			number(at, end, "\"offset\""),
			number(at, end, "\"page_size\"")};
		/* The older name holds bytes too, and has to say the same. */
		if (out[count].page_size !=
		    number(at, end, "\"page_size_kib\""))
			return -1;
		if (!out[count].base || !out[count].size ||
		    !out[count].page_size)
			return -1;
		count++;
		at = end;
	}
	return count;
}
