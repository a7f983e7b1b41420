/*
 * Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst. A controller reaches a
 * group of version 2 only where every group above it names it in
 * cgroup.subtree_control.
 */
#include "api/ctl/vm/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/fd.h"

#define PARENT "mayfly"

enum {
	OVERHEAD_MIB =
		128, /* of the monitor, and what the kernel keeps for it */
	OVERHEAD_PART = 32, /* of the guest's memory: page tables, twice */
	OTHER_THREADS = 32, /* than vCPUs: the loop's, and io_uring's */
	PERIOD_US = 100000,
	REMOVE_TRIES = 100,
	REMOVE_PAUSE_NS = 2000000,
};

static const char *const controllers[CGROUPS_MAX] = {"memory", "cpu", "pids"};

/* ---- hierarchies -------------------------------------------------------- */

struct top {
	int fd; /* owned; its mount point */
	bool is_v2;
};

struct tops {
	struct top tops[CGROUPS_MAX + 1];
	unsigned count;
	int of[CGROUPS_MAX]; /* the controller's index above, -1 for none */
};

static bool has_word(const char *list, const char *word)
{
	const size_t len = strlen(word);
	size_t n;

	for (;; list += n) {
		list += strspn(list, " ,\n");
		n = strcspn(list, " ,\n");
		if (!n || (n == len && !strncmp(list, word, len)))
			return n;
	}
}

static void read_text(int dir, const char *file, char *text, size_t size)
{
	CLEAN_FD int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
}

static int write_text(int dir, const char *file, const char *text)
{
	CLEAN_FD int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/* The controllers of a line that says where a hierarchy is mounted. */
static void take_mount(struct tops *t, const char *point, const char *type,
		       const char *options)
{
	struct top top = {.is_v2 = !strcmp(type, "cgroup2")};
	char list[256] = "";
	bool is_used = false;
	unsigned i;

	if (!top.is_v2 && strcmp(type, "cgroup") != 0)
		return;
	top.fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top.fd < 0)
		return;
	if (top.is_v2)
		read_text(top.fd, "cgroup.controllers", list, sizeof(list));
	for (i = 0; i < CGROUPS_MAX && t->count <= CGROUPS_MAX; i++) {
		if (t->of[i] >= 0 ||
		    !has_word(top.is_v2 ? list : options, controllers[i]))
			continue;
		t->of[i] = (int)t->count;
		is_used = true;
	}
	if (is_used)
		t->tops[t->count++] = top;
	else
		close(top.fd);
}

/* proc(5): `cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0`. */
static void tops_open(struct tops *t)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char point[256], type[32], options[512];

	*t = (struct tops){.of = {-1, -1, -1}};
	while (mounts && fscanf(mounts, "%*s %255s %31s %511s%*[^\n]", point,
				type, options) == 3)
		take_mount(t, point, type, options);
	if (mounts)
		fclose(mounts);
}

static void tops_close(struct tops *t)
{
	while (t->count)
		close(t->tops[--t->count].fd);
}

/* ---- making ------------------------------------------------------------- */

/*
 * TOP/mayfly/ID. Whoever removes the last group removes the one above it too,
 * perhaps between our two steps.
 */
static int make_group(const struct tops *t, int top, const char *id)
{
	const int fd = t->tops[top].fd;
	char path[128], word[32];
	unsigned tries, i;

	snprintf(path, sizeof(path), PARENT "/%s", id);
	for (tries = 0; tries < 10; tries++) {
		(void)mkdirat(fd, PARENT, 0755);
		for (i = 0; i < CGROUPS_MAX && t->tops[top].is_v2; i++) {
			if (t->of[i] != top)
				continue;
			snprintf(word, sizeof(word), "+%s", controllers[i]);
			(void)write_text(fd, "cgroup.subtree_control", word);
			(void)write_text(fd, PARENT "/cgroup.subtree_control",
					 word);
		}
		if (!mkdirat(fd, path, 0755) || errno != ENOENT)
			break;
	}
	return openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int write_limit(int group, bool is_v2, unsigned controller,
		       const struct cgroups_limits *l)
{
	const uint64_t mib =
		l->memory_mib + l->memory_mib / OVERHEAD_PART + OVERHEAD_MIB;
	/* One more than the guest has, for the thread that serves devices. */
	const uint64_t us = (uint64_t)(l->vcpu_count + 1) * PERIOD_US;
	static const char *const files[CGROUPS_MAX][2] = {
		{"memory.limit_in_bytes", "memory.max"},
		{"cpu.cfs_quota_us", "cpu.max"},
		{"pids.max", "pids.max"},
	};
	const uint64_t values[CGROUPS_MAX] = {
		mib << 20,
		us,
		l->vcpu_count + OTHER_THREADS,
	};
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64, values[controller]);
	if (is_v2 && controller == 1)
		snprintf(text, sizeof(text), "%" PRIu64 " %d", us, PERIOD_US);
	return write_text(group, files[controller][is_v2], text);
}

