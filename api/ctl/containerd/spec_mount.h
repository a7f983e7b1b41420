#pragma once

#include "api/ctl/containerd/spec.h"

/*
 * What of the bundle's mounts the agent is to make. It makes /proc, /sys, /dev
 * and what is in them by itself. Files are copied; a directory of the host is
 * refused.
 */
int spec_take_mounts(struct spec *s, struct err *e);

/* What is copied of one mount. */
enum { SPEC_COPY_MAX = 4 << 20 };
