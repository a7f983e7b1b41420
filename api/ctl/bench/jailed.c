/*
 * bench jail: a start in a jail beside the same without one: what the jailer
 * adds. The jail's directory is made before the time begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/spawn.h"
#include "vmm/base/fd.h"

struct jails {
	const struct parts *parts;
	char base[PATH_MAX + 16];
	char config[PATH_MAX + 16];
	unsigned count;
};

static int copy_guest(const char *from, const char *to, struct err *e)
{
	CLEAN_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEAN_FD int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st))
		return err_errno(e, "can't copy %s to %s", from, to);
	return copy_file(in, out, (uint64_t)st.st_size, from, e);
}

static int make_root(const struct jails *j, const char *id, struct err *e)
{
	const char *program = strrchr(j->parts->mayfly, '/') + 1;
	char root[2 * PATH_MAX], path[2 * PATH_MAX + 16];
	int rc;

	snprintf(root, sizeof(root), "%s/%s/%s/root", j->base, program, id);
	rc = tree_make(root);
	if (rc)
		return err_set(e, rc, "can't make %s: %s", root, strerror(-rc));
	snprintf(path, sizeof(path), "%s/guest", root);
	rc = copy_guest(j->parts->guest, path, e);
	snprintf(path, sizeof(path), "%s/config.json", root);
	if (!rc)
		rc = machine_write_config(path, "/guest", "end", MACHINE_MIB,
					  e);
	if (!rc && chmod(path, 0644))
		rc = err_errno(e, "can't let others read %s", path);
	return rc;
}

static int once_jailed(void *context, double *ms, struct err *e)
{
	struct jails *j = context;
	char id[32];
	const char *argv[] = {
		j->parts->jailer,
		"--id",
		id,
		"--exec-file",
		j->parts->mayfly,
		"--uid",
		"31415",
		"--gid",
		"31415",
		"--chroot-base-dir",
		j->base,
		"--",
		"--no-api",
		"--config-file",
		"/config.json",
		NULL,
	};
	const struct spawn_how how = {.argv = argv};
	struct spawned s;
	int rc;

	snprintf(id, sizeof(id), "bench-%d-%u", getpid(), j->count++);
	rc = make_root(j, id, e);
	if (!rc)
		rc = spawn_begin(&s, &how, e);
	if (!rc)
		rc = spawn_wait(&s, ms, NULL, e);
	(void)tree_remove(AT_FDCWD, j->base, 0, NULL);
	return rc;
}

static int once_free(void *context, double *ms, struct err *e)
{
	const struct jails *j = context;
	const char *argv[] = {j->parts->mayfly, "--no-api", "--config-file",
			      j->config, NULL};
	const struct spawn_how how = {.argv = argv};
	struct spawned s;
	int rc = spawn_begin(&s, &how, e);

	return rc ? rc : spawn_wait(&s, ms, NULL, e);
}

int bench_jail(struct result *r, const struct bench *b, struct err *e)
{
	struct jails j = {.parts = b->parts};
	struct lane lanes[] = {
		{.name = "mayfly", .once = once_jailed, .context = &j},
		{.name = "unjailed", .once = once_free, .context = &j},
	};
	int rc;

	if (geteuid())
		return err_set(e, -EOPNOTSUPP,
			       "making a jail needs root: run it with sudo");
	if (!*j.parts->jailer)
		return err_set(e, -EOPNOTSUPP,
			       "there is no mayfly-jailer beside mayfly (%s)",
			       j.parts->mayfly);
	/* Who lives in the jail has to come by. */
	if (chmod(b->parts->scratch, 0755))
		return err_errno(e, "can't open %s to others",
				 b->parts->scratch);
	snprintf(j.base, sizeof(j.base), "%s/jails", b->parts->scratch);
	snprintf(j.config, sizeof(j.config), "%s/free.json", b->parts->scratch);
	snprintf(lanes[0].command, sizeof(lanes[0].command),
		 "%.200s --exec-file %.200s --uid 31415 --gid 31415 -- "
		 "--no-api --config-file /config.json",
		 j.parts->jailer, j.parts->mayfly);
	snprintf(lanes[1].command, sizeof(lanes[1].command),
		 "%.200s --no-api --config-file %.200s", j.parts->mayfly,
		 j.config);
	rc = machine_write_config(j.config, b->parts->guest, "end", MACHINE_MIB,
				  e);
	if (!rc)
		rc = rounds_run(r, lanes, 2, &b->pace, e);
	if (!rc)
		result_figure(
			r, "the jailer adds",
			stats_median(r->series[0].values, r->series[0].count) -
				stats_median(r->series[1].values,
					     r->series[1].count),
			"ms");
	return rc;
}
