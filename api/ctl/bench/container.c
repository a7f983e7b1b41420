/*
 * bench run: a container from the command to its end: `mayctl run --rm IMAGE
 * true`, which goes on from a guest at rest, beside one that boots (--cold),
 * and crun and runc of the same root, which has one program.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/guest.h"
#include "api/ctl/bench/work.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

#define IMAGE "bench"

enum { ENV_MAX = 8, LANES_MAX = 4, SAID_MAX = 200 };

/* A way to have the container run. */
struct way {
	const char *argv[12];
	const char *const *env;
};

struct containers {
	char mayctl[PATH_MAX];
	char root[PATH_MAX + 16];
	char runtime[32]; /* short, for it is the place of sockets */
	char id[32];
	char variables[ENV_MAX][PATH_MAX + 32];
	const char *env[ENV_MAX + 1];
	char bundles[2][PATH_MAX + 16];
	struct way ways[LANES_MAX];
	struct lane lanes[LANES_MAX];
	unsigned count;
};

/* To its end; what it says on stderr is in the sentence where it fails. */
static int run(const char *const *argv, const char *const *env, double *ms,
	       struct err *e)
{
	CLEAN_FD int said = memfd_create("said", MFD_CLOEXEC);
	const struct spawn_how how = {.argv = argv, .err = said, .env = env};
	char text[SAID_MAX], clean[4 * SAID_MAX];
	struct spawned s;
	ssize_t n;
	int rc = spawn_begin(&s, &how, e);

	if (!rc)
		rc = spawn_wait(&s, ms, NULL, e);
	if (!rc || rc == -EINTR)
		return rc;
	n = pread(said, text, sizeof(text), 0);
	if (n <= 0)
		return rc;
	printable_copy(text, (size_t)n, clean, sizeof(clean));
	return err_set(e, rc, "%s; it said: %s",
		       rc == -ECHILD ? "it failed" : "it did not end", clean);
}

static int once(void *context, double *ms, struct err *e)
{
	const struct way *way = context;

	return run(way->argv, way->env, ms, e);
}

/* ---- a root, and an image of it ----------------------------------------- */

static int copy_program(const char *from, const char *to, struct err *e)
{
	CLEAN_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEAN_FD int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st))
		return err_errno(e, "can't copy %s to %s", from, to);
	return copy_file(in, out, (uint64_t)st.st_size, from, e);
}

static int make_root(struct containers *c, const char *scratch, struct err *e)
{
	static const char *const folders[] = {"bin", "dev", "proc",
					      "sys", "etc", "tmp"};
	char program[PATH_MAX], path[PATH_MAX + 64];
	unsigned i;
	int rc = work_find(program, e);

	snprintf(c->root, sizeof(c->root), "%s/root", scratch);
	for (i = 0; i < sizeof(folders) / sizeof(folders[0]) && !rc; i++) {
		snprintf(path, sizeof(path), "%s/%s", c->root, folders[i]);
		rc = tree_make(path);
		if (!rc && chmod(path, 0755))
			rc = -errno;
		if (rc)
			return err_set(e, rc, "can't make %s: %s", path,
				       strerror(-rc));
	}
	snprintf(path, sizeof(path), "%s/bin/true", c->root);
	return rc ? rc : copy_program(program, path, e);
}

/* A store and a place for microVMs of the bench's own. */
static void make_env(struct containers *c, const struct parts *p)
{
	static const char *const same[] = {"PATH", "HOME"};
	static const char *const own[][2] = {{"XDG_STATE_HOME", "state"},
					     {"MAYFLY_STORE", "store"}};
	unsigned i, n = 0;

	for (i = 0; i < 2; i++)
		if (getenv(same[i]))
			snprintf(c->variables[n++], sizeof(c->variables[0]),
				 "%s=%.4000s", same[i], getenv(same[i]));
	snprintf(c->variables[n++], sizeof(c->variables[0]), "MAYFLY=%s",
		 p->mayfly);
	snprintf(c->variables[n++], sizeof(c->variables[0]),
		 "XDG_RUNTIME_DIR=%s", c->runtime);
	for (i = 0; i < 2; i++)
		snprintf(c->variables[n++], sizeof(c->variables[0]), "%s=%s/%s",
			 own[i][0], p->scratch, own[i][1]);
	for (i = 0; i < n; i++)
		c->env[i] = c->variables[i];
}

/* With a guest at rest, so that none is made while others are measured. */
static int import(const struct containers *c, const char *scratch,
		  struct err *e)
{
	static const char *const folders[] = {"state", "store"};
	const char *const words[] = {c->mayctl, "image",  "import", "--warm",
				     c->root,	"--name", IMAGE};
	const char *argv[1 + ENV_MAX + 8] = {"env"};
	char path[PATH_MAX + 64];
	unsigned i, n = 1;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", scratch, folders[i]);
		if (tree_make(path))
			return err_errno(e, "can't make %s", path);
	}
	for (i = 0; c->env[i]; i++)
		argv[n++] = c->env[i];
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		argv[n++] = words[i];
	return process_run(argv, e) ? err_context(e, "image import") : 0;
}

