#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * A user for each monitor that root starts, out of a range that nobody else
 * has: the line `mayfly:START:COUNT` of /etc/subuid, else UIDS_FIRST and
 * UIDS_COUNT, which systemd's and Debian's lists of ranges have free. The same
 * numbers are taken for groups.
 *
 * A claim is a file of the uid's name in UIDS_DIR, one place for all of the
 * host. It is locked until the monitor's process has written itself into it;
 * from then on it holds as long as that process lives. So whoever is killed,
 * no claim outlives its monitor, and none ends before it.
 */

#define UIDS_DIR "/run/mayfly-uids"

enum { UIDS_FIRST = 1879048192, UIDS_COUNT = 65536 };

struct uid_claim {
	uid_t uid; /* 0 for none */
	int fd;	   /* owned; locked */
};

/* Takes a uid that no live monitor has. Returns 0 or a negative errno. */
int uids_claim(struct uid_claim *c, struct err *e);

/*
 * Writes this process, which becomes the monitor, into fd: "PID START". Calls
 * nothing that a fresh clone may not.
 */
int uids_write_self(int fd);

/*
 * Gives a claim back whose monitor never was, or is gone; gone() is called
 * while nobody else can have the uid, and says other than 0 where something of
 * it is still there: then the claim stays, for uids_sweep(). One that is held,
 * by whoever has it now, is left alone.
 */
void uids_release(uid_t uid, int (*gone)(uid_t uid));

/* The same for all claims. */
void uids_sweep(int (*gone)(uid_t uid));

/* Reads text as it stands in subuid(5); false where it names no range of us. */
bool uids_parse_range(const char *text, uid_t *first, uid_t *count);
