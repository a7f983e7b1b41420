/*
 * A guest that leaves the host's lock of network interfaces no rest: it has its
 * device attach and detach queues of the tap, and changes offloads, as fast as
 * they are carried out, and resets it with commands in flight. For a host on
 * which somebody else has that lock; see tests/vm/slow-disk.
 */
#include "tests/guests/hostile.h"

void hostile_main(void);

enum { PAIRS = 8, CTRL = 2 * PAIRS, COMMANDS = 4, ROUNDS = 8 };
enum { CLASS_MQ = 4, CLASS_OFFLOADS = 5, COMMAND_BYTES = 10 };

/* Its control queue is all that is used, behind all pairs (5.1.2). */
static const struct kind storm_kind = {
	.id = ID_NET,
	.name = "net",
	.queues = 0,
	.features = F_ALL,
};

static struct queue control;
static struct device net = {.kind = &storm_kind, .queue = &control};

static const struct {
	uint8_t class;
	uint8_t value;
	uint8_t bytes;
} wanted[COMMANDS] = {
	{CLASS_MQ, PAIRS, 2},
	{CLASS_OFFLOADS, 0, 8},
	{CLASS_MQ, 1, 2},
	{CLASS_OFFLOADS, 2, 8}, /* checksums */
};

static volatile uint8_t commands[COMMANDS][COMMAND_BYTES];
static volatile uint8_t answers[COMMANDS];

static bool find(void)
{
	unsigned slot;

	for (slot = 0; slot < SLOT_COUNT; slot++) {
		net.base = SLOTS + slot * SLOT_SIZE;
		if (reg_read(&net, REG_MAGIC) == MAGIC &&
		    reg_read(&net, REG_DEVICE_ID) == ID_NET)
			return true;
	}
	return false;
}

static bool come_up(void)
{
	const uint32_t up = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

	if (!device_negotiate(&net, F_ALL))
		return false;
	queue_place(&net, CTRL, &control, QUEUE_SIZE);
	reg_write(&net, REG_QUEUE_READY, 1);
	reg_write(&net, REG_STATUS, up);
	return reg_read(&net, REG_STATUS) == up;
}

static void offer_all(void)
{
	unsigned i;

	for (i = 0; i < COMMANDS; i++) {
		answers[i] = 0xff;
		commands[i][0] = wanted[i].class;
		commands[i][2] = wanted[i].value;
		desc_buffer(&control.desc[2 * i], commands[i],
			    2U + wanted[i].bytes, NEXT, (uint16_t)(2 * i + 1));
		desc_buffer(&control.desc[2 * i + 1], &answers[i], 1, WRITE, 0);
		queue_offer(&control, (uint16_t)(2 * i));
	}
	queue_kick(&net, CTRL);
}

/* Each in its turn, and well; the lock may be away for long. */
static bool are_obeyed(void)
{
	unsigned i, tries;

	for (i = 0; i < COMMANDS; i++) {
		for (tries = 0; !queue_used(&control); tries++)
			if (tries == 5)
				return false;
		if (answers[i])
			return false;
	}
	return true;
}

void hostile_main(void)
{
	unsigned round;

	if (!find())
		print("not ok - no network interface\n");
	for (round = 0;; round++) {
		if (round % ROUNDS == 0 && !come_up())
			print("not ok - it did not come up\n");
		offer_all();
		/* The last ones are what the reset finds. */
		if (round % ROUNDS == ROUNDS - 1)
			continue;
		print(are_obeyed() ? "served\n" : "not ok - served\n");
	}
}
