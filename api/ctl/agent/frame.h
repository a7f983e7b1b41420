#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "guest/proto.h"
#include "vmm/base/err.h"

/*
 * Frames for the agent, put together in a session's memory: frame_begin(), what
 * is to be in it, frame_end().
 */

/* A payload in the making. What does not fit makes it over. */
struct payload {
	uint8_t *bytes;
	size_t len, max;
	bool is_over;
};

void frame_put(struct payload *p, const void *bytes, size_t len);
void frame_number(struct payload *p, uint32_t value);

/* NULL is one of no bytes. */
void frame_string(struct payload *p, const char *string);

/* A container's id as a plan has it. */
void frame_container(struct payload *p, const char *id);

/* Ends with NULL; NULL is one of no items. */
void frame_list(struct payload *p, const char *const *list);

/*
 * An interface, the first that there is; of RENEW with its hardware address, of
 * CONFIGURE with NULL.
 */
void frame_interface(struct payload *p, const struct session_network *n,
		     const char *mac);

/* The end of RUN and of EXEC, and then of RUN alone: guest/proto_security.h. */
void frame_rights(struct payload *p, const struct session_security *s);
void frame_walls(struct payload *p, const struct session_security *s);

/* Where the next frame's payload is to be written. */
struct payload frame_begin(struct session *s);

/* False where it did not fit, and then nothing of it is there. */
bool frame_end(struct session *s, const struct payload *p, uint8_t type,
	       uint8_t stream);

/* All of it for bytes that are there already. */
bool frame_send(struct session *s, uint8_t type, uint8_t stream,
		const void *bytes, size_t len);

/* RENEW, with fresh random numbers and the time. */
int frame_renew(struct session *s, const struct session_identity *who,
		struct err *e);

/* GROUP, with id and limits as struct session_plan has them. */
bool frame_group(struct session *s, const char *id, const char *const *limits);

/* The first frame of a session. */
int frame_greet(struct session *s, struct err *e);
