/*
 * A hierarchy is found in /proc/self/mountinfo (proc(5)) and walked by
 * descriptor from its mount point, as every other path here. Documentation/
 * admin-guide/cgroup-v1 and cgroup-v2.rst say what has to be written where:
 *
 * - version 1: each controller may have a hierarchy of its own. A new cpuset
 *   group has no CPUs and no memory nodes and takes no process until it has
 *   some, so both come from its parent unless a --cgroup says otherwise.
 * - version 2: one hierarchy, in which a controller reaches a group only where
 *   every group above it names it in cgroup.subtree_control.
 *
 * Values are written before the process moves in: it is never in there
 * without its limits.
 */
#include "jailer/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "vmm/base/fd.h"

struct group {
	int fd;		 /* owned; the jail's group */
	int top;	 /* owned; its hierarchy's mount point */
	char point[256]; /* that one's path */
};

/*
 * The tops of the hierarchies this process was moved in; cgroup_leave()'s. Two
 * --cgroup of one hierarchy appear twice, which harms nobody.
 */
static int tops[JAIL_CGROUPS_MAX];
static unsigned top_count;

static bool has_word(const char *list, const char *word, size_t len,
		     const char *separators)
{
	size_t n;

	for (;; list += n) {
		list += strspn(list, separators);
		n = strcspn(list, separators);
		if (!n)
			return false;
		if (n == len && !strncmp(list, word, len))
			return true;
	}
}

/*
 * mountinfo: `36 35 0:32 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup
 * rw,cpu,cpuacct`. Returns the mount point within line where it is the
 * hierarchy of the controller (version 1) or the one of version 2.
 */
static const char *parse_mount(char *line, unsigned version,
			       const char *controller, size_t len)
{
	char *tail = strstr(line, " - ");
	char *point = NULL, *type;
	unsigned i;

	if (!tail)
		return NULL;
	*tail = 0;
	tail += 3;
	for (i = 0; i < 5; i++)
		point = strsep(&line, " ");
	type = strsep(&tail, " ");
	strsep(&tail, " ");
	if (!point || !tail)
		return NULL;
	if (version == 2)
		return strcmp(type, "cgroup2") ? NULL : point;
	if (strcmp(type, "cgroup") != 0 ||
	    !has_word(tail, controller, len, ",\n"))
		return NULL;
	return point;
}

/* Opens the mount point of a hierarchy, whose path goes to name. */
static int open_top(unsigned version, const char *controller, size_t len,
		    char *name, size_t size, struct err *e)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	const char *point = NULL;
	char *line = NULL;
	size_t room = 0;
	struct statfs fs;
	int fd;

	if (!mounts)
		return err_errno(e, "/proc/self/mountinfo");
	while (!point && getline(&line, &room, mounts) >= 0)
		point = parse_mount(line, version, controller, len);
	fclose(mounts);
	if (point)
		fd = path_open(AT_FDCWD, point, O_RDONLY | O_DIRECTORY, e);
	else if (version == 2)
		fd = err_set(e, -ENOENT,
			     "no version 2 hierarchy is mounted; mount it or "
			     "use --cgroup-version 1");
	else
		fd = err_set(e, -ENOENT,
			     "no version 1 hierarchy with controller '%.*s' is "
			     "mounted; use --cgroup-version 2 if it is there",
			     (int)len, controller);
	if (point && (size_t)snprintf(name, size, "%s", point) >= size &&
	    fd >= 0) {
		fd_close(&fd);
		fd = err_set(e, -ENAMETOOLONG, "%.64s…: too long", point);
	}
	free(line);
	if (fd >= 0 &&
	    (fstatfs(fd, &fs) || (fs.f_type != CGROUP_SUPER_MAGIC &&
				  fs.f_type != CGROUP2_SUPER_MAGIC))) {
		fd_close(&fd);
		return err_set(e, -EINVAL,
			       "something else is mounted over the cgroups");
	}
	return fd;
}

static int write_file(int group, const char *file, const char *value,
		      struct err *e)
{
	CLEAN_FD int fd = path_open(group, file, O_WRONLY, e);

	if (fd < 0)
		return fd;
	/* One write(): the kernel takes a value whole. */
	if (write(fd, value, strlen(value)) < 0)
		return err_errno(e, "writing '%.128s' into %s", value, file);
	return 0;
}

/* Reads a short file; text is what it holds without the line's end. */
static int read_file(int group, const char *file, char *text, size_t size,
		     struct err *e)
{
	CLEAN_FD int fd = path_open(group, file, O_RDONLY, e);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, size - 1);
	if (n < 0)
		return err_errno(e, "reading %s", file);
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return 0;
}

static int inherit_cpuset(int parent, int child, struct err *e)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	char text[1024];
	unsigned i;
	int rc = 0;

	for (i = 0; i < 2 && !rc; i++) {
		rc = read_file(child, files[i], text, sizeof(text), e);
		if (rc || *text)
			continue;
		rc = read_file(parent, files[i], text, sizeof(text), e);
		if (!rc)
			rc = write_file(child, files[i], text, e);
	}
	return rc;
}

/* Lets the groups below have a controller. */
static int enable_below(int group, const char *controller, size_t len,
			struct err *e)
{
	char text[1024], word[JAIL_CGROUP_FILE_MAX + 1];
	int rc = read_file(group, "cgroup.subtree_control", text, sizeof(text),
			   e);

	if (rc || has_word(text, controller, len, " "))
		return rc;
	rc = read_file(group, "cgroup.controllers", text, sizeof(text), e);
	if (rc)
		return rc;
	if (!has_word(text, controller, len, " "))
		return err_set(e, -ENOENT,
			       "controller '%.*s' is not there with version "
			       "2; there are: %.128s",
			       (int)len, controller, *text ? text : "none");
	snprintf(word, sizeof(word), "+%.*s", (int)len, controller);
	return write_file(group, "cgroup.subtree_control", word, e);
}

