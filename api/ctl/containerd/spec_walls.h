#pragma once

#include "api/ctl/containerd/spec.h"

/*
 * The parts of spec_read() that are about the container's walls, as
 * runtime-spec's config-linux.md has them and runc carries them out. Each is
 * bounded, and an error with a sentence where it can't be had.
 */

/* Paths that are hidden or fixed, sysctls, propagation, the kernel's own
 * mounts; the names of namespaces. */
int spec_take_walls(struct spec *s, struct err *e);

/* Device nodes, and the rules for who may use which. */
int spec_take_devices(struct spec *s, struct err *e);

/* The seccomp profile, which becomes a filter for this machine's processor. */
int spec_take_seccomp(struct spec *s, struct err *e);

/* A number of at least 0 and at most max; false for what is none. */
bool spec_number(const json_t *json, double max, uint64_t *out);
