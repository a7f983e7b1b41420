/* The bus: who answers at an address, and what happens where nobody does. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/kvm/bus.h"

/* A device that remembers the last access. */
struct probe {
	struct mutex lock;
	unsigned reads;
	unsigned writes;
	uint64_t offset;
	uint32_t len;
	uint64_t data;
	bool was_locked;
};

static bool is_locked(struct mutex *m)
{
	if (pthread_mutex_trylock(&m->inner))
		return true;
	pthread_mutex_unlock(&m->inner);
	return false;
}

static void probe_read(void *owner, uint64_t offset, void *data, uint32_t len)
{
	struct probe *p = owner;

	p->reads++;
	p->offset = offset;
	p->len = len;
	p->was_locked = is_locked(&p->lock);
	memcpy(data, &p->data, len);
}

static void probe_write(void *owner, uint64_t offset, const void *data,
			uint32_t len)
{
	struct probe *p = owner;

	p->writes++;
	p->offset = offset;
	p->len = len;
	p->was_locked = is_locked(&p->lock);
	p->data = 0;
	memcpy(&p->data, data, len);
}

static int probe_add(struct bus *b, struct probe *p, uint64_t base,
		     uint64_t size)
{
	const struct bus_range range = {
		.base = base,
		.size = size,
		.read = probe_read,
		.write = probe_write,
		.owner = p,
		.lock = &p->lock,
	};
	struct err e = {0};
	int rc;

	if (p)
		mutex_init(&p->lock);
	rc = bus_add(b, &range, &e);
	assert_int_equal(rc, e.code);
	assert_int_equal(!rc, !e.text[0]);
	return rc;
}

/* All ones: nobody answered. */
static bool is_unclaimed(struct bus *b, uint64_t addr, uint32_t len)
{
	const uint64_t before = b->unclaimed;
	uint8_t data[16], ones[16];

	memset(ones, 0xff, sizeof(ones));
	memset(data, 0x5a, sizeof(data));
	bus_read(b, addr, data, len);
	bus_write(b, addr, data, len);
	if (b->unclaimed == before)
		return false;
	assert_int_equal(b->unclaimed, before + 2);
	assert_memory_equal(data, ones, len);
	if (len < sizeof(data))
		assert_int_equal(data[len], 0x5a);
	return true;
}

static void an_access_reaches_its_device_with_the_lock_held(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};
	uint32_t word = 0xdeadbeef;

	(void)state;
	assert_int_equal(probe_add(&bus, &p, 0x1000, 0x100), 0);
	bus_write(&bus, 0x1010, &word, 4);
	assert_int_equal(p.writes, 1);
	assert_int_equal(p.offset, 0x10);
	assert_int_equal(p.len, 4);
	assert_int_equal(p.data, 0xdeadbeef);
	assert_true(p.was_locked);
	word = 0;
	p.was_locked = false;
	bus_read(&bus, 0x1000, &word, 4);
	assert_int_equal(p.reads, 1);
	assert_int_equal(p.offset, 0);
	assert_int_equal(word, 0xdeadbeef);
	assert_true(p.was_locked);
	assert_false(is_locked(&p.lock));
	assert_int_equal(bus.unclaimed, 0);
}

static void an_empty_bus_reads_as_ones(void **state)
{
	struct bus bus = {0};

	(void)state;
	assert_true(is_unclaimed(&bus, 0, 1));
	assert_true(is_unclaimed(&bus, 0xd0000000, 8));
	assert_true(is_unclaimed(&bus, UINT64_MAX, 4));
}

static void a_range_ends_where_it_ends(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};

	(void)state;
	assert_int_equal(probe_add(&bus, &p, 0x1000, 0x10), 0);
	assert_true(is_unclaimed(&bus, 0xfff, 1));
	assert_false(is_unclaimed(&bus, 0x1000, 1));
	assert_false(is_unclaimed(&bus, 0x100f, 1));
	assert_true(is_unclaimed(&bus, 0x1010, 1));
}

static void an_access_across_an_end_is_nobodys(void **state)
{
	struct bus bus = {0};
	struct probe p = {0}, q = {0};

	(void)state;
	assert_int_equal(probe_add(&bus, &p, 0x1000, 0x10), 0);
	assert_int_equal(probe_add(&bus, &q, 0x1010, 0x10), 0);
	assert_true(is_unclaimed(&bus, 0x0ffe, 4));
	assert_true(is_unclaimed(&bus, 0x100e, 4));
	assert_true(is_unclaimed(&bus, 0x101f, 2));
	assert_false(is_unclaimed(&bus, 0x100c, 4));
	assert_false(is_unclaimed(&bus, 0x1010, 8));
	assert_int_equal(p.reads + p.writes, 2);
	assert_int_equal(q.reads + q.writes, 2);
}

