#pragma once

#include "guest/agent/user.h"
#include "guest/agent/wire.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The sets of capabilities(7): bit n is capability n. */
struct rights_sets {
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

/* What a process may do, and what it may ask of the kernel at all. */
struct rights {
	struct rights_sets sets;
	/* The others follow from the bounding and the ambient set, and from who
	 * the user is, unless they are told apart. */
	bool are_apart;
	bool has_no_new_privs;
	bool has_umask, has_score;
	uint32_t umask;
	int32_t score; /* oom_score_adj */
	/* A seccomp filter; NULL for none. */
	struct sock_filter *filter; /* the container's */
	size_t filter_len;
	uint32_t filter_flags;
};

/* struct proto_security: false where it makes no sense. */
bool rights_read(struct rights *r, struct reader *from);

/* What an EXEC does not say of its own is as its container's are. */
void rights_inherit(struct rights *r, const struct rights *from);

/* In a child that still sees the agent's /proc. 0 or a negative errno. */
int rights_score(const struct rights *r);

/*
 * In a child, the last but exec(): becomes the user, with these rights. 0, or a
 * negative errno and what could not be set in @what.
 */
int rights_take(const struct rights *r, const struct user *u,
		const char **what);

/* Keeps, of a child's capabilities, only those of @sets. 0 or -errno. */
int rights_limit(const struct rights_sets *sets);
