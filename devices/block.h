#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/* A virtio-block device on a file (virtio 1.2, 5.2). */
struct block_config {
	const char *id;	  /* also what get-id tells, its first 20 bytes */
	const char *path; /* regular file or block device, raw */
	bool is_read_only;
	/*
	 * What the guest flushes reaches stable storage. Without, the disk
	 * claims to have no cache, as if everything written were safe, and a
	 * crash of the host may lose it.
	 */
	bool is_writeback;
};

/*
 * Opens the file. Strings are copied. Returns 0 or a negative errno with a
 * sentence that names the file. The device belongs to the loop thread.
 */
int block_new(struct device **out, const struct block_config *config,
	      struct err *e);
