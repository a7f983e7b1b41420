/*
 * Ends what is in a jail and takes the jail away: its tree, which was somebody
 * else's, and its cgroups.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "jailer/jails/jail.h"
#include "vmm/base/fd.h"

enum {
	ROUNDS_MAX =
		100, /* of looking for processes that others have started */
	KILL_MS = 5000,
};

/*
 * Splits path into what is above its last part, which must be name, and opens
 * that: from the root, through no link, and only where it is of a cgroup.
 * Returns an fd, or -ENOENT where there is nothing left.
 */
static int open_above(char *path, const char *name, struct err *e)
{
	char *slash = strrchr(path, '/');
	CLEAN_FD int fd = -1;
	struct statfs fs;

	if (!slash || slash == path || strcmp(slash + 1, name) != 0)
		return err_set(e, -EINVAL,
			       "'%.128s' in the jail's list is no cgroup of it",
			       path);
	*slash = 0;
	fd = jail_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || fstatfs(fd, &fs))
		return err_errno(e, "%.256s", path);
	if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(e, -EINVAL, "%.256s is not of a cgroup", path);
	return fd_steal(&fd);
}

static int remove_cgroup(char *path, const struct jail_entry *entry,
			 struct err *e)
{
	CLEAN_FD int parent = open_above(path, entry->id, e);
	CLEAN_FD int above = -1;
	const char *slash;

	if (parent < 0)
		return parent == -ENOENT ? 0 : parent;
	if (unlinkat(parent, entry->id, AT_REMOVEDIR) && errno != ENOENT)
		return err_errno(e, "removing the cgroup %.256s/%s", path,
				 entry->id);
	/* The parent is made too unless one is asked for; others may use it. */
	slash = strrchr(path, '/');
	if (!slash || strcmp(slash + 1, entry->program) != 0)
		return 0;
	above = open_above(path, entry->program, e);
	if (above >= 0)
		unlinkat(above, entry->program, AT_REMOVEDIR);
	return 0;
}

static int remove_error(const struct jail_entry *entry, int rc,
			const char *name, struct err *e)
{
	if (rc == -EBUSY)
		err_set(e, rc,
			"something is mounted at %.128s in the jail; unmount "
			"it first",
			name);
	else
		err_set(e, rc, "removing %.128s: %s", *name ? name : "it",
			strerror(-rc));
	return err_context(e, "%s/%s", entry->program, entry->id);
}

int jail_remove(const struct jail_list *l, const struct jail_entry *entry,
		struct err *e)
{
	CLEAN_FD int program =
		jail_open(l->base_fd, entry->program, O_RDONLY | O_DIRECTORY);
	CLEAN_FD int id = -1;
	struct tree_report report = {0};
	char *at, *line, list[JAIL_CGROUPS_TEXT];
	int rc;

	if (program >= 0)
		id = jail_open(program, entry->id, O_RDONLY | O_DIRECTORY);
	if (id < 0)
		return err_errno(e, "%s/%s", entry->program, entry->id);
	memcpy(list, entry->cgroups, sizeof(list));
	for (at = list; (line = strsep(&at, "\n"));) {
		rc = *line ? remove_cgroup(line, entry, e) : 0;
		if (rc)
			return rc;
	}
	rc = tree_remove(program, entry->id, TREE_STRICT, &report);
	if (rc)
		return remove_error(entry, rc, report.failed, e);
	/* The last jail of a program takes its directory along. */
	unlinkat(l->base_fd, entry->program, AT_REMOVEDIR);
	return 0;
}

/* Kills pid if it is the jail's, and waits for its end. */
static int kill_one(const struct jail_entry *entry, pid_t pid, struct err *e)
{
	CLEAN_FD int fd = process_open(pid);
	char path[64];
	struct stat st;
	int rc;

	if (fd < 0)
		return fd == -ESRCH ? 0
				    : err_set(e, fd, "opening process %d: %s",
					      pid, strerror(-fd));
	/* From here on the number is that process's, and can be looked at. */
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	if (stat(path, &st) || st.st_dev != entry->device ||
	    st.st_ino != entry->inode)
		return 0;
	rc = process_signal(fd, SIGKILL);
	if (rc && rc != -ESRCH)
		return err_set(e, rc, "killing process %d: %s", pid,
			       strerror(-rc));
	if (process_wait(fd, KILL_MS))
		return err_set(e, -ETIMEDOUT,
			       "process %d does not end; look at what it waits "
			       "for in /proc/%d/stack",
			       pid, pid);
	return 0;
}

int jail_kill(struct jail_entry *entry, struct err *e)
{
	unsigned round, i;
	int rc = jail_processes(entry, e);

	for (round = 0; rc > 0 && round < ROUNDS_MAX; round++) {
		rc = 0;
		for (i = 0; i < entry->pid_count && i < JAIL_PIDS_MAX && !rc;
		     i++)
			rc = kill_one(entry, entry->pids[i], e);
		if (!rc)
			rc = jail_processes(entry, e);
	}
	if (rc > 0)
		return err_set(e, -EBUSY,
			       "the jail starts processes quicker than they "
			       "can be killed; freeze its cgroup first");
	return rc;
}
