/*
 * virtio-block under load: requests of every kind, at random, many in flight on
 * several queues, against a copy of what the disk must hold. Each request of a
 * round works in a zone of its own, so that their order does not matter. The
 * driver kicks only when the device asked for it, so a wake-up that gets lost
 * is found.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"

enum { QUEUES = 4, QUEUE_SIZE = 32, SLOTS = 32, EACH = SLOTS / QUEUES };
enum { ZONES = 64, ZONE = 16 * SECTOR, DISK = ZONES * ZONE };
enum { DISCARD = 11, WRITE_ZEROES = 13, UNMAP = 1 };

#define F_MQ (1ULL << 12)

/* Where a slot keeps its request in guest memory. */
enum { SLOT_BYTES = 0x4000, STATUS_AT = 64, DATA_AT = 0x1000 };

struct slot {
	uint32_t type;
	uint32_t flags;
	unsigned zone;
	unsigned at, bytes; /* within the zone */
	uint8_t fill;
	bool is_offered;
	uint8_t *memory;
};

static struct slot slots[SLOTS];
static uint8_t disk[DISK]; /* as it must be */
static struct fake_random rnd;
static unsigned zones[ZONES];
static bool has_event_idx;
static unsigned served[16]; /* by type */

static int setup(void **state)
{
	struct err e;
	unsigned i;

	bench_setup(state);
	make_disk(DISK);
	bench_queues = QUEUES;
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	memset(disk, 0, sizeof(disk));
	for (i = 0; i < SECTORS * SECTOR; i++)
		disk[i] = (uint8_t)(i * 7 + i / SECTOR);
	for (i = 0; i < SLOTS; i++)
		slots[i] = (struct slot){
			.memory = guest_mem_at(&host.mem,
					       FAKE_HIGH + i * SLOT_BYTES,
					       SLOT_BYTES),
		};
	for (i = 0; i < ZONES; i++)
		zones[i] = i;
	memset(served, 0, sizeof(served));
	rnd.state = 0xb10c + bench_engine;
	return 0;
}

static int teardown(void **state)
{
	bench_queues = 1;
	return bench_teardown(state);
}

static void climb(unsigned round)
{
	has_event_idx = round & 1;
	up_queues(QUEUES,
		  F_MQ | F_FLUSH | F_DISCARD | F_WRITE_ZEROES |
			  (has_event_idx ? FAKE_F_EVENT_IDX : 0),
		  QUEUE_SIZE);
}

/* ---- one request --------------------------------------------------------- */

static void choose(struct slot *s, unsigned zone)
{
	static const uint32_t types[] = {
		IN, IN,	 OUT,	  OUT,		FLUSH, GET_ID,	    DISCARD,
		IN, OUT, DISCARD, WRITE_ZEROES, OUT,   WRITE_ZEROES};
	unsigned sectors = 1 + fake_random_below(&rnd, 16);

	s->type = types[fake_random_below(&rnd, sizeof(types) / 4)];
	/* What an overlay makes of it is told by test_block_overlay.c. */
	if (s->type == DISCARD && bench_overlay.is_wanted)
		s->type = WRITE_ZEROES;
	s->flags = s->type == WRITE_ZEROES && fake_random_below(&rnd, 2) ? UNMAP
									 : 0;
	s->zone = zone;
	s->bytes = sectors * SECTOR;
	s->at = fake_random_below(&rnd, 17 - sectors) * SECTOR;
	s->fill = (uint8_t)fake_random(&rnd);
}

static bool is_range(const struct slot *s)
{
	return s->type == DISCARD || s->type == WRITE_ZEROES;
}

static uint64_t start_of(const struct slot *s)
{
	return (uint64_t)s->zone * ZONE + s->at;
}

