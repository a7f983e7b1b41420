#pragma once

#include "guest/agent/session.h"

/* SHARED, the request. */
void share_renew(struct session *s, struct reader *r);
