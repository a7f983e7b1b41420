/*
 * The freezer: a cgroup of version 2, made at the first FREEZE, into which all
 * processes are moved. What is moved into a frozen one stops on its way back to
 * user mode, and notices nothing of it, as it would of a signal.
 *
 * Processes may be born meanwhile, but not of those that stand still already.
 * So /proc is walked until a walk finds none that is not held. A container with
 * all rights may have cgroups of its own: those are frozen where they are, from
 * the top, for whoever took a process out of them could not put it back.
 */
#include "guest/agent/freezer.h"

#include "guest/agent/cgroup.h"
#include "guest/agent/machine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 125, WALKS = 1000, GROUPS = 32, NAME = CGROUP_NAME };
enum { LOOK_MS = 1, LOOKS = 5000 }; /* what waits for a disk stops later */
enum { KERNEL_THREAD = 0x200000 };  /* PF_KTHREAD, linux/sched.h */

static char held[NAME]; /* our cgroup's name; "" before there is one */
static char frozen[GROUPS][NAME]; /* ours and others' that we froze */
static unsigned frozen_len;
static bool is_on;
static struct session *freeze_by;
static unsigned looks;
static struct timer timer;

/* A file of a cgroup; 0 or a negative errno. */
static int group_write(const char *group, const char *file, const char *text)
{
	char path[NAME + 32];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return cgroup_write(cgroup_root(), path, text);
}

/* "frozen 1" of cgroup.events; one that has gone has nothing that runs. */
static bool group_is_still(const char *group)
{
	char path[NAME + 32], text[256];

	snprintf(path, sizeof(path), "%s/cgroup.events", group);
	return cgroup_read(cgroup_root(), path, text, sizeof(text)) < 0 ||
	       strstr(text, "frozen 1");
}

/* Freezes it, unless it is already: by us, or by those whose it is. */
static int group_freeze(const char *group)
{
	char path[NAME + 32], text[8];
	int rc;

	for (unsigned i = 0; i < frozen_len; i++)
		if (!strcmp(frozen[i], group))
			return 0;
	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	if (cgroup_read(cgroup_root(), path, text, sizeof(text)) > 0 &&
	    *text == '1')
		return 0;
	if (frozen_len == GROUPS)
		return -ENOSPC;
	rc = group_write(group, "cgroup.freeze", "1");
	if (!rc)
		snprintf(frozen[frozen_len++], NAME, "%s", group);
	return rc;
}

