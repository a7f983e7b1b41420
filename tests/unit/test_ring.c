/* The split virtqueue: setting up, indices, notifications. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ring_bench.h"

/* ---- setting up --------------------------------------------------------- */

static void sizes_other_than_small_powers_of_two_fault(void **state)
{
	static const uint32_t bad[] = {0,	  3,	    5,		255,
				       257,	  511,	    512,	1024,
				       32768,	  32769,    65535,	65536,
				       65536 + 8, 1U << 31, 0xffffffffU};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin();
		vq.size = bad[i];
		assert_int_equal(vq_enable(&vq, &host.mem, false, false),
				 -EPROTO);
		assert_false(vq.ready);
		assert_int_equal(faults, 1);
	}
	for (uint32_t size = 1; size <= VQ_SIZE_MAX; size *= 2) {
		begin();
		vq.size = size;
		assert_int_equal(vq_enable(&vq, &host.mem, false, false), 0);
	}
}

static void a_size_above_the_device_s_own_maximum_faults(void **state)
{
	(void)state;
	begin();
	vq_init(&vq, 3, 4, "test", count_fault, &host);
	vq.size = 8;
	vq.desc_gpa = q.desc_gpa;
	vq.avail_gpa = q.avail_gpa;
	vq.used_gpa = q.used_gpa;
	assert_int_equal(vq_enable(&vq, &host.mem, false, false), -EPROTO);
	vq.size = 4;
	assert_int_equal(vq_enable(&vq, &host.mem, false, false), 0);
}

static void misaligned_areas_fault(void **state)
{
	(void)state;
	for (unsigned by = 1; by < 16; by++) {
		begin();
		vq.desc_gpa += by;
		assert_int_equal(vq_enable(&vq, &host.mem, 0, 0), -EPROTO);
	}
	begin();
	vq.avail_gpa += 1;
	assert_int_equal(vq_enable(&vq, &host.mem, 0, 0), -EPROTO);
	for (unsigned by = 1; by < 4; by++) {
		begin();
		vq.used_gpa += by;
		assert_int_equal(vq_enable(&vq, &host.mem, 0, 0), -EPROTO);
	}
	begin();
	vq.desc_gpa = 0x10010;
	vq.avail_gpa = 0x10202;
	vq.used_gpa = 0x10304;
	assert_int_equal(vq_enable(&vq, &host.mem, 0, 0), 0);
}

static void areas_must_lie_in_memory_to_their_last_byte(void **state)
{
	static const uint64_t nowhere[] = {LOW_END,
					   FAKE_HIGH - 16,
					   HIGH_END,
					   2ULL << 32,
					   0x8000000000000000ULL,
					   0xfffffffffffff000ULL,
					   0xfffffffffffffff0ULL};
	const uint64_t bytes[] = {16 * SIZE, 6 + 2 * SIZE, 6 + 8 * SIZE};
	const uint64_t align[] = {16, 2, 4};
	static const uint64_t ends[] = {LOW_END, HIGH_END};

	(void)state;
	for (int area = 0; area < 3; area++) {
		uint64_t *gpa[] = {&vq.desc_gpa, &vq.avail_gpa, &vq.used_gpa};

		for (size_t i = 0; i < sizeof(nowhere) / 8; i++) {
			begin();
			*gpa[area] = nowhere[i];
			assert_int_equal(vq_enable(&vq, &host.mem, 0, 0),
					 -EPROTO);
			assert_false(vq.ready);
		}
		for (int i = 0; i < 2; i++) {
			uint64_t last = (ends[i] - bytes[area]) &
					~(align[area] - 1);

			begin();
			*gpa[area] = last;
			assert_int_equal(vq_enable(&vq, &host.mem, 0, 0), 0);
			*gpa[area] = last + align[area];
			assert_int_equal(vq_enable(&vq, &host.mem, 0, 0),
					 -EPROTO);
		}
	}
}