static void odd_widths_never_reach_a_device(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};
	uint32_t len;

	(void)state;
	assert_int_equal(probe_add(&bus, &p, 0, 0x1000), 0);
	for (len = 0; len <= 16; len++) {
		bool is_width = len == 1 || len == 2 || len == 4 || len == 8;

		assert_int_equal(is_unclaimed(&bus, 0x20, len), !is_width);
	}
	assert_int_equal(p.reads, 4);
	assert_int_equal(p.writes, 4);
}

static void a_device_may_leave_reads_or_writes_out(void **state)
{
	struct bus bus = {0};
	const struct bus_range range = {.base = 0x60, .size = 8};
	uint64_t data = UINT64_MAX;

	(void)state;
	assert_int_equal(bus_add(&bus, &range, NULL), 0);
	bus_read(&bus, 0x60, &data, 4);
	assert_int_equal(data, 0xffffffff00000000);
	bus_write(&bus, 0x60, &data, 8);
	assert_int_equal(bus.unclaimed, 0);
}

static void a_read_never_shows_what_lay_in_the_buffer(void **state)
{
	struct bus bus = {0};
	const struct bus_range silent = {.base = 0, .size = 16};
	uint8_t data[8];

	(void)state;
	assert_int_equal(bus_add(&bus, &silent, NULL), 0);
	memset(data, 0x77, sizeof(data));
	bus_read(&bus, 0, data, 8);
	assert_memory_equal(data, "\0\0\0\0\0\0\0\0", 8);
}

static bool quick_at_four(void *owner, uint64_t offset, void *data,
			  uint32_t len, bool is_write)
{
	struct probe *p = owner;

	assert_false(is_locked(&p->lock));
	if (offset != 4)
		return false;
	if (is_write)
		memcpy(&p->data, data, len);
	else
		memset(data, 0x11, len);
	return true;
}

static void a_quick_access_takes_no_lock(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};
	const struct bus_range range = {
		.base = 0,
		.size = 16,
		.read = probe_read,
		.write = probe_write,
		.quick = quick_at_four,
		.owner = &p,
		.lock = &p.lock,
	};
	uint32_t word = 7;

	(void)state;
	mutex_init(&p.lock);
	assert_int_equal(bus_add(&bus, &range, NULL), 0);
	bus_write(&bus, 4, &word, 4);
	assert_int_equal(p.data, 7);
	bus_read(&bus, 4, &word, 4);
	assert_int_equal(word, 0x11111111);
	assert_int_equal(p.reads + p.writes, 0);
	bus_read(&bus, 8, &word, 4);
	bus_write(&bus, 8, &word, 4);
	assert_int_equal(p.reads, 1);
	assert_int_equal(p.writes, 1);
	assert_true(p.was_locked);
}

static void ranges_that_meet_are_refused(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};

	(void)state;
	assert_int_equal(probe_add(&bus, &p, 0x1000, 0x100), 0);
	assert_int_equal(probe_add(&bus, &p, 0x1000, 0x100), -EEXIST);
	assert_int_equal(probe_add(&bus, &p, 0x1000, 1), -EEXIST);
	assert_int_equal(probe_add(&bus, &p, 0x10ff, 1), -EEXIST);
	assert_int_equal(probe_add(&bus, &p, 0xfff, 2), -EEXIST);
	assert_int_equal(probe_add(&bus, &p, 0xf00, 0x1000), -EEXIST);
	assert_int_equal(probe_add(&bus, &p, 0, UINT64_MAX), -EEXIST);
	assert_int_equal(bus.count, 1);
	assert_int_equal(probe_add(&bus, &p, 0xfff, 1), 0);
	assert_int_equal(probe_add(&bus, &p, 0x1100, 1), 0);
	assert_int_equal(bus.count, 3);
}

