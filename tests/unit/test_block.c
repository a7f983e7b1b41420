/* virtio-block: every request, well and badly formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/base/log.h"

/* ---- requests ----------------------------------------------------------- */

static void sectors_are_read(void **state)
{
	(void)state;
	header(IN, 3);
	assert_int_equal(request(16, 2 * SECTOR + 1, ROOM), 2 * SECTOR + 1);
	assert_int_equal(got[2 * SECTOR], OK);
	expect_sectors(3, 2);
	header(IN, 0);
	assert_int_equal(request(16, SECTORS * SECTOR + 1, ROOM),
			 SECTORS * SECTOR + 1);
	expect_sectors(0, SECTORS);
	/* What is sent beyond the header says nothing. */
	header(IN, 5);
	assert_int_equal(request(99, SECTOR + 1, ROOM), SECTOR + 1);
	expect_sectors(5, 1);
}

static void sectors_are_written(void **state)
{
	(void)state;
	header(OUT, 14);
	memset(sent + 16, 'w', 2 * SECTOR);
	assert_int_equal(request(16 + 2 * SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	expect_on_disk(14 * SECTOR, sent + 16, 2 * SECTOR);
}

static void reads_may_be_split_anywhere(void **state)
{
	uint16_t end;
	size_t cut;

	(void)state;
	header(IN, 7);
	for (cut = 1; cut < SECTOR + 1; cut++) {
		memset(got, UNTOUCHED, SECTOR + 2);
		end = describe(0, SENT_GPA, 16, cut % 16 + 1, 0);
		end = describe(end, GOT_GPA, cut, ROOM, FAKE_WRITE);
		end = describe(end, GOT_GPA + cut, SECTOR + 1 - cut, ROOM,
			       FAKE_WRITE);
		assert_int_equal(go(end), SECTOR + 1);
		assert_int_equal(got[SECTOR], OK);
		assert_int_equal(got[SECTOR + 1], UNTOUCHED);
		expect_sectors(7, 1);
	}
	for (cut = 3; cut < SECTOR; cut += 11) {
		assert_int_equal(request(16, SECTOR + 1, cut), SECTOR + 1);
		assert_int_equal(got[SECTOR], OK);
		expect_sectors(7, 1);
	}
}

static void writes_may_be_split_anywhere(void **state)
{
	uint16_t end;
	size_t cut;

	(void)state;
	header(OUT, 2);
	for (cut = 1; cut < SECTOR + 16; cut++) {
		memset(sent + 16, (int)cut, SECTOR);
		got[0] = UNTOUCHED;
		end = describe(0, SENT_GPA, cut, ROOM, 0);
		end = describe(end, SENT_GPA + cut, SECTOR + 16 - cut, ROOM, 0);
		end = describe(end, GOT_GPA, 1, 1, FAKE_WRITE);
		assert_int_equal(go(end), 1);
		assert_int_equal(got[0], OK);
		expect_on_disk(2 * SECTOR, sent + 16, SECTOR);
	}
	for (cut = 3; cut < SECTOR; cut += 11) {
		memset(sent + 16, (int)cut ^ 0x55, SECTOR);
		assert_int_equal(request(16 + SECTOR, 1, cut), 1);
		assert_int_equal(got[0], OK);
		expect_on_disk(2 * SECTOR, sent + 16, SECTOR);
	}
}

static void flushes_and_get_id_byte_by_byte(void **state)
{
	static const char id[20] = "rootfs";

	(void)state;
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, 1), 1);
	assert_int_equal(got[0], OK);
	header(GET_ID, 0);
	assert_int_equal(request(16, 21, 1), 21);
	assert_memory_equal(got, id, sizeof(id));
	assert_int_equal(got[20], OK);
}

static void an_id_fits_the_room_there_is(void **state)
{
	size_t room;

	(void)state;
	header(GET_ID, 0);
	for (room = 0; room < 20; room++) {
		assert_int_equal(request(16, room + 1, ROOM), room + 1);
		assert_int_equal(got[room], OK);
		if (room)
			assert_memory_equal(
				got, "rootfs\0\0\0\0\0\0\0\0\0\0\0\0", room);
		assert_int_equal(got[room + 1], UNTOUCHED);
	}
	/* With more room there is a gap: the status doesn't count. */
	assert_int_equal(request(16, 65, ROOM), 20);
	assert_int_equal(got[20], UNTOUCHED);
	assert_int_equal(got[64], OK);
}

static void other_requests_are_unsupported(void **state)
{
	static const uint32_t types[] = {2,  3,	 5,  6,	    7,		9,
					 10, 12, 14, 0x100, 0x80000000, ~0U};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		header(types[i], 0);
		assert_int_equal(request(16, 1, ROOM), 1);
		assert_int_equal(got[0], UNSUPP);
		assert_int_equal(request(16 + SECTOR, SECTOR + 1, ROOM), 0);
		assert_int_equal(got[0], UNTOUCHED);
		assert_int_equal(got[SECTOR], UNSUPP);
	}
	assert_false(is_broken());
	expect_disk_unharmed();
}

