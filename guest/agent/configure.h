#pragma once

#include "guest/agent/session.h"

/* CONFIGURE, IDENTITY and RENEW; each answers for itself. */
void configure_machine(struct session *s, struct reader *r);
void configure_identity(struct session *s, struct reader *r);
void configure_renew(struct session *s, struct reader *r);
