#pragma once

#include <stdint.h>

#include "vmm/base/err.h"

/*
 * A socket that listens at "ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:PATH",
 * where a socket that nobody listens at makes room. Returns its descriptor or a
 * negative errno; where gets how it is called.
 */
int listener_open(const char *text, char where[160], struct err *e);
