/* Finds programs and their versions, and makes the place where benches work. */
#include "api/ctl/bench/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/vm/monitor.h"
#include "vmm/base/printable.h"

static void search_path(char out[PATH_MAX], const char *program)
{
	const char *at = getenv("PATH");
	char path[PATH_MAX];

	while (at && *at) {
		const size_t len = strcspn(at, ":");

		if (snprintf(path, sizeof(path), "%.*s/%s", (int)len, at,
			     program) < (int)sizeof(path) &&
		    !access(path, X_OK) && realpath(path, out))
			return;
		at += len + (at[len] == ':');
	}
	*out = '\0';
}

/* The first line of what it says. */
static void ask_version(char *out, size_t size, const char *program,
			const char *flag)
{
	const char *const argv[] = {program, flag, NULL};
	char *text = NULL;

	*out = '\0';
	if (!process_ask(argv, 64 << 10, &text, NULL) && text)
		printable_copy(text, strcspn(text, "\n"), out, size);
	free(text);
}

static int find_peer(struct parts *p, enum peer i, const char *named,
		     struct err *e)
{
	if (!named)
		search_path(p->peers[i], peer_program(i));
	else if (!realpath(named, p->peers[i]) || access(p->peers[i], X_OK))
		return err_errno(e, "--%s: can't run %s", peer_name(i), named);
	if (*p->peers[i])
		ask_version(p->versions[i], sizeof(p->versions[i]), p->peers[i],
			    peer_version_flag(i));
	return 0;
}

static int make_scratch(struct parts *p, struct err *e)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(p->scratch, sizeof(p->scratch), "%s/mayctl-bench.XXXXXX",
		 tmp && *tmp == '/' && strlen(tmp) < 200 ? tmp : "/tmp");
	if (mkdtemp(p->scratch))
		return 0;
	err_errno(e, "can't make a directory %s", p->scratch);
	*p->scratch = '\0';
	return e ? e->code : -EIO;
}

int parts_find(struct parts *p, const char *const named[PEER_COUNT],
	       struct err *e)
{
	unsigned i;
	int rc;

	*p = (struct parts){0};
	rc = monitor_find_program(p->mayfly, e);
	if (!rc)
		rc = monitor_find_file(p->guest, "bench-guest", e);
	if (!rc)
		rc = monitor_find_file(p->floor, "bench-floor", e);
	for (i = 0; i < PEER_COUNT && !rc; i++)
		rc = find_peer(p, i, named[i], e);
	if (rc)
		return rc;
	monitor_find_jailer(p->jailer, p->mayfly);
	ask_version(p->mayfly_version, sizeof(p->mayfly_version), p->mayfly,
		    "--version");
	return make_scratch(p, e);
}

void parts_fini(struct parts *p)
{
	if (*p->scratch)
		(void)tree_remove(AT_FDCWD, p->scratch, 0, NULL);
	*p->scratch = '\0';
}
