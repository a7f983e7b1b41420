#pragma once

#include "guest/agent/spawn.h"
#include "guest/agent/walls.h"
#include "guest/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROOT_MOUNTS = PROTO_MOUNTS };

/* A volume of a container. */
struct root_mount {
	char *serial, *path; /* owned; "" is a tmpfs, or a file's name */
	uint32_t flags;	     /* enum proto_mount_flags */
	uint32_t mode;	     /* of a tmpfs, as are these */
	uint32_t uid, gid;
	uint64_t tmp_bytes;
};

/* What a container's tree is made of. All is borrowed but the mounts, the
 * walls and the lines. */
struct root {
	const char *id;
	const char *image;  /* serial */
	const char *tree;   /* instead of an image, in tests: a directory */
	const char *base;   /* where containers' upper directories are */
	const char *resolv; /* contents of /etc/resolv.conf, or NULL */
	const char *addresses[2]; /* the machine's, for /etc/hosts, or "" */
	char **hosts;		  /* owned: lines for it; ends with NULL */
	uint64_t shm_bytes;
	const void *request; /* RUN as it came, for ready_take(); or NULL */
	size_t request_len;
	struct root_mount mounts[ROOT_MOUNTS];
	size_t mounts_len;
	struct walls *walls; /* owned; NULL: as docker has them */
};

/*
 * In the child, in mount, PID, UTS and IPC namespaces of its own: makes the
 * tree and makes it the root. Reports and exits if that fails.
 */
void root_enter(const struct spawn *sp, const struct root *root);

/*
 * The same in two halves: what depends on nothing but the image, and the rest,
 * for mounts that are no disks and no files.
 */
void root_begin(const struct spawn *sp, const struct root *root);
void root_finish(const struct spawn *sp, const struct root *root);

void root_fini(struct root *root);
