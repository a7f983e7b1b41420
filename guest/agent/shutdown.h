#pragma once

#include "guest/agent/session.h"

/* SHUTDOWN. */
void shutdown_begin(struct session *s, struct reader *r);
