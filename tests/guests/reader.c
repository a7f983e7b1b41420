/*
 * A guest that reads from a disk with many requests under way at once, as a
 * busy Linux does, and counts what that took: one thread that submits a request
 * at a time while there is room, a driver that kicks where EVENT_IDX has it
 * kick, and an interrupt after each submission, if there is one by then, whose
 * handler takes all that was used and asks for the next.
 *
 * Its command line: depth=N bytes=N count=N, random=1 for reads all over the
 * disk instead of one after the other. It prints "begin", and at the end "end
 * REQUESTS INTERRUPTS KICKS".
 */
#include "tests/guests/anywhere.h"
#include "tests/guests/hostile_block.h"
#include "tests/guests/idle.h"
#include "tests/guests/words.h"

void hostile_main(void);

enum { RING = 128, DEPTH_MAX = 64, SEGMENT = 64 << 10, SEGMENTS_MAX = 16 };
enum { BUFFERS = 16 << 20, HEAD_START_US = 50000 };

/* A request, made once: only its sector changes. */
struct slot {
	volatile uint32_t type;
	volatile uint32_t reserved;
	volatile uint64_t sector;
	volatile uint8_t status;
	_Alignas(16) volatile struct desc table[SEGMENTS_MAX + 2];
};

static const struct kind disk_kind = {
	.id = ID_BLOCK,
	.name = "block",
	.queues = 1,
	.features = F_INDIRECT | F_EVENT_IDX,
};

static struct queue queues[1];
static struct device disk = {.kind = &disk_kind, .queue = queues};
static struct slot slots[DEPTH_MAX];
static uint16_t spare[DEPTH_MAX]; /* slots that are not under way */
static uint32_t bytes, spare_count, sectors;
static bool is_random;
static uint32_t under_way, submitted, interrupts, kicks;

static void make_slot(unsigned i)
{
	struct slot *s = &slots[i];
	uint32_t left, at = BUFFERS + i * bytes, n;
	uint16_t k = 0;

	desc_buffer(&s->table[k], s, 16, NEXT, 1);
	for (left = bytes; left; left -= n, at += n) {
		n = left < SEGMENT ? left : SEGMENT;
		k++;
		desc_set(&s->table[k], at, n, NEXT | WRITE, k + 1);
	}
	k++;
	desc_buffer(&s->table[k], &s->status, 1, WRITE, 0);
	desc_buffer(&queues->desc[i], s->table, (k + 1U) * sizeof(struct desc),
		    INDIRECT, 0);
	s->type = T_IN;
	spare[i] = (uint16_t)i;
}

/* Whole requests only, and 32 bits of the disk. */
static uint32_t next_sector(void)
{
	static uint32_t at;
	const uint32_t each = bytes / SECTOR;

	if (is_random)
		return random_next() % (sectors / each) * each;
	at = at + 2 * each > sectors ? 0 : at + each;
	return at;
}

static void submit_one(void)
{
	const uint16_t i = spare[--spare_count];

	slots[i].sector = next_sector();
	slots[i].status = S_NONE;
	under_way++;
	submitted++;
	kicks += offer_politely(&disk, 0, i);
}

static void take_answers(void)
{
	int i;

	interrupts++;
	take_interrupt(&disk);
	do {
		while ((i = take_used(queues)) >= 0) {
			if (slots[i].status != S_OK)
				print("bad status\n");
			spare[spare_count++] = (uint16_t)i;
			under_way--;
		}
	} while (ask_for_interrupt(queues));
}

static void print_counts(void)
{
	print("end ");
	print_number(submitted);
	print(" ");
	print_number(interrupts);
	print(" ");
	print_number(kicks);
	print("\n");
}

void hostile_main(void)
{
	const uint32_t count = number("count=", 1000);
	const uint32_t depth = number("depth=", 1);
	unsigned i;

	idle_setup();
	bytes = number("bytes=", 4096);
	is_random = number("random=", 0);
	if (depth > DEPTH_MAX || bytes > SEGMENTS_MAX * SEGMENT ||
	    !bring_up(&disk, F_ALL, RING)) {
		print("bad machine\n");
		return;
	}
	/* The low half will do, and is a register of its own. */
	sectors = reg_read(&disk, REG_CONFIG);
	for (i = 0; i < depth; i++)
		make_slot(i);
	spare_count = depth;
	/* Whoever takes the time has to be there. */
	sleep_us(HEAD_START_US);
	print("begin\n");
	while (submitted < count || under_way) {
		if (submitted < count && spare_count)
			submit_one();
		else
			take_answers();
		while (under_way && is_interrupted())
			take_answers();
	}
	print_counts();
}
