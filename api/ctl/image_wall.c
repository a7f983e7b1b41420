/*
 * Two things are asked of the wall. Whatever a layer makes umoci do, nothing
 * outside the import's folder is written: that is Landlock. And no device node
 * is ever made on this machine: that is the user namespace, in which umoci puts
 * empty files in their place. It also takes from a root's umoci all rights over
 * the rest of the machine.
 */
#include "api/ctl/image_wall.h"

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

/*
 * Root sees the same user numbers inside as outside, all but one: the whole
 * range would look to umoci as if there were no namespace. Anybody else has
 * one user number, which is root inside.
 */
static int wall_user(void)
{
	const unsigned uid = geteuid();
	const unsigned gid = getegid();
	char users[48] = "0 0 4294967294";
	char groups[48] = "0 0 4294967294";
	int r;

	if (uid) {
		snprintf(users, sizeof(users), "0 %u 1", uid);
		snprintf(groups, sizeof(groups), "0 %u 1", gid);
	}
	if (unshare(CLONE_NEWUSER))
		return -errno;
	r = uid ? write_text("/proc/self/setgroups", "deny") : 0;
	if (!r)
		r = write_text("/proc/self/uid_map", users);
	return r ? r : write_text("/proc/self/gid_map", groups);
}

int image_wall_enter(unsigned kinds, int folder)
{
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (kinds & IMAGE_WALL_USER)
		r = wall_user();
	/* Last: the maps are written below /proc. */
	if (!r && (kinds & IMAGE_WALL_WRITES))
		r = wall_writes(folder);
	return r;
}
