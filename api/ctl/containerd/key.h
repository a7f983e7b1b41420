#pragma once

#include <stdbool.h>

#include "api/ctl/containerd/rootfs.h"

enum { KEY_SIZE = 65 };

/*
 * What a root file system is of, as a key of what is kept of it: containerd's
 * committed snapshots never change, so an overlay of such, to which nothing was
 * written, is known by them. False where there is no telling.
 */
bool key_of(const struct rootfs *r, char hex[KEY_SIZE]);