static void empty_reads_and_writes_succeed_on_the_disk(void **state)
{
	(void)state;
	header(IN, SECTORS);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	header(OUT, SECTORS);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	header(IN, SECTORS + 1);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
}

static void nothing_lies_past_the_end(void **state)
{
	static const uint64_t sectors[] = {
		SECTORS - 1,	  SECTORS,	    SECTORS + 1,
		1ULL << 54,	  1ULL << 55,	    (1ULL << 55) - 1,
		(1ULL << 55) + 3, (1ULL << 63) - 1, 1ULL << 63,
		UINT64_MAX - 1,	  UINT64_MAX,
	};
	unsigned i;

	(void)state;
	memset(sent + 16, 'x', 2 * SECTOR);
	for (i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		header(IN, sectors[i]);
		assert_int_equal(request(16, 2 * SECTOR + 1, ROOM), 0);
		assert_int_equal(got[0], UNTOUCHED);
		assert_int_equal(got[2 * SECTOR], IOERR);
		header(OUT, sectors[i]);
		assert_int_equal(request(16 + 2 * SECTOR, 1, ROOM), 1);
		assert_int_equal(got[0], IOERR);
	}
	assert_false(is_broken());
	expect_disk_unharmed();
}

static void parts_of_sectors_fail(void **state)
{
	static const unsigned sizes[] = {1, 511, 513, 1023, SECTOR * 2 - 16};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		header(IN, 0);
		assert_int_equal(request(16, sizes[i] + 1, ROOM), 0);
		assert_int_equal(got[sizes[i]], IOERR);
		header(OUT, 0);
		assert_int_equal(request(16 + sizes[i], 1, ROOM), 1);
		assert_int_equal(got[0], IOERR);
	}
	expect_disk_unharmed();
}

static void a_short_header_or_no_status_is_broken(void **state)
{
	size_t send;

	(void)state;
	for (send = 0; send < 16; send++) {
		assert_int_equal(request(send, SECTOR + 1, 5 + send), -1);
		assert_true(is_broken());
		assert_int_equal(got[SECTOR], UNTOUCHED);
		up(F_FLUSH);
	}
	header(IN, 0);
	assert_int_equal(request(16, 0, ROOM), -1);
	assert_true(is_broken());
	up(F_FLUSH);
	header(OUT, 0);
	assert_int_equal(request(16 + SECTOR, 0, ROOM), -1);
	assert_true(is_broken());
	expect_disk_unharmed();
	up(F_FLUSH);
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
}

static void data_in_the_wrong_direction_is_left_alone(void **state)
{
	(void)state;
	memset(sent + 16, 'x', SECTOR);
	header(OUT, 0);
	assert_int_equal(request(16 + SECTOR, SECTOR + 1, ROOM), 0);
	assert_int_equal(got[0], UNTOUCHED);
	assert_int_equal(got[SECTOR], OK);
	expect_on_disk(0, sent + 16, SECTOR);
}

static void the_configuration_tells_the_capacity(void **state)
{
	uint64_t capacity;

	(void)state;
	fake_read(&host, MMIO_CONFIG, &capacity, sizeof(capacity));
	assert_true(capacity == SECTORS);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG), SECTORS);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG + 12), RING - 2);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG + 16), 0);
	fake_write32(&host, MMIO_CONFIG, 99);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG), SECTORS);
	assert_int_equal(fake_read32(&host, MMIO_DEVICE_ID), 2);
}

/* ---- many requests ------------------------------------------------------ */

static void a_full_ring_is_served_in_turns(void **state)
{
	uint32_t id, len;
	unsigned i;

	(void)state;
	header(GET_ID, 0);
	describe(0, SENT_GPA, 16, ROOM, 0);
	fake_ring_desc(&ring, 1, GOT_GPA, 21, FAKE_WRITE, 0);
	fake_kvm_take_edges();
	for (i = 0; i < RING; i++)
		fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_int_equal(fake_host_turn(&host, 1), 1);
	assert_true(ring.used_head[1] < RING);
	assert_true(fake_host_turn(&host, 16) < 16);
	assert_int_equal(ring.used_head[1], RING);
	assert_true(fake_kvm_take_edges() <= 5);
	for (i = 0; i < RING; i++) {
		assert_true(fake_ring_take(&ring, &id, &len));
		assert_int_equal(len, 21);
	}
	/* At rest the device wants to hear of the next. */
	assert_int_equal(ring.used_head[0], 0);
}

