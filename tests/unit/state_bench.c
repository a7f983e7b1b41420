/* Devices are saved and loaded, as a machine would and as it should not. */
#include "tests/unit/state_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/clock.h"
#include "vmm/state/visit.h"

enum { MUTATIONS = 10000, WAITS_MAX = 10000 };

void state_hold(struct fake_host *h)
{
	unsigned waits;

	for (waits = 0; !h->device->ops->hold(h->device); waits++) {
		assert_true(waits < WAITS_MAX);
		fake_host_turn(h, 64);
		clock_rest();
	}
}

struct saved state_save(struct fake_host *h)
{
	const struct device_ops *ops = h->device->ops;
	struct saved s;
	struct visitor w;
	struct err e;

	visitor_save(&w, ops->state, &e);
	ops->visit(h->device, &w);
	assert_int_equal(visitor_end(&w), 0);
	s = (struct saved){.data = malloc(w.len + 1), .len = w.len};
	assert_non_null(s.data);
	memcpy(s.data, w.data, w.len);
	visitor_fini(&w);
	return s;
}

int state_save_fails(struct fake_host *h, struct err *e)
{
	struct visitor w;
	int rc;

	visitor_save(&w, h->device->ops->state, e);
	h->device->ops->visit(h->device, &w);
	rc = visitor_end(&w);
	visitor_fini(&w);
	return rc;
}

void state_free(struct saved *s)
{
	free(s->data);
	*s = (struct saved){0};
}

int state_load(struct fake_host *h, const struct saved *s, struct err *e)
{
	struct visitor w;

	e->text[0] = '\0';
	visitor_load(&w, s->data, s->len, h->device->ops->state, e);
	h->device->ops->visit(h->device, &w);
	return visitor_end(&w);
}

void state_go_on(struct fake_host *h)
{
	fake_settle(h);
	h->device->ops->release(h->device);
	assert_true(fake_host_turn(h, 1000) < 1000);
}

struct saved state_take(struct fake_host *h)
{
	struct saved s;

	state_hold(h);
	s = state_save(h);
	state_go_on(h);
	return s;
}

void state_put(struct fake_host *h, const struct saved *s)
{
	struct err e;

	state_hold(h);
	if (state_load(h, s, &e))
		fail_msg("%s", e.text);
	state_go_on(h);
}

void state_expect_same(const struct saved *a, const struct saved *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

/* A copy of its own size, so that a sanitizer sees what reads behind it. */
static void try(struct fake_host *h, const uint8_t *data, size_t len,
		void (*probe)(void))
{
	struct saved s = {.data = malloc(len ? len : 1), .len = len};
	struct err e;

	assert_non_null(s.data);
	memcpy(s.data, data, len);
	state_hold(h);
	if (state_load(h, &s, &e))
		assert_true(strlen(e.text) > 0);
	state_free(&s);
	state_go_on(h);
	probe();
}

void state_mutate(struct fake_host *h, const struct saved *s,
		  void (*probe)(void))
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	struct fake_random random = {.state = 20261126};
	uint8_t *data = malloc(s->len + 8);
	unsigned i, j, n;
	size_t at;

	assert_non_null(data);
	for (at = 0; at < s->len; at++)
		for (i = 0; i < sizeof(flips); i++) {
			memcpy(data, s->data, s->len);
			data[at] ^= flips[i];
			try(h, data, s->len, probe);
		}
	memcpy(data, s->data, s->len);
	memset(data + s->len, 0, 8);
	for (at = 0; at < s->len + 8; at++)
		try(h, data, at, probe);
	for (i = 0; i < MUTATIONS; i++) {
		memcpy(data, s->data, s->len);
		n = 1 + fake_random_below(&random, 6);
		for (j = 0; j < n; j++)
			data[fake_random_below(&random, (uint32_t)s->len)] =
				(uint8_t)fake_random(&random);
		try(h, data, s->len, probe);
	}
	free(data);
}
