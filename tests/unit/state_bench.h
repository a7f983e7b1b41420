#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/fake_driver.h"
#include "vmm/base/err.h"

/*
 * What the tests of saved state share: saving and loading the device of a fake
 * machine, whatever it is, as a machine does it, and bytes that are not what
 * was saved. They fail the test where they can't do their work.
 */
struct saved {
	uint8_t *data; /* owned; state_free() */
	size_t len;
};

/* Holds the device until nothing is in flight; saves it, still held. */
void state_hold(struct fake_host *h);
struct saved state_save(struct fake_host *h);
/* What a device says that can't be saved. */
int state_save_fails(struct fake_host *h, struct err *e);
void state_free(struct saved *s);

/* Loads a device that is held. 0, or a negative errno with a sentence. */
int state_load(struct fake_host *h, const struct saved *s, struct err *e);
/* What comes then: the device settles, is released and works till it rests. */
void state_go_on(struct fake_host *h);

/* Hold, save, go on; and hold, load, go on, which must succeed. */
struct saved state_take(struct fake_host *h);
void state_put(struct fake_host *h, const struct saved *s);

void state_expect_same(const struct saved *a, const struct saved *b);

/*
 * Loads s with every byte changed, cut everywhere, and 10,000 times changed at
 * random. Each load does or fails with a sentence; then the device goes on, and
 * probe(), which may reset it, is called.
 */
void state_mutate(struct fake_host *h, const struct saved *s,
		  void (*probe)(void));