/* Of proc(5)'s stat: neither the kernel's nor dead. */
static bool is_program(int proc_fd, const char *pid)
{
	char path[300], text[512], state = 0;
	unsigned flags = 0;
	const char *at;

	snprintf(path, sizeof(path), "%s/stat", pid);
	if (cgroup_read(proc_fd, path, text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')'); /* names may have any in them */
	return at &&
	       sscanf(at + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) ==
		       2 &&
	       !(flags & KERNEL_THREAD) && state != 'Z' && state != 'X';
}

/* The first part of its path in the hierarchy of version 2: "" is the root. */
static int group_of(int proc_fd, const char *pid, char group[static NAME])
{
	char path[300], text[4096], *at;

	snprintf(path, sizeof(path), "%s/cgroup", pid);
	if (cgroup_read(proc_fd, path, text, sizeof(text)) <= 0)
		return -ESRCH;
	at = !strncmp(text, "0::/", 4) ? text : strstr(text, "\n0::/");
	if (!at)
		return -ENOTSUP;
	at = strchr(at, '/') + 1;
	at[strcspn(at, "/\n")] = '\0';
	if (strlen(at) >= NAME)
		return -ENAMETOOLONG;
	memcpy(group, at, strlen(at) + 1);
	return 0;
}

/* 1 where it was not held yet, 0 where it is or has gone, or -errno. */
static int hold_one(int proc_fd, const char *pid)
{
	const unsigned before = frozen_len;
	char group[NAME];
	int rc;

	if (!is_program(proc_fd, pid))
		return 0;
	rc = group_of(proc_fd, pid, group);
	if (rc)
		return rc == -ESRCH ? 0 : rc;
	if (!strcmp(group, held))
		return 0;
	/* Outside a VM a group of the root's is not the guest's. */
	if (*group && !machine.is_test) {
		rc = group_freeze(group);
		return rc ? rc : frozen_len > before;
	}
	rc = group_write(held, "cgroup.procs", pid);
	if (rc)
		return rc == -ESRCH ? 0 : rc;
	return 1;
}

/* A walk over all processes. How many were not held, or a negative errno. */
static int hold_all(void)
{
	DIR *proc = opendir("/proc");
	const struct dirent *d;
	int rc = 0, count = 0;

	if (!proc)
		return -errno;
	while (rc >= 0 && (d = readdir(proc))) {
		if (!isdigit((unsigned char)*d->d_name) ||
		    atoi(d->d_name) == getpid())
			continue;
		rc = hold_one(dirfd(proc), d->d_name);
		count += rc > 0;
	}
	closedir(proc);
	return rc < 0 ? rc : count;
}

static int freeze(void)
{
	int rc = cgroup_own("mayfly", held);

	if (!rc)
		rc = group_freeze(held);
	for (int i = 0; !rc && i < WALKS; i++) {
		rc = hold_all();
		if (!rc)
			return 0;
		rc = rc > 0 ? 0 : rc;
	}
	return rc ? rc : -EAGAIN;
}

void freezer_release(void)
{
	for (unsigned i = 0; i < frozen_len; i++)
		group_write(frozen[i], "cgroup.freeze", "0");
	frozen_len = 0;
	is_on = false;
}

bool freezer_is_on(void)
{
	return is_on;
}

static bool is_still(void)
{
	for (unsigned i = 0; i < frozen_len; i++)
		if (!group_is_still(frozen[i]))
			return false;
	return true;
}

static void refuse(struct session *s, int rc)
{
	freezer_release();
	session_error(s, -rc, FAILED, "not everything can be frozen: %s",
		      strerror(-rc));
}

static void answer(struct session *s, void *arg)
{
	const int rc = *(const int *)arg;

	if (s != freeze_by || s->is_ending)
		return;
	if (rc)
		refuse(s, rc);
	else
		session_done(s);
}

static void look(struct timer *t)
{
	int rc = 0;

	if (!is_on)
		rc = -ECANCELED; /* by a THAW */
	else if (!is_still())
		rc = ++looks < LOOKS ? -EAGAIN : -ETIMEDOUT;
	if (rc == -EAGAIN) {
		timer_set(t, LOOK_MS, look);
		return;
	}
	sessions_each(answer, &rc);
	freeze_by = NULL;
}

/* Nobody knows that it is frozen, so nobody would thaw it. */
static void lost(struct session *s)
{
	if (s != freeze_by)
		return;
	freeze_by = NULL;
	freezer_release();
}

static const struct session_ops freeze_ops = {.lost = lost};

void freezer_freeze(struct session *s, struct reader *r)
{
	const bool is_late = is_on || freeze_by;
	int rc;

	if (!reader_done(r) || is_late) {
		session_error(s, is_late ? EALREADY : EPROTO, FAILED,
			      is_late ? "the guest is frozen already"
				      : "FREEZE is not as it should be");
		return;
	}
	rc = freeze();
	if (rc) {
		refuse(s, rc);
		return;
	}
	is_on = true;
	freeze_by = s;
	looks = 0;
	s->mode = SESSION_WAIT;
	s->ops = &freeze_ops;
	look(&timer);
}

void freezer_thaw(struct session *s, struct reader *r)
{
	if (!reader_done(r)) {
		session_error(s, EPROTO, FAILED, "THAW is not as it should be");
		return;
	}
	freezer_release();
	session_done(s);
}

void freezer_fini(void)
{
	freezer_release();
	if (*held)
		unlinkat(cgroup_root(), held, AT_REMOVEDIR);
}
