#pragma once

#include "guest/agent/container.h"
#include "guest/agent/root.h"
#include "guest/agent/spawn.h"
#include "guest/agent/wire.h"

/* Whether an id is as guest/proto.h has them; it ends with a NUL. */
bool plan_id_is_good(const char *id, size_t len);

/* What RUN and EXEC have in common; false if it makes no sense. */
bool plan_process(struct spawn *sp, struct reader *r);

/* At the end of both: what PROTO_SECURITY is about, where it is told. */
void plan_rights(struct spawn *sp, struct reader *r);

/*
 * A whole RUN. What the container keeps of it is moved to @c, which @sp and
 * @root borrow from. A reader that is bad in the end says that it is wrong.
 */
void plan_container(struct container *c, struct spawn *sp, struct root *root,
		    struct reader *r);