/* 2.7.10: the driver tells only when it passes avail_event. */
static void two_hundred_thousand_requests_need_every_event(void **state)
{
	struct fake_random r = {.state = 512};
	unsigned i, n, sum = 0, interrupts = 0;
	uint16_t old;
	uint32_t id, len;

	(void)state;
	up(F_FLUSH | FAKE_F_EVENT_IDX);
	header(GET_ID, 0);
	describe(0, SENT_GPA, 16, ROOM, 0);
	fake_ring_desc(&ring, 1, GOT_GPA, 21, FAKE_WRITE, 0);
	while (sum < 200000) {
		n = 1 + fake_random_below(&r, 8);
		old = ring.avail_idx;
		for (i = 0; i < n; i++)
			fake_ring_offer(&ring, 0);
		/* An interrupt with the last of them, please. */
		ring.avail[2 + RING] = (uint16_t)(ring.used_idx + n - 1);
		if ((uint16_t)(ring.avail_idx - *ring.avail_event - 1) <
		    (uint16_t)(ring.avail_idx - old))
			fake_write32(&host, MMIO_NOTIFY, 0);
		fake_host_turn(&host, 4);
		for (i = 0; i < n; i++)
			assert_true(fake_ring_take(&ring, &id, &len));
		assert_int_equal(fake_kvm_take_edges(), 1);
		interrupts++;
		sum += n;
	}
	assert_false(is_broken());
	assert_true(interrupts < sum);
}

static void hostile_step(struct fake_random *r)
{
	static const uint64_t bases[] = {
		SENT_GPA,	    GOT_GPA,   RING_GPA,
		FAKE_LOW_SIZE - 64, FAKE_HIGH, FAKE_HIGH + FAKE_HIGH_SIZE - 512,
		FAKE_SLOT,	    ~0ULL - 63};
	unsigned n = 1 + fake_random_below(r, 5);
	uint16_t i;

	for (i = 0; i < n; i++)
		fake_ring_desc(
			&ring, (uint16_t)fake_random_below(r, 8),
			bases[fake_random_below(r, 30) % 9 % 8] +
				fake_random_below(r, 64),
			fake_random_below(r, 40) ? fake_random_below(r, 1100)
						 : (uint32_t)fake_random(r),
			(uint16_t)fake_random_below(r, 8),
			(uint16_t)fake_random_below(
				r, fake_random_below(r, 20) ? 8 : RING + 9));
	header(fake_random_below(r, 15), fake_random_below(r, SECTORS + 3));
	if (fake_random_below(r, 3)) {
		/* Something nearly right, or faults are all we see. */
		i = describe(0, SENT_GPA, 16 + fake_random_below(r, 2) * SECTOR,
			     ROOM, 0);
		i = describe(i, GOT_GPA, 1 + fake_random_below(r, 2) * SECTOR,
			     ROOM, FAKE_WRITE);
		ring.desc[i - 1].flags = FAKE_WRITE;
	}
	for (i = 0; i < 1 + n % 2; i++)
		fake_ring_offer(
			&ring, n == 5 ? (uint16_t)fake_random_below(r, 10) : 0);
	if (!fake_random_below(r, 500))
		ring.avail[1] = (uint16_t)fake_random(r);
}

static void a_hostile_driver_breaks_nothing(void **state)
{
	struct fake_random r = {.state = 0xb10c};
	unsigned i, broken = 0, served = 0;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	up(FAKE_F_INDIRECT);
	for (i = 0; i < 100000; i++) {
		hostile_step(&r);
		fake_write32(&host, MMIO_NOTIFY, 0);
		if (fake_host_turn(&host, 64) == 64)
			fail_msg("step %u does not come to rest", i);
		served += ring.used_head[1] != ring.used_idx;
		ring.used_idx = ring.used_head[1];
		if (is_broken()) {
			broken++;
			up(F_FLUSH | (i % 2 ? FAKE_F_INDIRECT : 0));
		}
	}
	assert_true(broken > 10000);
	assert_true(served > 10000);
	up(F_FLUSH);
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
}

#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, bench_setup_up, bench_teardown)

int main(void)
{
	const struct CMUnitTest either[] = {
		TEST(sectors_are_read),
		TEST(sectors_are_written),
		TEST(reads_may_be_split_anywhere),
		TEST(writes_may_be_split_anywhere),
		TEST(flushes_and_get_id_byte_by_byte),
		TEST(an_id_fits_the_room_there_is),
		TEST(other_requests_are_unsupported),
		TEST(empty_reads_and_writes_succeed_on_the_disk),
		TEST(nothing_lies_past_the_end),
		TEST(parts_of_sectors_fail),
		TEST(a_short_header_or_no_status_is_broken),
		TEST(data_in_the_wrong_direction_is_left_alone),
		TEST(the_configuration_tells_the_capacity),
	};
	const struct CMUnitTest many[] = {
		TEST(a_full_ring_is_served_in_turns),
		TEST(two_hundred_thousand_requests_need_every_event),
		/* Turns the log off. */
		TEST(a_hostile_driver_breaks_nothing),
	};
	int failed = cmocka_run_group_tests_name("sync", either, NULL, NULL);

	bench_engine = BLOCK_ASYNC;
	failed += cmocka_run_group_tests_name("async", either, NULL, NULL);
	failed += cmocka_run_group_tests_name("async, many", many, NULL, NULL);
	bench_engine = BLOCK_SYNC;
	return failed +
	       cmocka_run_group_tests_name("sync, many", many, NULL, NULL);
}