static void resetting_forgets_everything_the_driver_said(void **state)
{
	(void)state;
	begin();
	offer_one(BUFFERS, 16, 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	vq_reset(&vq);
	assert_false(vq.ready);
	assert_false(vq.live);
	assert_int_equal(vq.size, 0);
	assert_int_equal(vq.desc_gpa | vq.avail_gpa | vq.used_gpa, 0);
	assert_int_equal(vq.next_avail | vq.next_used | vq.in_flight, 0);
	assert_int_equal(vq.max, VQ_SIZE_MAX);
	assert_int_equal(vq.chains, 1);
	assert_int_equal(vq_pop(&vq, &chain), 0);
}

static void a_queue_that_is_not_live_is_not_touched(void **state)
{
	(void)state;
	begin();
	offer_one(BUFFERS, 16, 0);
	vq.live = false;
	assert_false(vq_has_work(&vq));
	assert_int_equal(vq_pop(&vq, &chain), 0);
	vq_disable_kicks(&vq);
	assert_int_equal(used_flags(), 0);
	assert_false(vq_enable_kicks(&vq));
	vq.live = true;
	assert_int_equal(vq_pop(&vq, &chain), 1);
}

/* ---- indices ------------------------------------------------------------ */

static void an_index_further_than_the_size_faults(void **state)
{
	(void)state;
	for (uint32_t jump = 1; jump <= 0xffff; jump += jump < 64 ? 1 : 7) {
		begin();
		fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
		set_avail_idx((uint16_t)jump);
		if (jump > SIZE)
			expect_fault();
		else
			assert_int_equal(vq_pop(&vq, &chain), 1);
	}
}

static void an_index_that_goes_back_faults(void **state)
{
	(void)state;
	begin();
	offer_one(BUFFERS, 1, 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	vq_push(&vq, 0, 0);
	set_avail_idx(0);
	expect_fault();
}

static void more_in_flight_than_the_queue_can_hold_faults(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	for (int i = 0; i < SIZE; i++) {
		fake_ring_offer(&q, 0);
		assert_int_equal(vq_pop(&vq, &chain), 1);
	}
	assert_int_equal(vq.in_flight, SIZE);
	fake_ring_offer(&q, 0);
	expect_fault();
}

static void a_chain_that_is_put_back_comes_again(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	fake_ring_desc(&q, 1, BUFFERS, 2, 0, 0);
	fake_ring_offer(&q, 0);
	fake_ring_offer(&q, 1);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_int_equal(chain.head, 1);
	vq_unpop(&vq);
	assert_true(vq_has_work(&vq));
	assert_int_equal(vq.in_flight, 1);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_int_equal(chain.head, 1);
	assert_int_equal(vq_pop(&vq, &chain), 0);
}

static void all_that_was_not_put_can_be_put_back(void **state)
{
	unsigned i;
	uint16_t head;

	(void)state;
	begin();
	for (i = 0; i < 5; i++) {
		fake_ring_desc(&q, (uint16_t)i, BUFFERS, 1, FAKE_WRITE, 0);
		fake_ring_offer(&q, (uint16_t)i);
		assert_int_equal(vq_pop(&vq, &chain), 1);
	}
	vq_push(&vq, 0, 1);
	vq_push(&vq, 1, 1);
	for (i = 0; i < 3; i++)
		vq_unpop(&vq);
	assert_int_equal(vq.in_flight, 0);
	assert_int_equal(vq.chains, 2);
	for (head = 2; head < 5; head++) {
		assert_int_equal(vq_pop(&vq, &chain), 1);
		assert_int_equal(chain.head, head);
	}
	assert_int_equal(vq_pop(&vq, &chain), 0);
}

/* ---- giving back -------------------------------------------------------- */

static void a_push_is_seen_with_head_and_length(void **state)
{
	uint32_t head, len;

	(void)state;
	begin();
	fake_ring_desc(&q, 6, BUFFERS, 1, FAKE_WRITE, 0);
	fake_ring_offer(&q, 6);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_false(fake_ring_take(&q, &head, &len));
	vq_push(&vq, chain.head, 0xfffffff0U);
	assert_true(fake_ring_take(&q, &head, &len));
	assert_int_equal(head, 6);
	assert_int_equal(len, 0xfffffff0U);
	assert_int_equal(vq.in_flight, 0);
}

static void what_is_put_is_seen_only_when_published(void **state)
{
	uint32_t head, len;

	(void)state;
	begin();
	for (uint16_t i = 0; i < 3; i++) {
		fake_ring_desc(&q, i, BUFFERS, 1, FAKE_WRITE, 0);
		fake_ring_offer(&q, i);
		assert_int_equal(vq_pop(&vq, &chain), 1);
		vq_put(&vq, chain.head, i);
	}
	assert_int_equal(used_idx(), 0);
	vq_publish(&vq);
	for (uint16_t i = 0; i < 3; i++) {
		assert_true(fake_ring_take(&q, &head, &len));
		assert_int_equal(head, i);
		assert_int_equal(len, i);
	}
}

/* ---- notifications ------------------------------------------------------ */

/* Takes and gives back n chains. */
static void run(unsigned n)
{
	while (n--) {
		fake_ring_offer(&q, 0);
		assert_int_equal(vq_pop(&vq, &chain), 1);
		vq_push(&vq, chain.head, 0);
		q.used_idx++;
	}
}

static void without_event_idx_the_flags_decide(void **state)
{
	(void)state;
	begin();
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	assert_false(vq_must_notify(&vq)); /* nothing happened */
	run(1);
	assert_true(vq_must_notify(&vq));
	assert_false(vq_must_notify(&vq));
	set_avail_flags(1);
	run(1);
	assert_false(vq_must_notify(&vq));
	set_avail_flags(0);
	assert_false(vq_must_notify(&vq)); /* that one is past */
	run(1);
	assert_true(vq_must_notify(&vq));
	set_used_event(1000); /* means nothing */
	run(1);
	assert_true(vq_must_notify(&vq));
}

static void with_event_idx_the_flags_mean_nothing(void **state)
{
	(void)state;
	begin_with(SIZE, true, true);
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	set_avail_flags(1);
	run(1);
	assert_true(vq_must_notify(&vq));
}

/* Whether entry number event is among the half-open range [old, new). */
static bool is_among(uint16_t event, uint16_t old, uint16_t new)
{
	for (uint16_t i = old; i != new; i++)
		if (i == event)
			return true;
	return false;
}

static void an_interrupt_comes_exactly_for_the_entry_asked_for(void **state)
{
	static const uint16_t starts[] = {0,	  1,	  0x7ffe, 0x7fff,
					  0x8000, 0xfff8, 0xfffe, 0xffff};

	(void)state;
	begin_with(SIZE, true, true);
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	for (size_t s = 0; s < sizeof(starts) / 2; s++)
		for (unsigned n = 1; n <= SIZE; n++)
			for (int off = -12; off <= 12; off++) {
				uint16_t event = (uint16_t)(starts[s] + off);

				vq.next_avail = vq.seen_avail = starts[s];
				vq.next_used = vq.told_used = starts[s];
				q.avail_idx = q.used_idx = starts[s];
				set_used_event(event);
				run(n);
				assert_int_equal(
					vq_must_notify(&vq),
					is_among(event, starts[s],
						 (uint16_t)(starts[s] + n)));
			}
}

static void without_event_idx_kicks_are_a_flag(void **state)
{
	(void)state;
	begin();
	vq_disable_kicks(&vq);
	assert_int_equal(used_flags(), 1);
	assert_false(vq_enable_kicks(&vq));
	assert_int_equal(used_flags(), 0);
	vq_disable_kicks(&vq);
	offer_one(BUFFERS, 1, 0);
	assert_true(vq_enable_kicks(&vq)); /* came while nobody listened */
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_false(vq_enable_kicks(&vq));
}

static void with_event_idx_kicks_are_asked_for_by_index(void **state)
{
	(void)state;
	begin_with(SIZE, true, true);
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	/* A fresh queue asks for the very first. */
	fake_ring_offer(&q, 0);
	assert_true(must_kick(0, true));
	vq_disable_kicks(&vq);
	assert_int_equal(used_flags(), 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	vq_push(&vq, 0, 0);
	fake_ring_offer(&q, 0);
	assert_false(must_kick(1, true)); /* nobody asked for it */
	assert_true(vq_enable_kicks(&vq));
	assert_int_equal(vq_pop(&vq, &chain), 1);
	vq_push(&vq, 0, 0);
	assert_false(vq_enable_kicks(&vq));
	assert_int_equal(avail_event(), 2);
	fake_ring_offer(&q, 0);
	assert_true(must_kick(2, true));
}

/* Buffers lie ready, and the driver is asked to tell of one more. */
static void an_offer_beyond_those_that_lie_ready_is_asked_for(void **state)
{
	uint64_t page;

	(void)state;
	begin_with(SIZE, true, true);
	page = q.used_gpa / 4096;
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	for (int i = 0; i < 3; i++)
		fake_ring_offer(&q, 0);
	assert_false(vq_pop(&vq, &chain) != 1 || vq_enable_kicks(&vq) != 1);
	fake_ring_offer(&q, 0);
	assert_false(must_kick(3, true));
	assert_int_equal(guest_mem_track(&host.mem, true), 0);
	vq_await_offer(&vq);
	assert_int_equal(vq_offered(&vq), 4);
	fake_ring_offer(&q, 0);
	assert_true(must_kick(4, true));
	assert_int_equal(vq_offered(&vq), 5);
	/* What is asked for is our writing, which KVM does not tell of. */
	assert_true(host.mem.written[page / 64] >> page % 64 & 1);
	assert_int_equal(guest_mem_track(&host.mem, false), 0);
	begin();
	vq_disable_kicks(&vq);
	vq_await_offer(&vq);
	assert_int_equal(used_flags(), 0);
}

static void kicks_are_asked_for_while_chains_are_in_flight(void **state)
{
	(void)state;
	begin_with(SIZE, true, true);
	fake_ring_desc(&q, 0, BUFFERS, 1, 0, 0);
	for (int i = 0; i < 3; i++)
		fake_ring_offer(&q, 0);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	/* Known since the last look, and still there to be taken. */
	assert_true(vq_enable_kicks(&vq));
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_int_equal(vq_pop(&vq, &chain), 1);
	assert_false(vq_enable_kicks(&vq));
	assert_int_equal(avail_event(), 3);
	fake_ring_offer(&q, 0);
	assert_true(must_kick(3, true));
}

/*
 * Two hundred thousand requests, three times around the indices, with a driver
 * and a device that both sleep whenever the rules let them.
 */
static void run_long(bool event_idx)
{
	struct fake_random seed = {1};
	uint32_t head, len;
	unsigned offered = 0, served = 0, taken = 0;
	bool kicked = false, interrupted = true;

	begin_with(SIZE, event_idx, true);
	for (uint16_t i = 0; i < SIZE; i++)
		fake_ring_desc(&q, i, BUFFERS + 64 * i, 64, FAKE_WRITE, 0);
	while (taken < 200000) {
		unsigned burst = 1 + fake_random(&seed) % SIZE;
		uint16_t old = q.avail_idx;

		/* The driver sleeps unless it was interrupted. */
		assert_true(interrupted || kicked);
		if (interrupted) {
			interrupted = false;
			while (fake_ring_take(&q, &head, &len)) {
				assert_int_equal(head, taken % SIZE);
				assert_int_equal(len, taken);
				taken++;
			}
			if (fake_random(&seed) % 2)
				set_used_event(q.used_idx);
			else /* only when half of what is out is back */
				set_used_event(
					(uint16_t)(q.used_idx +
						   (offered - taken) / 2));
			while (burst-- && offered - taken < SIZE)
				fake_ring_offer(&q,
						(uint16_t)(offered++ % SIZE));
			kicked |= must_kick(old, event_idx);
			if (offered - taken == 0)
				interrupted = true;
			else
				assert_true(kicked);
		}
		if (!kicked)
			continue;
		kicked = false;
		do {
			vq_disable_kicks(&vq);
			while (vq_pop(&vq, &chain) > 0) {
				assert_int_equal(chain.head, served % SIZE);
				vq_push(&vq, chain.head, served++);
			}
		} while (vq_enable_kicks(&vq));
		if (vq_must_notify(&vq))
			interrupted = true;
	}
	assert_int_equal(faults, 0);
	assert_int_equal(vq.in_flight, 0);
}

static void two_hundred_thousand_requests_pass_with_event_idx(void **state)
{
	(void)state;
	run_long(true);
}

static void two_hundred_thousand_requests_pass_with_flags(void **state)
{
	(void)state;
	run_long(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_other_than_small_powers_of_two_fault),
		cmocka_unit_test(a_size_above_the_device_s_own_maximum_faults),
		cmocka_unit_test(misaligned_areas_fault),
		cmocka_unit_test(areas_must_lie_in_memory_to_their_last_byte),
		cmocka_unit_test(resetting_forgets_everything_the_driver_said),
		cmocka_unit_test(a_queue_that_is_not_live_is_not_touched),
		cmocka_unit_test(an_index_further_than_the_size_faults),
		cmocka_unit_test(an_index_that_goes_back_faults),
		cmocka_unit_test(more_in_flight_than_the_queue_can_hold_faults),
		cmocka_unit_test(a_chain_that_is_put_back_comes_again),
		cmocka_unit_test(all_that_was_not_put_can_be_put_back),
		cmocka_unit_test(a_push_is_seen_with_head_and_length),
		cmocka_unit_test(what_is_put_is_seen_only_when_published),
		cmocka_unit_test(without_event_idx_the_flags_decide),
		cmocka_unit_test(with_event_idx_the_flags_mean_nothing),
		cmocka_unit_test(
			an_interrupt_comes_exactly_for_the_entry_asked_for),
		cmocka_unit_test(without_event_idx_kicks_are_a_flag),
		cmocka_unit_test(with_event_idx_kicks_are_asked_for_by_index),
		cmocka_unit_test(
			an_offer_beyond_those_that_lie_ready_is_asked_for),
		cmocka_unit_test(
			kicks_are_asked_for_while_chains_are_in_flight),
		cmocka_unit_test(
			two_hundred_thousand_requests_pass_with_event_idx),
		cmocka_unit_test(two_hundred_thousand_requests_pass_with_flags),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
