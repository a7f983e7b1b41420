#pragma once

#include <stddef.h>
#include <sys/types.h>

/* A user as the container's /etc/passwd and /etc/group know it. */
struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t groups_len;
	char home[256];
};

/*
 * Resolves "uid[:gid[:group,group…]]", numbers or names, in the root that the
 * caller has. 0, or a negative errno with what could not be found in @what.
 */
int user_find(struct user *u, const char *text, char what[static 80]);
