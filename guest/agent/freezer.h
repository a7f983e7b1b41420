#pragma once

#include "guest/agent/session.h"

#include <stdbool.h>

/*
 * FREEZE and THAW: all processes of the guest but the agent stand still, so
 * that the first thing to happen after a machine has been saved and loaded is
 * what the host has to say.
 */
void freezer_freeze(struct session *s, struct reader *r);
void freezer_thaw(struct session *s, struct reader *r);

/* Lets all go on; nothing where none stands still. */
void freezer_release(void);

bool freezer_is_on(void);

/* For tests outside a VM: leaves nothing behind. */
void freezer_fini(void);