/* One step down: prepares the group above, makes the one below, opens it. */
static int step_down(struct path_made *made, int above, const char *name,
		     const struct jail_options *o, const struct jail_cgroup *c,
		     struct err *e)
{
	CLEAN_FD int below = -1;
	int rc = 0;

	if (o->cgroup_version == 2)
		rc = enable_below(above, c->file, c->controller_len, e);
	if (rc)
		return rc;
	below = path_make_dir(made, above, name, e);
	if (below < 0)
		return below;
	if (o->cgroup_version == 1 && c->controller_len == 6 &&
	    !strncmp(c->file, "cpuset", 6))
		rc = inherit_cpuset(above, below, e);
	return rc ? rc : fd_steal(&below);
}

/* Makes and opens HIERARCHY/PARENT/ID. */
static int open_group(struct path_made *made, const struct jail_options *o,
		      const struct jail_cgroup *c, struct group *g,
		      struct err *e)
{
	const char *at = o->parent_cgroup ? o->parent_cgroup : o->exec_name;
	char name[256];
	size_t len;
	int fd;

	g->top = open_top(o->cgroup_version, c->file, c->controller_len,
			  g->point, sizeof(g->point), e);
	if (g->top < 0)
		return g->top;
	g->fd = fcntl(g->top, F_DUPFD_CLOEXEC, 3);
	if (g->fd < 0)
		return err_errno(e, "descriptor of the cgroup");
	do {
		len = strcspn(at, "/");
		if (len >= sizeof(name))
			return err_set(e, -ENAMETOOLONG,
				       "--parent-cgroup: %.64s… is too long",
				       at);
		memcpy(name, at, len);
		name[len] = 0;
		fd = step_down(made, g->fd, name, o, c, e);
		if (fd < 0)
			return fd;
		fd_close(&g->fd);
		g->fd = fd;
		at += len;
	} while (*at++);
	fd = step_down(made, g->fd, o->id, o, c, e);
	if (fd < 0)
		return fd;
	fd_close(&g->fd);
	g->fd = fd;
	return 0;
}

/* "0" is whoever writes it. The top is kept for the way back. */
static int move_in(struct group *g, struct err *e)
{
	int rc = write_file(g->fd, "cgroup.procs", "0", e);

	if (!rc)
		tops[top_count++] = fd_steal(&g->top);
	return rc;
}

static void group_fini(struct group *g)
{
	fd_close(&g->fd);
	fd_close(&g->top);
}

static int enter_parent(const struct jail_options *o, struct err *e)
{
	struct group g = {.fd = -1, .top = -1};
	int rc;

	g.top = open_top(2, "", 0, g.point, sizeof(g.point), e);
	if (g.top < 0)
		return g.top;
	g.fd = path_open(g.top, o->parent_cgroup, O_RDONLY | O_DIRECTORY, e);
	rc = g.fd < 0 ? err_context(e,
				    "--parent-cgroup without --cgroup needs a "
				    "group that exists")
		      : move_in(&g, e);
	group_fini(&g);
	return rc;
}

/*
 * Whoever cleans up later finds the groups by this list. It stands beside the
 * jail's root, where the jail can't reach it.
 */
static int record(struct path_made *made, int root_fd,
		  const struct jail_options *o, const struct group *groups,
		  unsigned count, struct err *e)
{
	CLEAN_FD int dir = openat(root_fd, "..", O_PATH | O_CLOEXEC);
	CLEAN_FD int fd = -1;
	unsigned i, k;

	if (dir < 0)
		return err_errno(e, "the jail's directory");
	/* That of a jail whose root somebody has removed, but not this. */
	if (unlinkat(dir, "cgroups", 0) && errno != ENOENT)
		return err_errno(e, "removing an old list of cgroups");
	fd = path_make_file(made, dir, "cgroups", 0644, e);
	if (fd < 0)
		return fd;
	for (i = 0; i < count; i++) {
		for (k = 0; k < i; k++)
			if (!strcmp(groups[k].point, groups[i].point))
				break;
		if (k == i &&
		    dprintf(fd, "%s/%s/%s\n", groups[i].point,
			    o->parent_cgroup ? o->parent_cgroup : o->exec_name,
			    o->id) < 0)
			return err_errno(e, "writing the list of cgroups");
	}
	return 0;
}

int cgroup_enter(struct path_made *made, int root_fd,
		 const struct jail_options *o, struct err *e)
{
	struct group groups[JAIL_CGROUPS_MAX];
	unsigned count, i;
	int rc = 0;

	if (!o->cgroup_count)
		return o->cgroup_version == 2 && o->parent_cgroup
			       ? enter_parent(o, e)
			       : 0;
	for (count = 0; count < o->cgroup_count && !rc; count++) {
		const struct jail_cgroup *c = &o->cgroups[count];

		groups[count].fd = groups[count].top = -1;
		rc = open_group(made, o, c, &groups[count], e);
		if (!rc)
			rc = write_file(groups[count].fd, c->file, c->value, e);
	}
	if (!rc)
		rc = record(made, root_fd, o, groups, count, e);
	for (i = 0; i < count && !rc; i++)
		rc = move_in(&groups[i], e);
	while (count)
		group_fini(&groups[--count]);
	return rc;
}

void cgroup_leave(void)
{
	while (top_count) {
		write_file(tops[--top_count], "cgroup.procs", "0", NULL);
		fd_close(&tops[top_count]);
	}
}
