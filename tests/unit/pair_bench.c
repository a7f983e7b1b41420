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

const char *pair_bench_beside;

int pair_bench_enter(void **state)
{
	(void)state;
	pair_bench_beside = NULL;
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

__attribute__((noreturn)) static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->text);
	abort();
}

static void fill(int fd, uint32_t n)
{
	uint32_t words[1024];

	for (unsigned i = 0; i < 1024; i++)
		words[i] = n;
	for (size_t at = 0; at < PAIR_MEM_LEN; at += sizeof(words))
		if (fd_pwrite(fd, words, sizeof(words), at))
			abort();
}

uint8_t *pair_bench_fill(struct state_pair *p, uint32_t n, size_t *len)
{
	struct state *s = state_new();
	struct err e = {0};
	struct visitor v;
	uint8_t *bytes;

	fill(p->mem.fd, n);
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
	struct part beside = {0};
	struct state_pair p;
	struct err e = {0};
	uint8_t *bytes;
	size_t len;

	if (state_pair_begin(&p, state, mem, &e) ||
	    (pair_bench_beside && state_beside_begin(&beside, pair_bench_beside,
						     state, p.mem.id, &e)))
		die("beginning", &e);
	bytes = pair_bench_fill(&p, n, &len);
	if (pair_bench_beside)
		fill(beside.fd, n);
	if ((pair_bench_beside && want_sync &&
	     state_beside_sync(&beside, &e)) ||
	    state_pair_commit(&p, bytes, len, want_sync, &e) ||
	    (pair_bench_beside &&
	     state_beside_commit(&beside, "third file", want_sync, &e)))
		die("committing", &e);
	part_fini(&beside);
	state_pair_fini(&p);
	free(bytes);
}

static void check_file(int fd, const char *what, uint32_t n,
		       const struct err *e)
{
	static uint32_t words[PAIR_MEM_LEN / 4 + 1];

	if (fd < 0)
		die(what, e);
	if (read(fd, words, sizeof(words)) != PAIR_MEM_LEN)
		die("it has another length", e);
	for (unsigned i = 0; i < PAIR_MEM_LEN / 4; i++)
		if (words[i] != n) {
			fprintf(stderr, "state %u with %s %u\n", n, what,
				words[i]);
			abort();
		}
	close(fd);
}

static void check_files(const char *mem, struct state *s, uint32_t n)
{
	struct err e = {0};

	check_file(state_pair_memory(mem, state_id(s), O_RDONLY, &e), "memory",
		   n, &e);
	if (pair_bench_beside)
		check_file(state_beside_open(pair_bench_beside, state_id(s),
					     O_RDONLY, "third file", &e),
			   "third file", n, &e);
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
	check_files(mem, s, n);
	state_free(s);
	free(bytes);
	return n;
}