static void empty_and_wrapping_ranges_are_refused(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};

	(void)state;
	assert_int_equal(probe_add(&bus, &p, 0x1000, 0), -EINVAL);
	assert_int_equal(probe_add(&bus, &p, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(probe_add(&bus, &p, UINT64_MAX - 7, 16), -EINVAL);
	assert_int_equal(probe_add(&bus, &p, 16, UINT64_MAX), -EINVAL);
	assert_int_equal(bus.count, 0);
	assert_int_equal(probe_add(&bus, &p, UINT64_MAX - 1, 1), 0);
	assert_true(is_unclaimed(&bus, UINT64_MAX, 1));
	assert_true(is_unclaimed(&bus, UINT64_MAX - 1, 8));
	assert_false(is_unclaimed(&bus, UINT64_MAX - 1, 1));
}

static void a_full_bus_says_so(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};
	unsigned i;

	(void)state;
	for (i = 0; i < BUS_RANGES_MAX; i++)
		assert_int_equal(probe_add(&bus, &p, i * 16, 16), 0);
	assert_int_equal(probe_add(&bus, &p, 0x10000, 16), -ENOSPC);
	assert_int_equal(bus.count, BUS_RANGES_MAX);
}

/* In whatever order devices come, each answers at its own place. */
static void every_device_of_a_full_bus_is_found(void **state)
{
	static struct probe probes[BUS_RANGES_MAX];
	struct bus bus = {0};
	uint8_t byte = 0;
	unsigned i, n;

	(void)state;
	for (i = 0; i < BUS_RANGES_MAX; i++) {
		n = i * 37 % BUS_RANGES_MAX; /* 37 and 64 have no divisor */
		assert_int_equal(probe_add(&bus, &probes[n],
					   0xc0000000 + n * 0x2000, 0x1000),
				 0);
	}
	for (i = 1; i < BUS_RANGES_MAX; i++)
		assert_true(bus.ranges[i - 1].base < bus.ranges[i].base);
	for (n = 0; n < BUS_RANGES_MAX; n++) {
		const uint64_t base = 0xc0000000 + n * 0x2000;

		bus_write(&bus, base, &byte, 1);
		bus_read(&bus, base + 0xfff, &byte, 1);
		assert_int_equal(probes[n].writes, 1);
		assert_int_equal(probes[n].reads, 1);
		assert_int_equal(probes[n].offset, 0xfff);
		assert_true(is_unclaimed(&bus, base + 0x1000, 1));
		assert_true(is_unclaimed(&bus, base - 1, 1));
	}
}

static unsigned settles;

static bool probe_settle(void *owner)
{
	struct probe *p = owner;

	assert_false(is_locked(&p->lock));
	return ++settles > 2;
}

/* What a write began is told after it, without the lock, until it has ended. */
static void a_write_may_begin_what_has_to_settle(void **state)
{
	struct bus bus = {0};
	struct probe p = {0};
	const struct bus_range range = {
		.base = 0x1000,
		.size = 16,
		.write = probe_write,
		.settle = probe_settle,
		.owner = &p,
		.lock = &p.lock,
	};
	const struct bus_range *r;
	uint32_t word = 0;

	(void)state;
	settles = 0;
	mutex_init(&p.lock);
	assert_int_equal(bus_add(&bus, &range, NULL), 0);
	r = bus_write(&bus, 0x1000, &word, sizeof(word));
	assert_int_equal(p.writes, 1);
	assert_ptr_equal(r->owner, &p);
	assert_false(r->settle(r->owner));
	assert_true(r->settle(r->owner));
	assert_null(bus_write(&bus, 0x1004, &word, sizeof(word)));
	assert_null(bus_write(&bus, 0x2000, &word, sizeof(word)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			an_access_reaches_its_device_with_the_lock_held),
		cmocka_unit_test(an_empty_bus_reads_as_ones),
		cmocka_unit_test(a_range_ends_where_it_ends),
		cmocka_unit_test(an_access_across_an_end_is_nobodys),
		cmocka_unit_test(odd_widths_never_reach_a_device),
		cmocka_unit_test(a_device_may_leave_reads_or_writes_out),
		cmocka_unit_test(a_read_never_shows_what_lay_in_the_buffer),
		cmocka_unit_test(a_quick_access_takes_no_lock),
		cmocka_unit_test(a_write_may_begin_what_has_to_settle),
		cmocka_unit_test(ranges_that_meet_are_refused),
		cmocka_unit_test(empty_and_wrapping_ranges_are_refused),
		cmocka_unit_test(a_full_bus_says_so),
		cmocka_unit_test(every_device_of_a_full_bus_is_found),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