/* ---- the ways ------------------------------------------------------------ */

static struct way *add_way(struct containers *c, const char *name)
{
	struct way *way = &c->ways[c->count];

	way->env = c->env;
	c->lanes[c->count++] =
		(struct lane){.name = name, .once = once, .context = way};
	return way;
}

static void add_words(struct containers *c, const char *const *words)
{
	struct way *way = &c->ways[c->count - 1];
	struct lane *lane = &c->lanes[c->count - 1];
	unsigned i;

	for (i = 0; words[i]; i++)
		way->argv[i] = words[i];
	program_words(way->argv, lane->command, sizeof(lane->command));
}

/* Every way of ours; the first is what people type. */
static void add_mayfly(struct containers *c)
{
	const char *const plain[] = {c->mayctl, "run",	"--rm",
				     IMAGE,	"true", NULL};
	const char *const cold[] = {c->mayctl, "run",  "--rm", "--cold",
				    IMAGE,     "true", NULL};

	add_way(c, "mayfly");
	add_words(c, plain);
	add_way(c, "mayfly-cold");
	add_words(c, cold);
}

/* As the runtime itself would write it, without a terminal. */
static int write_bundle(const struct containers *c, const char *runtime,
			const char *bundle, struct err *e)
{
	const char *argv[] = {
		runtime, "spec", "-b", bundle, geteuid() ? "--rootless" : NULL,
		NULL};
	char path[PATH_MAX + 64];
	json_t *spec, *process;
	double ms;
	int rc = tree_make(bundle);

	if (rc)
		return err_set(e, rc, "can't make %s", bundle);
	rc = run(argv, c->env, &ms, e);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/config.json", bundle);
	spec = json_load_file(path, 0, NULL);
	process = json_object_get(spec, "process");
	if (!json_object_set_new(process, "terminal", json_false()) &&
	    !json_object_set_new(process, "args", json_pack("[s]", "true")) &&
	    !json_object_set_new(
		    spec, "root",
		    json_pack("{s:s,s:b}", "path", c->root, "readonly", 1)))
		rc = json_dump_file(spec, path, 0);
	else
		rc = -1;
	json_decref(spec);
	return rc ? err_set(e, -EBADMSG, "its spec is none") : 0;
}

static void add_runtime(struct containers *c, const struct bench *b,
			enum peer who, struct result *r)
{
	const char *runtime = b->parts->peers[who];
	char *bundle = c->bundles[who - PEER_CRUN];
	const char *const words[] = {runtime, "run", "-b", bundle, c->id, NULL};
	struct err why = {0};

	if (!*runtime)
		return;
	snprintf(bundle, sizeof(c->bundles[0]), "%s/%s", b->parts->scratch,
		 peer_name(who));
	if (write_bundle(c, runtime, bundle, &why)) {
		result_leave_out(r, peer_name(who), why.text);
		return;
	}
	add_way(c, peer_name(who));
	add_words(c, words);
}

static int prepare(struct containers *c, const struct bench *b,
		   struct result *r, struct err *e)
{
	int rc;

	if (!realpath("/proc/self/exe", c->mayctl))
		return err_errno(e, "can't tell what program this is");
	snprintf(c->runtime, sizeof(c->runtime), "/tmp/mayctl.XXXXXX");
	if (!mkdtemp(c->runtime))
		return err_errno(e, "can't make a directory in /tmp");
	snprintf(c->id, sizeof(c->id), "mayctl-bench-%d", getpid());
	make_env(c, b->parts);
	rc = make_root(c, b->parts->scratch, e);
	if (!rc)
		rc = import(c, b->parts->scratch, e);
	if (rc)
		return rc;
	add_mayfly(c);
	add_runtime(c, b, PEER_CRUN, r);
	add_runtime(c, b, PEER_RUNC, r);
	return 0;
}

int bench_container(struct result *r, const struct bench *b, struct err *e)
{
	const struct pace pace = guest_pace(b);
	struct containers *c = calloc(1, sizeof(*c));
	int rc = guest_check(b, "run", e);

	if (!c)
		return err_set(e, -ENOMEM, "no memory for a bench");
	if (!rc)
		rc = prepare(c, b, r, e);
	if (!rc)
		rc = rounds_run(r, c->lanes, c->count, &pace, e);
	if (*c->runtime)
		(void)tree_remove(AT_FDCWD, c->runtime, 0, NULL);
	free(c);
	return rc;
}
