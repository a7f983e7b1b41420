#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include "api/ctl/containerd/rootfs.h"

/* A root file system that is an image, or a block device, as it is. */
struct disk {
	int fd; /* owned; to be read */
	struct stat st;
	uint64_t bytes; /* how long its file system is */
};

/*
 * Opens it where r is one, of a file system that the guest's kernel can mount:
 * 1; 0 where it is none, and what there is has to be packed.
 */
int disk_open(const struct rootfs *r, struct disk *d, struct err *e);
