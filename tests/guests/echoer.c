/*
 * A guest that sends back each frame of its network, or sends many, and counts
 * what that took. It keeps its driver as Linux does: the queue of what it
 * receives is refilled with what was sent, it asks for an interrupt of both
 * queues before it sleeps, and kicks where EVENT_IDX has it kick.
 *
 * Its command line: flood=N to send so many frames of bytes=N instead. It
 * prints "begin", and after a frame that ends it "end FRAMES INTERRUPTS KICKS".
 */
#include "tests/guests/anywhere.h"
#include "tests/guests/idle.h"
#include "tests/guests/words.h"

void hostile_main(void);

enum { RX = 0, TX = 1, RING = 64, HEADER = 12, BUFFER_BYTES = 2048 };
enum { BUFFERS = 16 << 20, LAST_BYTE = HEADER + 14, LAST = 0xbb };
enum { HEAD_START_US = 50000 };

static const struct kind net_kind_here = {
	.id = ID_NET,
	.name = "net",
	.queues = 2,
	.features = F_EVENT_IDX,
};

static struct queue queues[2];
static struct device net = {.kind = &net_kind_here, .queue = queues};
static uint32_t frames, interrupts, kicks;

static volatile uint8_t *buffer(unsigned i)
{
	return (volatile uint8_t *)(uintptr_t)(BUFFERS + i * BUFFER_BYTES);
}

static void receive(unsigned i)
{
	desc_buffer(&queues[RX].desc[i], buffer(i), BUFFER_BYTES, WRITE, 0);
	kicks += offer_politely(&net, RX, (uint16_t)i);
}

static void send(unsigned i, uint32_t len)
{
	volatile uint32_t *header = (volatile uint32_t *)buffer(i);

	header[0] = header[1] = header[2] = 0;
	desc_buffer(&queues[TX].desc[i], buffer(i), len, 0, 0);
	kicks += offer_politely(&net, TX, (uint16_t)i);
	frames++;
}

static void rest(void)
{
	const bool has_sent = ask_for_interrupt(&queues[TX]);

	if (ask_for_interrupt(&queues[RX]) || has_sent)
		return;
	interrupts++;
	take_interrupt(&net);
}

/* Until one ends it. */
static void echo(void)
{
	bool is_over = false;
	int i, sent;

	for (i = 0; i < RING; i++)
		receive((unsigned)i);
	print("begin\n");
	while (!is_over) {
		sent = take_used(&queues[TX]);
		if (sent >= 0)
			receive((unsigned)sent);
		i = take_used(&queues[RX]);
		if (i >= 0) {
			is_over = buffer((unsigned)i)[LAST_BYTE] == LAST;
			send((unsigned)i,
			     queues[RX]
				     .used
				     .ring[(queues[RX].seen - 1) & (RING - 1)]
				     .len);
		}
		if (i < 0 && sent < 0)
			rest();
	}
}

static void flood(uint32_t count, uint32_t len)
{
	uint32_t free = RING, k;
	int i;

	/* To all, of a type that nobody knows. */
	for (k = 0; k < RING; k++)
		for (i = 0; i < 12; i++)
			buffer(k)[HEADER + i] = i < 6 ? 0xff : 2;
	print("begin\n");
	for (k = 0; k < count || free < RING;) {
		if (k < count && free) {
			send(k % RING, len + HEADER);
			k++;
			free--;
		} else if (take_used(&queues[TX]) >= 0) {
			free++;
			while (take_used(&queues[TX]) >= 0)
				free++;
		} else {
			rest();
		}
	}
}

void hostile_main(void)
{
	const uint32_t count = number("flood=", 0);

	idle_setup();
	/* Whoever takes the time has to be there. */
	sleep_us(HEAD_START_US);
	if (!bring_up(&net, F_ALL, RING)) {
		print("bad machine\n");
		return;
	}
	if (count)
		flood(count, number("bytes=", 1514));
	else
		echo();
	print("end ");
	print_number(frames);
	print(" ");
	print_number(interrupts);
	print(" ");
	print_number(kicks);
	print("\n");
}
