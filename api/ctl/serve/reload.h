#pragma once

#include <stdbool.h>

#include "api/ctl/serve/maker.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * Functions are to be read anew, which may mean to fetch images. That is tried
 * by a child first (maker.h), which fetches what there is to be fetched; when
 * it found nothing wrong, to read them here takes no time.
 */
struct reload {
	struct loop *loop;	  /* borrowed */
	const char *const *words; /* borrowed: of mayctl, the trial */
	/* It may be read. Returns 0 or a negative errno with a sentence. */
	int (*read)(struct reload *r, struct err *e);
	struct maker maker;
	struct loop_timer timer;
	bool is_wanted; /* once more, when the child has ended */
};

/* Asks for it: one at a time, and one more for all who ask meanwhile. */
void reload_ask(struct reload *r);

/* Accepts a zeroed one. */
void reload_fini(struct reload *r);
