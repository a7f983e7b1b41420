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

/*
 * "65536k", as tmpfs has its size: 0, which is as is usual, for shares of the
 * memory ("50%") and for what makes no sense.
 */
uint64_t spec_mount_bytes(const char *text);