/* Writes header and data, and describes them in three descriptors. */
static void describe_slot(struct slot *s, struct fake_ring *r, uint16_t at)
{
	const uint64_t gpa = FAKE_HIGH + (uint64_t)(s - slots) * SLOT_BYTES;
	const uint64_t sector = start_of(s) / SECTOR;
	const uint32_t sectors = s->bytes / SECTOR;
	const uint16_t more = s->type == IN || s->type == GET_ID
				      ? FAKE_NEXT | FAKE_WRITE
				      : FAKE_NEXT;
	uint32_t bytes = s->bytes;

	memset(s->memory, 0, 16);
	memcpy(s->memory, &s->type, 4);
	s->memory[STATUS_AT] = UNTOUCHED;
	memset(s->memory + DATA_AT, s->type == IN ? UNTOUCHED : s->fill,
	       s->bytes);
	if (is_range(s)) {
		memcpy(s->memory + DATA_AT, &sector, 8);
		memcpy(s->memory + DATA_AT + 8, &sectors, 4);
		memcpy(s->memory + DATA_AT + 12, &s->flags, 4);
		bytes = 16;
	} else {
		memcpy(s->memory + 8, &sector, 8);
	}
	if (s->type == GET_ID)
		bytes = 20;
	fake_ring_desc(r, at, gpa, 16, FAKE_NEXT, at + 1);
	fake_ring_desc(r, at + 1, gpa + DATA_AT, bytes, more, at + 2);
	fake_ring_desc(r, at + 2, gpa + STATUS_AT, 1, FAKE_WRITE, 0);
}

static void changed(const struct slot *s, uint8_t to)
{
	memset(disk + start_of(s), to, s->bytes);
}

/* What the answer must be, and what it means for the disk. */
static void check_answer(struct slot *s)
{
	const uint8_t status = s->memory[STATUS_AT];

	s->is_offered = false;
	served[s->type]++;
	/* Not every file system can do it without giving space back. */
	if (s->type == WRITE_ZEROES && !s->flags && status == UNSUPP)
		return;
	assert_int_equal(status, OK);
	if (s->type == IN)
		assert_memory_equal(s->memory + DATA_AT, disk + start_of(s),
				    s->bytes);
	else if (s->type == OUT)
		changed(s, s->fill);
	else if (is_range(s))
		changed(s, 0);
	else if (s->type == GET_ID)
		assert_string_equal((char *)s->memory + DATA_AT, "rootfs");
}

/* ---- a round ------------------------------------------------------------- */

static bool wants_kick(const struct fake_ring *r, uint16_t old)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (has_event_idx)
		return (uint16_t)(r->avail_idx - *r->avail_event - 1) <
		       (uint16_t)(r->avail_idx - old);
	return !(r->used_head[0] & 1);
}

/* Offers up to a slot's worth of requests on each queue. */
static unsigned offer_some(void)
{
	unsigned i, j, tmp, n = 0;
	uint16_t old;

	for (i = 0; i < SLOTS; i++) {
		j = i + fake_random_below(&rnd, ZONES - i);
		tmp = zones[i];
		zones[i] = zones[j];
		zones[j] = tmp;
	}
	for (i = 0; i < QUEUES; i++) {
		old = rings[i].avail_idx;
		tmp = fake_random_below(&rnd, EACH + 1);
		for (j = 0; j < tmp; j++, n++) {
			struct slot *s = &slots[i * EACH + j];

			choose(s, zones[i * EACH + j]);
			describe_slot(s, &rings[i], (uint16_t)(j * 3));
			s->is_offered = true;
			fake_ring_offer(&rings[i], (uint16_t)(j * 3));
		}
		/* An interrupt with the last of them, please. */
		rings[i].avail[2 + QUEUE_SIZE] =
			(uint16_t)(rings[i].avail_idx - 1);
		if (wants_kick(&rings[i], old))
			fake_write32(&host, MMIO_NOTIFY, i);
	}
	return n;
}

