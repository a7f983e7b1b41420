#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The new mount calls (Linux 5.2), which musl does not wrap. */
int mount_detached(const char *type, const char *source, const char *option,
		   bool is_read_only);
int mount_attach(int mount_fd, int dir_fd, const char *path);

/*
 * Mounts the block device with a serial, without a place yet, by the file
 * system that is on it. A descriptor for mount_attach(), or a negative errno:
 * ENXIO without such a device, EINVAL for a file system that is not known.
 */
int disk_mount(const char *serial, bool is_read_only);
