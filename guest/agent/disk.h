#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The new mount calls (Linux 5.2 and 5.12), which musl does not wrap. @options
 * is "name=value,name" or NULL, @attributes are MOUNT_ATTR_…. Descriptors
 * or 0, or a negative errno.
 */
int mount_detached(const char *type, const char *source, const char *options,
		   uint64_t attributes);
/* Another mount of what lies at @path. */
int mount_clone(int dir_fd, const char *path, uint64_t attributes);
int mount_attach(int mount_fd, int dir_fd, const char *path);

/*
 * Mounts the block device with a serial, without a place yet, by the file
 * system that is on it. A descriptor for mount_attach(), or a negative errno:
 * ENXIO without such a device, EINVAL for a file system that is not known.
 */
int disk_mount(const char *serial, uint64_t attributes);