static unsigned take_some(void)
{
	uint32_t id, len;
	unsigned i, n = 0;

	for (i = 0; i < QUEUES; i++)
		while (fake_ring_take(&rings[i], &id, &len)) {
			assert_int_equal(id % 3, 0);
			assert_true(id / 3 < EACH);
			assert_true(slots[i * EACH + id / 3].is_offered);
			check_answer(&slots[i * EACH + id / 3]);
			n++;
		}
	return n;
}

static void expect_zone(unsigned zone)
{
	uint8_t have[ZONE];

	read_disk((uint64_t)zone * ZONE, have, ZONE);
	assert_memory_equal(have, disk + (size_t)zone * ZONE, ZONE);
	if (bench_overlay.is_wanted)
		expect_disk_unharmed();
}

static void all_kinds_at_once_keep_the_disk_right(void **state)
{
	unsigned round, left, i;

	(void)state;
	for (round = 0; round < 400; round++) {
		if (round % 100 == 0)
			climb(round / 100);
		fake_kvm_take_edges();
		for (left = offer_some(), i = 0; left && i < 10000; i++) {
			if (!fake_host_turn(&host, 1))
				usleep(1000);
			left -= take_some();
		}
		assert_int_equal(left, 0);
		if (i)
			assert_true(fake_kvm_take_edges() >= 1);
		assert_false(is_broken());
	}
	for (i = 0; i < ZONES; i++)
		expect_zone(i);
	assert_true(served[IN] > 100 && served[OUT] > 100);
	assert_true(served[DISCARD] > 100 || bench_overlay.is_wanted);
	assert_true(served[WRITE_ZEROES] > 100);
	assert_true(served[FLUSH] > 50 && served[GET_ID] > 50);
}

/* ---- resets -------------------------------------------------------------- */

/* A request the driver let go of was carried out as a whole, or not at all. */
static void settle(struct slot *s)
{
	uint8_t have[ZONE], after[ZONE];

	if (!s->is_offered)
		return;
	s->is_offered = false;
	if (s->type != OUT && !is_range(s))
		return;
	read_disk(start_of(s), have, s->bytes);
	memset(after, s->type == OUT ? s->fill : 0, s->bytes);
	if (!memcmp(have, after, s->bytes))
		changed(s, after[0]);
	else
		assert_memory_equal(have, disk + start_of(s), s->bytes);
}

static void resets_at_any_moment_leave_whole_requests(void **state)
{
	unsigned round, i, cut = 0;

	(void)state;
	for (round = 0; round < 400; round++) {
		climb(round);
		offer_some();
		fake_host_turn(&host, fake_random_below(&rnd, 4));
		take_some();
		fake_write32(&host, MMIO_STATUS, 0);
		assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
		for (i = 0; i < SLOTS; i++) {
			cut += slots[i].is_offered;
			settle(&slots[i]);
			memset(slots[i].memory, UNTOUCHED, SLOT_BYTES);
		}
		fake_host_turn(&host, 8);
		for (i = 0; i < SLOTS; i++) {
			assert_int_equal(slots[i].memory[STATUS_AT], UNTOUCHED);
			assert_int_equal(slots[i].memory[DATA_AT], UNTOUCHED);
		}
	}
	assert_true(cut > 1000);
	for (i = 0; i < ZONES; i++)
		expect_zone(i);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_kinds_at_once_keep_the_disk_right),
		TEST(resets_at_any_moment_leave_whole_requests),
	};
	static const char *const names[] = {
		"sync, in memory",  "async, in memory", "sync, on a disk",
		"async, on a disk", "sync, overlaid",	"async, overlaid",
	};
	unsigned i, failed = 0;

	/* Whoever waits for ever fails. */
	alarm(120);
	for (i = 0; i < 6; i++) {
		bench_engine = i & 1 ? BLOCK_ASYNC : BLOCK_SYNC;
		bench_on_disk = i & 2;
		bench_overlay.is_wanted = i & 4;
		failed += (unsigned)cmocka_run_group_tests_name(names[i], tests,
								NULL, NULL);
	}
	return (int)failed;
}
