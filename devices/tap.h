#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * One queue of a tap interface of the host, by which we read and write
 * Ethernet frames, each behind a header of virtio-net's form. A tap made with
 * multi_queue has several; all but the first are reserved and attached later.
 *
 * Whether the interface is up, what addresses and what MTU it has is its
 * owner's business.
 */
enum { TAP_HEADER = 12, TAP_NAME = 16 };

/* What may come out of a tap beside plain frames: TUN_F_* of Linux. */
enum tap_offload {
	TAP_CSUM = 0x01, /* checksums to be completed; the others need it */
	TAP_TSO4 = 0x02,
	TAP_TSO6 = 0x04,
	TAP_ECN = 0x08,
	TAP_UFO = 0x10,
	TAP_USO4 = 0x20, /* Linux 6.2; only both at once */
	TAP_USO6 = 0x40,
	TAP_ALL = 0x7f,
};

struct tap {
	int fd; /* owned, non-blocking; -1 while closed */
	bool is_multi;
	bool is_attached;  /* frames go in and out */
	uint32_t offloads; /* what this host knows of enum tap_offload */
	char name[TAP_NAME];
};

/*
 * Opens the interface of that name, or makes it where it is missing and we
 * may. All offloads are off. is_multi says whether several queues are wanted
 * and then whether they can be had. The error says what is wrong with the
 * interface and what to do.
 */
int tap_open(struct tap *t, const char *name, bool want_multi, struct err *e);

/*
 * The same for a tap that somebody opened already. Takes fd over on success
 * only; name is for messages alone and may be NULL.
 */
int tap_adopt(struct tap *t, int fd, const char *name, struct err *e);

/* Makes t another queue of first, which has is_multi; not attached yet. */
int tap_reserve(struct tap *t, const struct tap *first, struct err *e);

/*
 * Lets frames in and out of a queue, or no longer; what waits in it is lost
 * then. 0 or a negative errno. May take milliseconds.
 */
int tap_attach(struct tap *t, bool is_attached);

/* Which of enum tap_offload may come out, of all queues. 0 or an errno. */
int tap_set_offloads(const struct tap *t, uint32_t offloads);

/* Accepts a tap that was never opened but whose fd is -1 or 0. */
void tap_close(struct tap *t);
