#pragma once

#include "vmm/base/err.h"

/* The machine on which it was measured, as far as figures depend on it. */
struct host {
	char name[128];
	char time[32]; /* UTC, ISO 8601 */
	char cpu[128];
	long cpus;
	char memory[32];
	char kernel[256];
	char kvm[64]; /* the module: kvm_intel … */
	char governor[64];
	char virtual[64]; /* what the machine itself runs on, "" for metal */
	char huge_pages[64];
};

/* What can't be told is "unknown". */
void host_read(struct host *h);

/*
 * Whether we can use KVM. -EOPNOTSUPP, with a sentence that says what to do,
 * where we can't.
 */
int host_check_kvm(struct err *e);

/*
 * Whether KVM runs kernels here: kvm_pvm has no virtual processor for the
 * firmware-like start of one, and only runs bare guests of the benches.
 */
const char *host_no_kernels(const struct host *h);
