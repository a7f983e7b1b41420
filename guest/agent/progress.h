#pragma once

#include "guest/agent/session.h"

/* Has PROGRESS sent on a session until its request is answered. */
void progress_watch(struct session *s);
