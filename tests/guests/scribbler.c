/*
 * A guest whose disk and memory must agree. The disk is extents that lie across
 * clusters, each filled with one number, which memory knows. A round writes
 * some extents anew, or zeroes them, and reads others; one that holds something
 * else than memory says is of another moment than it, and the guest says so. As
 * it comes, extent i is full of FIRST + i; tests/vm/overlay writes them.
 */
#include "tests/guests/hostile_block.h"

void hostile_main(void);

enum { EXTENT = 5, EXTENTS = 240, WORDS = EXTENT * SECTOR / 4 };
enum { WRITES = 6, READS = 3, REST_US = 500 };

#define FIRST 0xba5e0000U

static const struct kind disk_kind = {
	.id = ID_BLOCK,
	.name = "block",
	.queues = 1,
	.features = F_ALL,
};

static struct queue queues[1];
static struct device disk;
static uint32_t known[EXTENTS];
static uint32_t seed = 1;

/* Nobody attacks here; hostile_block.c wants it. */
const char *witness_answers(const struct device *d)
{
	(void)d;
	return NULL;
}

static uint32_t chance(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static void bad(const char *what, uint32_t extent)
{
	print("bad ");
	print(what);
	print(" of extent ");
	print_number(extent);
	print("\n");
}

/* However long it takes: clocks are none of this guest's business. */
static void is_served(const char *what, uint32_t extent)
{
	submit(&disk, 0);
	while (!queue_used(target(&disk)))
		;
	if (request.status != S_OK)
		bad(what, extent);
}

static void scribble(uint32_t extent)
{
	volatile uint32_t *words = (volatile uint32_t *)request.data;
	const uint32_t number = chance(1 << 24);
	unsigned i;

	for (i = 0; i < WORDS; i++)
		words[i] = number;
	block_fill(&disk, T_OUT, extent * EXTENT, EXTENT * SECTOR);
	is_served("a write", extent);
	known[extent] = number;
}

static void zero(uint32_t extent)
{
	volatile uint32_t *range = (volatile uint32_t *)request.data;

	range[0] = extent * EXTENT;
	range[1] = 0;
	range[2] = EXTENT;
	range[3] = chance(2);
	block_fill(&disk, T_WRITE_ZEROES, 0, 16);
	is_served("a zeroing", extent);
	known[extent] = 0;
}

static void look(uint32_t extent)
{
	const volatile uint32_t *words = (volatile uint32_t *)request.data;
	unsigned i;

	request.data[0] = (uint8_t)~known[extent];
	block_fill(&disk, T_IN, extent * EXTENT, EXTENT * SECTOR);
	is_served("a read", extent);
	for (i = 0; i < WORDS; i++)
		if (words[i] != known[extent])
			break;
	if (i == WORDS)
		return;
	bad("what is read", extent);
	print_hex(words[i]);
	print(" and not ");
	print_hex(known[extent]);
	print("\n");
}

static bool find(void)
{
	unsigned slot;

	for (slot = 0; slot < SLOT_COUNT; slot++) {
		disk.base = SLOTS + slot * SLOT_SIZE;
		disk.kind = &disk_kind;
		disk.queue = queues;
		if (reg_read(&disk, REG_MAGIC) == MAGIC &&
		    reg_read(&disk, REG_DEVICE_ID) == ID_BLOCK)
			return device_up(&disk, F_ALL);
	}
	return false;
}

void hostile_main(void)
{
	uint32_t round, i;

	if (!find())
		print("bad disk\n");
	for (i = 0; i < EXTENTS; i++)
		known[i] = FIRST + i;
	for (i = 0; i < EXTENTS; i += 7)
		look(i);
	for (round = 1;; round++) {
		for (i = 0; i < WRITES; i++)
			if (chance(4))
				scribble(chance(EXTENTS));
			else
				zero(chance(EXTENTS));
		for (i = 0; i < READS; i++)
			look(chance(EXTENTS));
		print("round ");
		print_number(round);
		print("\n");
		sleep_us(REST_US);
	}
}
