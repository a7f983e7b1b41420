/*
 * Two things are asked of the wall. Whatever a layer makes umoci do, nothing
 * outside the import's folder is written: that is Landlock. And no device node
 * is ever made on this machine: that is the user namespace, in which umoci puts
 * empty files in their place. It also takes from a root's umoci all rights over
 * the rest of the machine.
 */
#include "api/ctl/image/wall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* Of newer kernels than the build's headers may know. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

/* All writing; reading and executing stay as they are. */
static const uint64_t writing =
	LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
	LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
	LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
	LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
static const uint64_t nodes = LANDLOCK_ACCESS_FS_MAKE_CHAR |
			      LANDLOCK_ACCESS_FS_MAKE_BLOCK;

static int allow(int ruleset, int folder, uint64_t access)
{
	const struct landlock_path_beneath_attr rule = {
		.allowed_access = access,
		.parent_fd = folder,
	};

	return syscall(SYS_landlock_add_rule, ruleset,
		       LANDLOCK_RULE_PATH_BENEATH, &rule, 0)
		       ? -errno
		       : 0;
}

static int wall_writes(int folder)
{
	const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
				 LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = {.handled_access_fs = writing};
	CLEAN_FD int ruleset = -1;
	CLEAN_FD int null = open("/dev/null", O_PATH | O_CLOEXEC);
	int r;

	/* Without REFER nothing could be renamed between folders. */
	if (abi < 2)
		return 0;
	attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
			       sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return -errno;
	r = allow(ruleset, folder, attr.handled_access_fs & ~nodes);
	if (!r && null >= 0)
		r = allow(ruleset, null, LANDLOCK_ACCESS_FS_WRITE_FILE);
	if (!r && syscall(SYS_landlock_restrict_self, ruleset, 0))
		r = -errno;
	return r;
}

static int write_text(const char *path, const char *text)
{
	const size_t len = strlen(text);
	CLEAN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, len) != (ssize_t)len ? -errno : 0;
}

static int write_maps(const char *process, const char *users,
		      const char *groups)
{
	char path[48];
	int r;

	snprintf(path, sizeof(path), "/proc/%s/uid_map", process);
	r = write_text(path, users);
	snprintf(path, sizeof(path), "/proc/%s/gid_map", process);
	return r ? r : write_text(path, groups);
}

/* The namespace of one user: who is root inside is the caller outside. */
static int wall_user_self(void)
{
	char users[48];
	char groups[48];
	int r;

	snprintf(users, sizeof(users), "0 %u 1", geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1", getegid());
	if (unshare(CLONE_NEWUSER))
		return 0;
	r = write_text("/proc/self/setgroups", "deny");
	return r ? r : write_maps("self", users, groups);
}

/*
 * Root sees the same user numbers inside as outside, all but one: the whole
 * range would look to umoci as if there were no namespace. Such a map has to be
 * written from outside, by a child that was made before.
 */
static int wall_user_root(void)
{
	static const char map[] = "0 0 4294967294";
	char self[16];
	char go = 0;
	int pipes[2];
	int status;
	bool is_in;
	pid_t helper;
	int r = 0;

	snprintf(self, sizeof(self), "%d", getpid());
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	helper = fork();
	if (helper < 0)
		r = -errno;
	if (helper == 0) {
		close(pipes[1]);
		_exit(read(pipes[0], &go, 1) != 1 ||
		      write_maps(self, map, map));
	}
	close(pipes[0]);
	is_in = !r && !unshare(CLONE_NEWUSER);
	if (is_in && write(pipes[1], &go, 1) != 1)
		r = -errno;
	close(pipes[1]);
	if (helper > 0 && (waitpid(helper, &status, 0) != helper || status) &&
	    is_in && !r)
		r = -EPERM;
	return r;
}

int image_wall_enter(unsigned kinds, int folder)
{
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (kinds & IMAGE_WALL_USER)
		r = geteuid() ? wall_user_self() : wall_user_root();
	/* Last: the maps are written below /proc. */
	if (!r && (kinds & IMAGE_WALL_WRITES))
		r = wall_writes(folder);
	return r;
}