static void limit(struct cgroups *c, const struct tops *t, int top,
		  const char *id, const struct cgroups_limits *limits)
{
	CLEAN_FD int group = make_group(t, top, id);
	const bool is_v2 = t->tops[top].is_v2;
	const size_t before = strlen(c->limits);
	unsigned i;

	if (group < 0)
		return;
	for (i = 0; i < CGROUPS_MAX; i++) {
		const size_t len = strlen(c->limits);

		if (t->of[i] == top && !write_limit(group, is_v2, i, limits))
			snprintf(c->limits + len, sizeof(c->limits) - len,
				 "%s%s", len ? " " : "", controllers[i]);
	}
	/* One without limits is of no use, and may not take processes. */
	if (strlen(c->limits) == before)
		return;
	if (is_v2)
		c->clone_fd = fd_steal(&group);
	else
		c->tasks[c->task_count++] =
			openat(group, "tasks", O_WRONLY | O_CLOEXEC);
}

/*
 * A group that shares CPUs out takes no real-time process
 * (CONFIG_RT_GROUP_SCHED), and a guest that spins as one would leave its CPU to
 * nobody.
 */
static void leave_real_time(void)
{
	const struct sched_param none = {0};
	const int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

	if (policy == SCHED_FIFO || policy == SCHED_RR)
		(void)sched_setscheduler(0, SCHED_OTHER, &none);
}

void cgroups_make(struct cgroups *c, const char *id,
		  const struct cgroups_limits *limits)
{
	struct tops t;
	unsigned i;

	*c = (struct cgroups){.clone_fd = -1};
	leave_real_time();
	tops_open(&t);
	for (i = 0; i < t.count; i++)
		limit(c, &t, (int)i, id, limits);
	tops_close(&t);
}

int cgroups_enter(const struct cgroups *c)
{
	unsigned i;

	for (i = 0; i < c->task_count; i++)
		if (write(c->tasks[i], "0", 1) != 1)
			return -errno;
	return 0;
}

void cgroups_close(struct cgroups *c)
{
	fd_close(&c->clone_fd);
	while (c->task_count)
		fd_close(&c->tasks[--c->task_count]);
}

/* ---- removing ----------------------------------------------------------- */

static int remove_group(int parent, const char *name)
{
	const struct timespec pause = {.tv_nsec = REMOVE_PAUSE_NS};
	unsigned tries;

	/* What was killed stays in it until the kernel is done with it. */
	for (tries = 0; tries < REMOVE_TRIES; tries++) {
		if (!unlinkat(parent, name, AT_REMOVEDIR) || errno != EBUSY)
			return 0;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/* ID.UID of a hierarchy, opened; -1 where there is none. */
static int open_group(int top, const char *suffix)
{
	CLEAN_FD int fd =
		openat(top, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3), group = -1;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	while (dir && group < 0 && (entry = readdir(dir))) {
		const char *end = strrchr(entry->d_name, '.');

		if (end && end != entry->d_name && !strcmp(end, suffix))
			group = openat(fd, entry->d_name,
				       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return group;
}

int cgroups_lend(uid_t uid, int64_t mib, struct err *e)
{
	char suffix[16], text[64] = "";
	CLEAN_FD int group = -1;
	struct tops t;
	uint64_t bytes;
	int rc = 0;

	snprintf(suffix, sizeof(suffix), ".%u", uid);
	tops_open(&t);
	if (t.of[0] >= 0) {
		const struct top *top = &t.tops[t.of[0]];
		const char *file = top->is_v2 ? "memory.max"
					      : "memory.limit_in_bytes";

		group = open_group(top->fd, suffix);
		if (group >= 0)
			read_text(group, file, text, sizeof(text));
		/* "max" is no limit. */
		if (sscanf(text, "%" SCNu64, &bytes) == 1) {
			bytes += (uint64_t)mib << 20;
			snprintf(text, sizeof(text), "%" PRIu64, bytes);
			rc = write_text(group, file, text);
		}
	}
	tops_close(&t);
	return rc ? err_set(e, rc, "can't change the memory limit: %s",
			    strerror(-rc))
		  : 0;
}

static int remove_below(int top, const char *suffix)
{
	int fd = openat(top, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (!dir) {
		fd_close(&fd);
		return 0;
	}
	while ((entry = readdir(dir))) {
		const char *end = strrchr(entry->d_name, '.');

		if (entry->d_type == DT_DIR && end && end != entry->d_name &&
		    !strcmp(end, suffix))
			rc |= remove_group(fd, entry->d_name);
	}
	closedir(dir);
	(void)unlinkat(top, PARENT, AT_REMOVEDIR);
	return rc;
}

int cgroups_remove(uid_t uid)
{
	char suffix[16];
	struct tops t;
	unsigned i;
	int rc = 0;

	snprintf(suffix, sizeof(suffix), ".%u", uid);
	tops_open(&t);
	for (i = 0; i < t.count; i++)
		rc |= remove_below(t.tops[i].fd, suffix);
	tops_close(&t);
	return rc;
}
