/* Descriptor chains, and every way a driver can get one wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ring_bench.h"

/* ---- well-formed chains ------------------------------------------------- */

static void an_empty_queue_gives_nothing(void **state)
{
	(void)state;
	begin();
	assert_false(vq_has_work(&vq));
	assert_int_equal(vq_pop(&vq, &chain), 0);
	assert_int_equal(faults, 0);
}

static void a_chain_is_taken_with_its_two_halves(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 5, BUFFERS, 16, FAKE_NEXT, 2);
	fake_ring_desc(&q, 2, BUFFERS + 0x100, 7, FAKE_NEXT, 7);
	fake_ring_desc(&q, 7, FAKE_HIGH, 512, FAKE_NEXT | FAKE_WRITE, 0);
	fake_ring_desc(&q, 0, HIGH_END - 1, 1, FAKE_WRITE, 99);
	fake_ring_offer(&q, 5);
	assert_true(vq_has_work(&vq));
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_int_equal(chain.head, 5);
	assert_int_equal(chain.readable.count, 2);
	assert_int_equal(chain.readable.bytes, 23);
	assert_int_equal(chain.writable.count, 2);
	assert_int_equal(chain.writable.bytes, 513);
	assert_ptr_equal(chain.readable.at[0].iov_base,
			 guest_mem_at(&host.mem, BUFFERS, 16));
	assert_ptr_equal(chain.readable.at[1].iov_base,
			 guest_mem_at(&host.mem, BUFFERS + 0x100, 7));
	assert_ptr_equal(chain.writable.at[0].iov_base,
			 guest_mem_at(&host.mem, FAKE_HIGH, 512));
	assert_ptr_equal(chain.writable.at[1].iov_base,
			 guest_mem_at(&host.mem, HIGH_END - 1, 1));
	assert_int_equal(vq_pop(&vq, &chain), 0);
	assert_int_equal(vq.in_flight, 1);
}

