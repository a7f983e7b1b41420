#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/containerd/host.h"
#include "api/ctl/containerd/spec.h"
#include "vmm/base/err.h"

/*
 * What a microVM is to be: as configured, but where the annotations of its
 *first container, which are a pod's own, say otherwise:
 *
 *	io.mayfly.vcpus, io.mayfly.memory_mib   numbers
 *	io.mayfly.kernel                        a file's name in "kernels"
 *	io.mayfly.warm                          true or false
 */
struct wishes {
	uint32_t vcpus;
	uint64_t memory_mib;
	char kernel[PATH_MAX]; /* "": as installed */
	bool is_warm;
};

/*
 * Whoever writes a pod writes its annotations, so what is not allowed there, or
 * makes no sense, is refused with a sentence.
 */
int wishes_read(struct wishes *w, const struct host_config *c,
		const struct spec *s, struct err *e);
