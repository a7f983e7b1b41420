#pragma once

#include "api/ctl/containerd/rootfs.h"
#include "vmm/event/loop.h"

/* A root file system that is being packed, in a loop. Accepts being zeroed. */
struct packer {
	/* The owner's: once; e->code is 0 where all went well. */
	void (*packed)(struct packer *p, const struct err *e);
	struct loop *loop; /* borrowed; NULL: nothing is packed */
	struct loop_watch watch;
	struct err why;
	pid_t pid;
	int fd; /* owned */
	char said[sizeof(struct rootfs_found)];
	size_t said_len;
	/* Of packed(): a file that is the image instead, to be taken with
	 * fd_steal(); or -1. */
	int found_fd;
	const char *found;
};

/* Begins to have r in image, or, where r says so, in what was found. */
int packer_begin(struct packer *p, struct loop *loop, const struct rootfs *r,
		 const char *image, struct err *e);

/* Whatever is still done is ended. */
void packer_end(struct packer *p);
