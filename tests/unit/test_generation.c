/*
 * What a guest finds of its generation, read from its memory by the numbers of
 * linux/vmclock-abi.h, and what becomes of it when the machine is loaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <cmocka.h>

#include "devices/generation.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_kvm.h"

#define PLACE 0xeff0ULL

enum { GSI = 3, ID = 16, SAVED_BYTES = 36, AT_SEQUENCE = 16 };
enum { MAGIC = 0, SIZE = 4, VERSION = 8, COUNTER = 10, SEQUENCE = 12 };
enum { DISRUPTION = 16, FLAGS = 24, GENERATION = 104, CLOCK = 112 };

static struct fake_host host;
static struct err err;

/* As fake_host_add(), but the place is memory, which has something in it. */
static void start(void)
{
	struct device *d;

	assert_int_equal(generation_new(&d, &err), 0);
	mutex_init(&d->lock);
	d->host = &host.host;
	d->slot = (struct arch_slot){.kind = ARCH_GENERATION,
				     .has_irq = true,
				     .base = PLACE,
				     .size = ID + 4096,
				     .gsi = GSI};
	host.device = d;
	assert_int_equal(d->ops->start(d, &err), 0);
}

static int setup(void **state)
{
	(void)state;
	fake_host_open(&host);
	start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	return 0;
}

static void restart(void)
{
	teardown(NULL);
	setup(NULL);
}

static const uint8_t *id(void)
{
	return guest_mem_at(&host.mem, PLACE, ID);
}

static uint64_t clock_field(size_t at, size_t len)
{
	uint64_t v = 0;

	assert_int_equal(guest_mem_read(&host.mem, PLACE + ID + at, &v, len),
			 0);
	return v;
}

