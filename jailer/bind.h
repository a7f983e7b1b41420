#pragma once

#include <stdbool.h>

#include "jailer/path.h"
#include "vmm/base/err.h"

/*
 * Devices of the host that its user may open, mounted into the jail: without
 * root nobody can make nodes.
 */
enum { BIND_MAX = 4 };

struct bind {
	int trees[BIND_MAX]; /* owned; detached mounts, or 0 */
};

/*
 * Takes hold of /dev/kvm, /dev/net/tun and, unless is_minimal, /dev/urandom and
 * /dev/userfaultfd. In the new mount namespace, before it loses the host's
 * files. Without /dev/kvm there is no point; what else is missing or closed to
 * the user is left out. Returns 0 or a negative errno with a sentence.
 */
int bind_take(struct bind *b, bool is_minimal, struct err *e);

/* Mounts what was taken upon files in /dev. In the jail. */
int bind_attach(struct bind *b, struct path_made *made, struct err *e);
