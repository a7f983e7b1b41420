#pragma once

#include "guest/agent/session.h"

/* FORWARD. */
void forward_start(struct session *s, struct reader *r);