static void what_was_taken_no_longer_depends_on_the_guest(void **state)
{
	struct iovec before[2];

	(void)state;
	begin();
	fake_ring_desc(&q, 0, BUFFERS, 16, FAKE_NEXT, 1);
	fake_ring_desc(&q, 1, BUFFERS, 16, FAKE_WRITE, 0);
	fake_ring_offer(&q, 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	memcpy(before, chain.iov, sizeof(before));
	memset(guest_mem_at(&host.mem, q.desc_gpa, 16 * SIZE), 0xff, 16 * SIZE);
	assert_memory_equal(chain.iov, before, sizeof(before));
	assert_int_equal(chain.readable.bytes, 16);
}

static void a_chain_of_the_whole_queue_is_fine_and_one_more_faults(void **state)
{
	(void)state;
	for (uint16_t size = 1; size <= VQ_SIZE_MAX; size *= 2) {
		begin_with(size, false, true);
		for (uint16_t i = 0; i < size; i++)
			fake_ring_desc(&q, i, BUFFERS + i, 1,
				       i < size - 1 ? FAKE_NEXT : 0,
				       (uint16_t)(i + 1));
		fake_ring_offer(&q, 0);
		assert_int_equal(vq_pop(&vq, &chain), 1);
		assert_int_equal(chain.readable.bytes, size);
		vq_push(&vq, 0, 0);
		/* The last goes on with the first: a loop. */
		fake_ring_desc(&q, size - 1, BUFFERS, 1, FAKE_NEXT, 0);
		fake_ring_offer(&q, 0);
		expect_fault();
	}
}

static void
a_chain_of_exactly_four_gib_is_fine_and_one_more_byte_faults(void **state)
{
	const struct guest_range range = {.gpa = 0, .size = 64ULL << 20};
	struct guest_mem big;
	struct guest_mem small = host.mem;

	(void)state;
	assert_int_equal(
		guest_mem_open(&big, &range, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	host.mem = big;
	for (int more = 0; more < 2; more++) {
		begin_with(128, false, true);
		for (uint16_t i = 0; i < 64; i++)
			fake_ring_desc(&q, i, 0, 64U << 20,
				       FAKE_WRITE |
					       (i < 63 || more ? FAKE_NEXT : 0),
				       (uint16_t)(i + 1));
		fake_ring_desc(&q, 64, 0, 1, FAKE_WRITE, 0);
		fake_ring_offer(&q, 0);
		if (more) {
			expect_fault();
			continue;
		}
		assert_int_equal(vq_pop(&vq, &chain), 1);
		assert_true(chain.writable.bytes == 1ULL << 32);
	}
	host.mem = small;
	guest_mem_close(&big);
}

/* ---- malformed chains --------------------------------------------------- */

static void a_head_outside_the_table_faults(void **state)
{
	static const uint16_t heads[] = {SIZE, SIZE + 1, 0x8000, 0xffff};

	(void)state;
	for (int i = 0; i < 4; i++) {
		begin_apart();
		fake_ring_offer(&q, heads[i]);
		expect_fault();
	}
}

static void a_next_outside_the_table_faults(void **state)
{
	static const uint16_t nexts[] = {SIZE, SIZE + 1, 0x8000, 0xffff};

	(void)state;
	for (int i = 0; i < 4; i++) {
		begin_apart();
		fake_ring_desc(&q, 0, BUFFERS, 1, FAKE_NEXT, nexts[i]);
		fake_ring_offer(&q, 0);
		expect_fault();
	}
}

static void loops_fault(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 0, BUFFERS, 1, FAKE_NEXT, 0);
	fake_ring_offer(&q, 0);
	expect_fault();

	begin();
	fake_ring_desc(&q, 0, BUFFERS, 1, FAKE_NEXT, 1);
	fake_ring_desc(&q, 1, BUFFERS, 1, FAKE_NEXT | FAKE_WRITE, 2);
	fake_ring_desc(&q, 2, BUFFERS, 1, FAKE_NEXT | FAKE_WRITE, 1);
	fake_ring_offer(&q, 0);
	expect_fault();
}

static void a_readable_buffer_after_a_writable_one_faults(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 0, BUFFERS, 1, FAKE_NEXT | FAKE_WRITE, 1);
	fake_ring_desc(&q, 1, BUFFERS, 1, 0, 0);
	fake_ring_offer(&q, 0);
	expect_fault();
}

static void buffers_that_are_not_memory_fault(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{BUFFERS, 0},
		{0, 0},
		{BUFFERS, 0xffffffffU},
		{0, (uint32_t)LOW_END + 1},
		{LOW_END - 1, 2},
		{LOW_END, 1},
		{FAKE_HIGH - 1, 1},
		{FAKE_HIGH - 1, 2},
		{LOW_END - 1, (uint32_t)(FAKE_HIGH - LOW_END) + 2},
		{HIGH_END - 1, 2},
		{HIGH_END, 1},
		{2ULL << 32, 1},
		{(2ULL << 32) + BUFFERS, 1},
		{0x7fffffffffffffffULL, 1},
		{0xffffffffffffffffULL, 1},
		{0xffffffffffffffffULL, 2},
		{0xffffffffffffffffULL, 0xffffffffU},
		{0ULL - 16, 32},
		{0ULL - 0xffffffffU, 0xffffffffU},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (uint16_t flags = 0; flags <= FAKE_WRITE; flags += 2) {
			begin();
			offer_one(bad[i].addr, bad[i].len, flags);
			expect_fault();
		}
}

static void a_buffer_across_two_regions_faults(void **state)
{
	/* Neighbours for the guest, and even so not one piece. */
	static const struct guest_range ranges[] = {
		{.gpa = 0, .size = 0x100000},
		{.gpa = 0x100000, .size = 0x1000}};
	struct guest_mem pair;
	struct guest_mem usual = host.mem;

	(void)state;
	assert_int_equal(
		guest_mem_open(&pair, ranges, 2,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	host.mem = pair;
	begin();
	offer_one(0xfffff, 2, 0);
	expect_fault();
	begin();
	offer_one(0xfffff, 1, 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	offer_one(0x100000, 0x1000, 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	host.mem = usual;
	guest_mem_close(&pair);
}

/* ---- indirect descriptors ----------------------------------------------- */

static void offer_table(uint32_t bytes, uint16_t flags)
{
	offer_one(TABLE, bytes, FAKE_INDIRECT | flags);
}

static void a_table_holds_the_chain(void **state)
{
	(void)state;
	begin();
	desc_at(TABLE, 0, BUFFERS, 16, FAKE_NEXT, 2);
	desc_at(TABLE, 2, FAKE_HIGH, 8, FAKE_WRITE, 0);
	/* 2.7.5.3.2: the write flag of the reference means nothing. */
	for (uint16_t flags = 0; flags <= FAKE_WRITE; flags += 2) {
		offer_table(48, flags);
		assert_int_equal(vq_pop(&vq, &chain), 1);
		assert_int_equal(chain.head, 0);
		assert_int_equal(chain.readable.bytes, 16);
		assert_int_equal(chain.writable.bytes, 8);
	}
}

static void a_table_may_follow_ordinary_descriptors(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 4, BUFFERS, 16, FAKE_NEXT, 6);
	fake_ring_desc(&q, 6, TABLE, 16, FAKE_INDIRECT, 0);
	desc_at(TABLE, 0, FAKE_HIGH, 8, FAKE_WRITE, 0);
	fake_ring_offer(&q, 4);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_int_equal(chain.head, 4);
	assert_int_equal(chain.readable.bytes, 16);
	assert_int_equal(chain.writable.bytes, 8);
}

static void
a_table_with_as_many_as_the_queue_is_fine_and_one_more_faults(void **state)
{
	(void)state;
	/* More entries than the queue has are fine; using them is not. */
	for (uint16_t used = SIZE; used <= SIZE + 1; used++) {
		begin();
		for (uint16_t i = 0; i < used; i++)
			desc_at(TABLE, i, BUFFERS, 1,
				i < used - 1 ? FAKE_NEXT : 0,
				(uint16_t)(i + 1));
		offer_table(16 * 1000, 0);
		if (used > SIZE) {
			expect_fault();
			continue;
		}
		assert_int_equal(vq_pop(&vq, &chain), 1);
		assert_int_equal(chain.readable.count, SIZE);
	}
}

static void ordinary_and_indirect_descriptors_count_together(void **state)
{
	(void)state;
	for (uint16_t inside = SIZE - 1; inside <= SIZE; inside++) {
		begin();
		fake_ring_desc(&q, 0, BUFFERS, 1, FAKE_NEXT, 1);
		fake_ring_desc(&q, 1, TABLE, 16 * SIZE, FAKE_INDIRECT, 0);
		for (uint16_t i = 0; i < inside; i++)
			desc_at(TABLE, i, BUFFERS, 1,
				i < inside - 1 ? FAKE_NEXT : 0,
				(uint16_t)(i + 1));
		fake_ring_offer(&q, 0);
		if (inside == SIZE)
			expect_fault();
		else
			assert_int_equal(vq_pop(&vq, &chain), 1);
	}
}

static void malformed_tables_fault(void **state)
{
	static const uint32_t lengths[] = {0,  1,	    8,		15,
					   17, 0xffffffffU, 0xfffffff0U};
	static const uint64_t places[] = {TABLE + 1,	  TABLE + 4,
					  LOW_END - 16,	  LOW_END,
					  FAKE_HIGH - 32, 0ULL - 16};

	(void)state;
	desc_at(TABLE, 0, BUFFERS, 1, 0, 0);
	for (size_t i = 0; i < sizeof(lengths) / 4; i++) {
		begin();
		offer_table(lengths[i], 0);
		expect_fault();
	}
	for (size_t i = 0; i < sizeof(places) / 8; i++) {
		begin();
		offer_one(places[i], 32, FAKE_INDIRECT);
		expect_fault();
	}
	begin();
	offer_table(16, FAKE_NEXT);
	expect_fault();
	begin_with(SIZE, false, false); /* not negotiated */
	offer_table(16, 0);
	expect_fault();
}

static void malformed_contents_of_a_table_fault(void **state)
{
	static const struct {
		uint16_t flags, next;
	} bad[] = {
		{FAKE_INDIRECT, 0},  {FAKE_INDIRECT | FAKE_NEXT, 1},
		{FAKE_NEXT, 0},	     /* a loop */
		{FAKE_NEXT, 2},	     /* past its end */
		{FAKE_NEXT, 0xffff}, /* far past */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin();
		desc_at(TABLE, 0, TABLE, 32, bad[i].flags, bad[i].next);
		desc_at(TABLE, 2, BUFFERS, 1, 0, 0); /* would do, if reached */
		offer_table(32, 0);
		expect_fault();
	}
}

/* ---- the hostile driver ------------------------------------------------- */

static bool is_inside(const struct iovec *v)
{
	const uint8_t *at = v->iov_base;

	for (unsigned i = 0; i < host.mem.count; i++) {
		const struct guest_region *r = &host.mem.regions[i];

		if (at >= r->hva && at < r->hva + r->size)
			return v->iov_len <= (size_t)(r->hva + r->size - at);
	}
	return false;
}

static void check_chain(void)
{
	size_t bytes = 0;

	assert_true(chain.head < vq.size);
	assert_true(chain.readable.count + chain.writable.count <= vq.size);
	assert_true(chain.readable.count + chain.writable.count > 0);
	for (unsigned i = 0; i < chain.readable.count; i++) {
		assert_true(is_inside(&chain.readable.at[i]));
		bytes += chain.readable.at[i].iov_len;
	}
	assert_int_equal(bytes, chain.readable.bytes);
	bytes = 0;
	for (unsigned i = 0; i < chain.writable.count; i++) {
		assert_true(is_inside(&chain.writable.at[i]));
		bytes += chain.writable.at[i].iov_len;
	}
	assert_int_equal(bytes, chain.writable.bytes);
}

/* An address that is often good, often nearly good, sometimes absurd. */
static uint64_t wild_address(struct fake_random *seed)
{
	uint64_t r = fake_random(seed);

	switch (r % 8) {
	case 0:
		return LOW_END - r % 64;
	case 1:
		return FAKE_HIGH - 32 + r % 64;
	case 2:
		return HIGH_END - r % 64;
	case 3:
		return 0ULL - r % 4096;
	case 4:
		return r << 32 | fake_random(seed);
	default:
		return TABLE + (r >> 8) % 64 * 16;
	}
}

static void wild_descriptor(struct fake_random *seed, uint64_t table,
			    uint16_t i)
{
	static const uint16_t flags[] = {
		0,
		0,
		0,
		FAKE_WRITE,
		FAKE_WRITE,
		FAKE_NEXT,
		FAKE_NEXT | FAKE_WRITE,
		FAKE_INDIRECT,
		FAKE_INDIRECT,
		FAKE_INDIRECT | FAKE_NEXT | FAKE_WRITE,
	};
	static const uint32_t lengths[] = {1,	16,  16,   32, 32, 48,
					   128, 512, 4096, 0,  17, 0xffffffffU};

	desc_at(table, i, wild_address(seed),
		lengths[fake_random_below(seed, 12)],
		flags[fake_random_below(seed, 10)],
		(uint16_t)fake_random_below(seed, SIZE + 1));
}

static void wild_queue(struct fake_random *seed)
{
	begin_with(SIZE, fake_random_below(seed, 2),
		   fake_random_below(seed, 4));
	for (uint16_t i = 0; i < SIZE; i++)
		wild_descriptor(seed, q.desc_gpa, i);
}

static void a_hostile_driver_gets_faults_and_nothing_else(void **state)
{
	struct fake_random seed = {42};
	unsigned good = 0, bad = 0;

	(void)state;
	wild_queue(&seed);
	for (uint16_t i = 0; i < 64; i++)
		wild_descriptor(&seed, TABLE, i);
	for (unsigned step = 0; step < 100000; step++) {
		uint16_t entry = (uint16_t)fake_random_below(&seed, 64);
		int rc;

		if (entry < SIZE)
			wild_descriptor(&seed, q.desc_gpa, entry);
		wild_descriptor(&seed, TABLE, entry);
		if (fake_random_below(&seed, 50) == 0)
			set_avail_idx((uint16_t)fake_random(&seed));
		else
			fake_ring_offer(&q, fake_random_below(&seed, 50)
						    ? entry % SIZE
						    : (uint16_t)(SIZE + entry));
		set_used_event((uint16_t)fake_random(&seed));
		rc = vq_pop(&vq, &chain);
		if (rc == 1) {
			good++;
			check_chain();
			if (fake_random_below(&seed, 32))
				vq_push(&vq, chain.head, entry);
			(void)vq_must_notify(&vq);
			(void)vq_enable_kicks(&vq);
		} else if (rc == -EPROTO) {
			bad++;
			assert_false(vq.live);
			wild_queue(&seed);
		} else {
			assert_int_equal(rc, 0);
		}
	}
	/* The walk reaches both sides often enough to mean something. */
	assert_true(good > 20000);
	assert_true(bad > 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_queue_gives_nothing),
		cmocka_unit_test(a_chain_is_taken_with_its_two_halves),
		cmocka_unit_test(what_was_taken_no_longer_depends_on_the_guest),
		cmocka_unit_test(
			a_chain_of_the_whole_queue_is_fine_and_one_more_faults),
		cmocka_unit_test(
			a_chain_of_exactly_four_gib_is_fine_and_one_more_byte_faults),
		cmocka_unit_test(a_head_outside_the_table_faults),
		cmocka_unit_test(a_next_outside_the_table_faults),
		cmocka_unit_test(loops_fault),
		cmocka_unit_test(a_readable_buffer_after_a_writable_one_faults),
		cmocka_unit_test(buffers_that_are_not_memory_fault),
		cmocka_unit_test(a_buffer_across_two_regions_faults),
		cmocka_unit_test(a_table_holds_the_chain),
		cmocka_unit_test(a_table_may_follow_ordinary_descriptors),
		cmocka_unit_test(
			a_table_with_as_many_as_the_queue_is_fine_and_one_more_faults),
		cmocka_unit_test(
			ordinary_and_indirect_descriptors_count_together),
		cmocka_unit_test(malformed_tables_fault),
		cmocka_unit_test(malformed_contents_of_a_table_fault),
		cmocka_unit_test(a_hostile_driver_gets_faults_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
