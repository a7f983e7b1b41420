#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Files of control groups (cgroup v2, Documentation/admin-guide/cgroup-v2.rst),
 * in a mount that nobody else sees. Paths are from its root.
 */
enum { CGROUP_NAME = 64 };

/* The root, mounted when it is first asked for; or a negative errno. */
int cgroup_root(void);

/* A group of the agent's own in the root, made if it is missing; @name is ""
 * before it is. 0 or a negative errno. */
int cgroup_own(const char *prefix, char name[static CGROUP_NAME]);

/* Reads at most @size - 1 bytes and ends them with a NUL; -1 without it. */
ssize_t cgroup_read(int dir_fd, const char *path, char *text, size_t size);

/* One write; 0 or a negative errno. */
int cgroup_write(int dir_fd, const char *path, const char *text);

/* A group and those in it, which its processes may have made; 0 or a negative
 * errno, and some are left, while processes are in them. */
int cgroup_remove(int dir_fd, const char *path);
