#pragma once

#include <limits.h>
#include <stdbool.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/program.h"
#include "vmm/base/err.h"

/* A guest with Linux, in each monitor's own words. */

enum { GUEST_ARGS_MAX = 2000, GUEST_TEXT_MAX = PATH_MAX + 128 };

struct guest {
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
	char args[GUEST_ARGS_MAX]; /* the kernel's command line */
	int mib;
	const char *disk;   /* read-only; NULL for none */
	const char *tap;    /* NULL for none */
	const char *socket; /* of vsock, where it is a Unix socket; or NULL */
	unsigned cid;	    /* 0: no vsock */
};

/* What of it differs from one monitor to the next. */
struct guest_how {
	const char *program;
	const char *huge_pages; /* as mayfly has them: "Transparent", "None" */
	const char *engine;	/* of the disk */
	const char *machine;	/* QEMU's, NULL: as small as it goes */
	bool has_vhost;		/* the tap's packets, in QEMU */
};

/* A monitor's command, and what its words point to. */
struct guest_words {
	const char *argv[SPAWN_WORDS_MAX];
	char text[4][GUEST_TEXT_MAX];
	char mib[16];
};

/*
 * -EOPNOTSUPP, with a sentence that says what to do, where no Linux can run;
 * name is the bench's.
 */
int guest_check(const struct bench *b, const char *name, struct err *e);

/* Its kernel and the initrd of that name, as built or installed. */
int guest_find(struct guest *g, const char *initrd, struct err *e);

/*
 * mayfly, and whoever speaks its language: a file at path with all of it, which
 * the command names.
 */
int guest_mayfly(struct guest_words *w, const struct guest *g,
		 const struct guest_how *how, const char *path, struct err *e);

/* QEMU's microvm machine. */
void guest_qemu(struct guest_words *w, const struct guest *g,
		const struct guest_how *how);

/* The bench's pace for what boots: one boot warms the caches. */
struct pace guest_pace(const struct bench *b);
