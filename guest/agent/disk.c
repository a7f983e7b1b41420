/*
 * Block devices by their serial, mounted detached: what is mounted is put into
 * a container's tree only after that has become the root, so that no symbolic
 * link in it leads anywhere else.
 */
#include "guest/agent/disk.h"

#include "guest/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	SERIAL_MAX = 20,
	DISKS = 26,
	AWAIT_TRIES = 2000,
	AWAIT_NS = 1000000,
};

static int options_set(int fs, const char *options)
{
	char copy[128], *at = copy, *item;

	snprintf(copy, sizeof(copy), "%s", options);
	while ((item = strsep(&at, ","))) {
		char *value = strchr(item, '=');

		if (value)
			*value++ = '\0';
		if (syscall(SYS_fsconfig, fs,
			    value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
			    item, value, 0))
			return -1;
	}
	return 0;
}

int mount_detached(const char *type, const char *source, const char *options,
		   uint64_t attributes)
{
	const int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	long rc = fs < 0 ? -1 : 0;
	int fd = -1, error;

	if (!rc && source)
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source",
			     source, 0);
	if (!rc && attributes & MOUNT_ATTR_RDONLY && source)
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL,
			     0);
	if (!rc && options)
		rc = options_set(fs, options);
	if (!rc)
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL,
			     0);
	if (!rc)
		fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
				  (unsigned)attributes);
	error = errno;
	if (fs >= 0)
		close(fs);
	return fd < 0 ? -error : fd;
}

int mount_clone(int dir_fd, const char *path, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes};
	const int fd = (int)syscall(SYS_open_tree, dir_fd, path,
				    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	if (!syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr,
		     sizeof(attr)))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* A symbolic link at @path is followed: it leads to a place in this root. */
int mount_attach(int mount_fd, int dir_fd, const char *path)
{
	return syscall(SYS_move_mount, mount_fd, "", dir_fd, path,
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS)
		       ? -errno
		       : 0;
}

/* What a disk's first bytes say; NULL if nothing known. */
static const char *type_of(const char *path)
{
	static const uint8_t erofs[] = {0xe2, 0xe1, 0xf5, 0xe0};
	static const uint8_t ext4[] = {0x53, 0xef};
	uint8_t block[2048] = {0};
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	if (read(fd, block, sizeof(block)) < 1088) {
		close(fd);
		return NULL;
	}
	close(fd);
	if (!memcmp(block + 1024, erofs, sizeof(erofs)))
		return "erofs";
	if (!memcmp(block + 1080, ext4, sizeof(ext4)))
		return "ext4";
	return memcmp(block, "hsqs", 4) ? NULL : "squashfs";
}

/*
 * A disk that was only a place has the length of its own when the driver has
 * heard of it, which is soon after the load.
 */
static void disk_await(const char *name)
{
	const struct timespec pause = {.tv_nsec = AWAIT_NS};
	char path[32], text[24];

	snprintf(path, sizeof(path), "/sys/block/%s/size", name);
	for (int i = 0; i < AWAIT_TRIES; i++) {
		const int fd = open(path, O_RDONLY | O_CLOEXEC);
		const ssize_t n = fd < 0 ? -1
					 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		if (n < 0)
			return;
		text[n] = '\0';
		if (strtoull(text, NULL, 10) * 512 != PROTO_SPARE_BYTES)
			return;
		nanosleep(&pause, NULL);
	}
}

/* "/dev/vdX" of a serial; false without one. */
static bool disk_find(const char *serial, char path[static 16])
{
	char name[32], text[SERIAL_MAX + 2];

	for (int i = 0; i < DISKS; i++) {
		ssize_t n = -1;
		int fd;

		snprintf(name, sizeof(name), "/sys/block/vd%c/serial", 'a' + i);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (n < 0)
			continue;
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (strncmp(text, serial, SERIAL_MAX) != 0)
			continue;
		snprintf(path, 16, "/dev/vd%c", 'a' + i);
		disk_await(path + 5);
		return true;
	}
	return false;
}

int disk_mount(const char *serial, uint64_t attributes)
{
	const char *type;
	char path[16];

	if (!*serial || !disk_find(serial, path))
		return -ENXIO;
	type = type_of(path);
	if (!type)
		return -EINVAL;
	if (strcmp(type, "ext4") != 0)
		attributes |= MOUNT_ATTR_RDONLY;
	return mount_detached(type, path, NULL, attributes);
}
