/* Pairs of files that tell which save they are of. */
#include "tests/unit/pair_bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/state/state.h"

static char folder[] = "/tmp/mayfly-state-XXXXXX";
static char before[4096];

int pair_bench_enter(void **state)
{
	(void)state;
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	return !getcwd(before, sizeof(before)) || !mkdtemp(folder) ||
	       chdir(folder);
}

int pair_bench_leave(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return chdir(before) || system(command);
}

unsigned pair_bench_entries(void)
{
	DIR *dir = opendir(".");
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->text);
	abort();
}

uint8_t *pair_bench_fill(struct state_pair *p, uint32_t n, size_t *len)
{
	struct state *s = state_new();
	uint32_t words[1024];
	struct err e = {0};
	struct visitor v;
	uint8_t *bytes;

	for (unsigned i = 0; i < 1024; i++)
		words[i] = n;
	for (size_t at = 0; at < PAIR_MEM_LEN; at += sizeof(words))
		if (fd_pwrite(p->mem.fd, words, sizeof(words), at))
			abort();
	memcpy(state_id(s), p->mem.id, STATE_ID_LEN);
	visitor_save(&v, 1, &e);
	visit_u32(&v, &n);
	if (state_add(s, "number", &v, &e) ||
	    state_encode(s, NULL, &bytes, len, &e))
		die("saving", &e);
	state_free(s);
	return bytes;
}

void pair_bench_save(const char *state, const char *mem, uint32_t n,
		     bool want_sync)
{
	struct state_pair p;
	struct err e = {0};
	uint8_t *bytes;
	size_t len;

	if (state_pair_begin(&p, state, mem, &e))
		die("beginning", &e);
	bytes = pair_bench_fill(&p, n, &len);
	if (state_pair_commit(&p, bytes, len, want_sync, &e))
		die("committing", &e);
	state_pair_fini(&p);
	free(bytes);
}

static void check_memory(const char *mem, struct state *s, uint32_t n)
{
	static uint32_t words[PAIR_MEM_LEN / 4 + 1];
	struct err e = {0};
	CLEAN_FD int fd = state_pair_memory(mem, state_id(s), O_RDONLY, &e);

	if (fd < 0)
		die("memory", &e);
	if (read(fd, words, sizeof(words)) != PAIR_MEM_LEN)
		die("the memory has another length", &e);
	for (unsigned i = 0; i < PAIR_MEM_LEN / 4; i++)
		if (words[i] != n) {
			fprintf(stderr, "state %u with memory %u\n", n,
				words[i]);
			abort();
		}
}

uint32_t pair_bench_look(const char *state, const char *mem)
{
	struct err e = {0};
	struct visitor v;
	struct state *s;
	uint8_t *bytes;
	uint32_t n = 0;
	size_t len;
	const int rc = state_file_read(state, &bytes, &len, NULL, &e);

	if (rc == -ENOENT)
		return 0;
	if (rc || state_decode(&s, bytes, len, NULL, &e) ||
	    state_section(s, "number", 1, &v, &e))
		die("loading", &e);
	visit_u32(&v, &n);
	if (visitor_end(&v))
		die("loading", &e);
	visitor_fini(&v);
	check_memory(mem, s, n);
	state_free(s);
	free(bytes);
	return n;
}
