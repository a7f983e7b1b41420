#pragma once

#include "guest/agent/session.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Containers' control groups: what GROUP, STATS and OOM of guest/proto.h
 * are about. One is made by GROUP, before its container; without, a container
 * is with all else in the root.
 */

/* The group's directory, or -1 where there is none of this @id. */
int group_fd(const char *id);

/* In a child that was born in its group: sees no other, and this one,
 * read-only unless it is_writable, where programs look for it. 0 or a negative
 * errno. */
int group_enter(bool is_writable);

/* Ends all that is in it, where it is there. */
void group_kill(const char *id);

/* Its container is gone, or was never made: so is it. Whether there was one. */
bool group_remove(struct bytes id);

/* The container's sessions that wait in OOM are answered: no more will come. */
void group_ended(const char *id);

/* At the agent's end, for tests, where the host's go on. */
void groups_fini(void);

/* The requests. */
void group_limit(struct session *s, struct reader *r);
void group_stats(struct session *s, struct reader *r);
void group_oom(struct session *s, struct reader *r);
