/*
 * Block devices by their serial, mounted detached: what is mounted is put into
 * a container's tree only after that has become the root, so that no symbolic
 * link in it leads anywhere else.
 */
#include "guest/agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SERIAL_MAX = 20, DISKS = 26 };

int mount_detached(const char *type, const char *source, const char *option,
		   bool is_read_only)
{
	const int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	long rc = fs < 0 ? -1 : 0;
	char value[64] = "";
	const char *eq = option ? strchr(option, '=') : NULL;
	int fd = -1, error;

	if (!rc && source)
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source",
			     source, 0);
	if (!rc && is_read_only && source)
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL,
			     0);
	if (!rc && eq) {
		snprintf(value, sizeof(value), "%.*s", (int)(eq - option),
			 option);
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, value,
			     eq + 1, 0);
	}
	if (!rc)
		rc = syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL,
			     0);
	if (!rc)
		fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
				  is_read_only ? MOUNT_ATTR_RDONLY : 0);
	error = errno;
	if (fs >= 0)
		close(fs);
	return fd < 0 ? -error : fd;
}

int mount_attach(int mount_fd, int dir_fd, const char *path)
{
	return syscall(SYS_move_mount, mount_fd, "", dir_fd, path,
		       MOVE_MOUNT_F_EMPTY_PATH)
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
		return true;
	}
	return false;
}

int disk_mount(const char *serial, bool is_read_only)
{
	const char *type;
	char path[16];

	if (!*serial || !disk_find(serial, path))
		return -ENXIO;
	type = type_of(path);
	if (!type)
		return -EINVAL;
	return mount_detached(type, path, NULL,
			      is_read_only || strcmp(type, "ext4") != 0);
}