static void check_clock(uint32_t changes)
{
	assert_int_equal(clock_field(MAGIC, 4), 0x4b4c4356);
	assert_int_equal(clock_field(SIZE, 4), 4096);
	assert_int_equal(clock_field(VERSION, 2), 1);
	assert_int_equal(clock_field(COUNTER, 1), 0xff); /* tells no time */
	assert_int_equal(clock_field(SEQUENCE, 4), 2 * changes);
	assert_int_equal(clock_field(DISRUPTION, 8), changes);
	assert_int_equal(clock_field(FLAGS, 8), 1 << 8 | 1 << 9);
	assert_int_equal(clock_field(GENERATION, 8), changes);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

static void save(uint8_t out[SAVED_BYTES])
{
	struct device *d = host.device;
	struct visitor v;

	visitor_save(&v, d->ops->state, &err);
	d->ops->visit(d, &v);
	assert_int_equal(visitor_end(&v), 0);
	assert_int_equal(v.len, SAVED_BYTES);
	memcpy(out, v.data, v.len);
	visitor_fini(&v);
}

static int load(const uint8_t *saved, size_t len)
{
	struct device *d = host.device;
	struct visitor v;
	int rc;

	visitor_load(&v, saved, len, d->ops->state, &err);
	d->ops->visit(d, &v);
	rc = visitor_end(&v);
	visitor_fini(&v);
	return rc;
}

/* ---- the tests ----------------------------------------------------------- */

static void a_first_start_has_an_id_and_a_clock_at_zero(void **state)
{
	const uint8_t *secrets = (const uint8_t *)getauxval(AT_RANDOM);

	(void)state;
	check_clock(0);
	assert_false(is_zero(id(), ID));
	/* The first half is the canary of the stack, the rest its sibling. */
	assert_memory_not_equal(id(), secrets, 8);
	assert_memory_not_equal(id() + 8, secrets + 8, 8);
	assert_int_equal(fake_kvm.edges, 0);
}

static void nothing_beside_its_place_is_touched(void **state)
{
	const uint8_t *before = guest_mem_at(&host.mem, PLACE - 4080, 4080);
	const uint8_t *behind =
		guest_mem_at(&host.mem, PLACE + ID + CLOCK, 8192 - CLOCK);

	(void)state;
	assert_int_equal(generation_changed(host.device, &err), 0);
	assert_true(is_zero(before, 4080));
	assert_true(is_zero(behind, 8192 - CLOCK));
}

static void a_change_is_another_id_a_count_and_an_edge(void **state)
{
	uint8_t seen[4][ID];
	unsigned i, j;

	(void)state;
	for (i = 0; i < 4; i++) {
		memcpy(seen[i], id(), ID);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(seen[i], seen[j], ID);
		check_clock(i);
		assert_int_equal(fake_kvm.edges_of[GSI], i);
		assert_int_equal(generation_changed(host.device, &err), 0);
	}
	assert_int_equal(fake_kvm.edges, 4);
}

/* What the guest has written there is of no account. */
static void a_guest_that_writes_over_it_gets_it_right_again(void **state)
{
	uint8_t *place = guest_mem_at(&host.mem, PLACE, ID + CLOCK);

	(void)state;
	memset(place, 0xa5, ID + CLOCK);
	assert_int_equal(generation_changed(host.device, &err), 0);
	check_clock(1);
}

static void what_is_loaded_is_what_was_saved(void **state)
{
	uint8_t saved[SAVED_BYTES], again[SAVED_BYTES], old[ID];

	(void)state;
	assert_int_equal(generation_changed(host.device, &err), 0);
	assert_int_equal(generation_changed(host.device, &err), 0);
	memcpy(old, id(), ID);
	save(saved);
	restart();
	check_clock(0);
	assert_int_equal(load(saved, sizeof(saved)), 0);
	assert_memory_equal(id(), old, ID);
	check_clock(2);
	assert_int_equal(fake_kvm.edges, 0);
	save(again);
	assert_memory_equal(saved, again, SAVED_BYTES);
}

/* Two clones of one state: both apart from it, and from one another. */
static void clones_have_ids_of_their_own(void **state)
{
	uint8_t saved[SAVED_BYTES], ids[3][ID];
	unsigned i;

	(void)state;
	save(saved);
	memcpy(ids[2], id(), ID);
	for (i = 0; i < 2; i++) {
		restart();
		assert_int_equal(load(saved, sizeof(saved)), 0);
		assert_int_equal(generation_changed(host.device, &err), 0);
		assert_int_equal(fake_kvm.edges_of[GSI], 1);
		check_clock(1);
		memcpy(ids[i], id(), ID);
	}
	assert_memory_not_equal(ids[0], ids[1], ID);
	assert_memory_not_equal(ids[0], ids[2], ID);
	assert_memory_not_equal(ids[1], ids[2], ID);
}

/* The state of a load has the id of who was saved, a mark's has its own. */
static void a_reset_to_the_load_gives_the_same_id_again(void **state)
{
	uint8_t saved[SAVED_BYTES], marked[SAVED_BYTES], own[ID];
	unsigned i;

	(void)state;
	save(saved);
	restart();
	assert_int_equal(generation_again(host.device, &err), 0);
	check_clock(0);
	assert_int_equal(load(saved, sizeof(saved)), 0);
	assert_int_equal(generation_changed(host.device, &err), 0);
	memcpy(own, id(), ID);
	for (i = 2; i < 5; i++) {
		assert_int_equal(load(saved, sizeof(saved)), 0);
		assert_memory_not_equal(id(), own, ID);
		assert_int_equal(generation_again(host.device, &err), 0);
		assert_memory_equal(id(), own, ID);
		assert_int_equal(fake_kvm.edges_of[GSI], i);
		check_clock(1);
	}
	save(marked);
	assert_int_equal(load(marked, sizeof(marked)), 0);
	assert_int_equal(generation_again(host.device, &err), 0);
	assert_memory_equal(id(), own, ID);
	assert_int_equal(fake_kvm.edges_of[GSI], 4);
	check_clock(1);
}

static void bad_states_are_refused(void **state)
{
	uint8_t saved[SAVED_BYTES + 1] = {0};
	uint8_t before[ID];
	size_t len;

	(void)state;
	save(saved);
	memcpy(before, id(), ID);
	saved[AT_SEQUENCE] = 1;
	assert_int_not_equal(load(saved, SAVED_BYTES), 0);
	assert_non_null(strstr(err.text, "middle of a change"));
	saved[AT_SEQUENCE] = 0;
	for (len = 0; len < SAVED_BYTES; len++)
		assert_int_not_equal(load(saved, len), 0);
	assert_int_not_equal(load(saved, SAVED_BYTES + 1), 0);
	check_clock(0);
	assert_int_equal(load(saved, SAVED_BYTES), 0);
	assert_memory_equal(id(), before, ID);
}

/* Counters of any value go on from there, through their ends. */
static void counters_wrap(void **state)
{
	uint8_t saved[SAVED_BYTES];

	(void)state;
	memset(saved, 0xff, sizeof(saved));
	saved[AT_SEQUENCE] = 0xfe;
	assert_int_equal(load(saved, sizeof(saved)), 0);
	assert_int_equal(generation_changed(host.device, &err), 0);
	check_clock(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_first_start_has_an_id_and_a_clock_at_zero),
		TEST(nothing_beside_its_place_is_touched),
		TEST(a_change_is_another_id_a_count_and_an_edge),
		TEST(a_guest_that_writes_over_it_gets_it_right_again),
		TEST(what_is_loaded_is_what_was_saved),
		TEST(clones_have_ids_of_their_own),
		TEST(a_reset_to_the_load_gives_the_same_id_again),
		TEST(bad_states_are_refused),
		TEST(counters_wrap),
	};

	return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}
