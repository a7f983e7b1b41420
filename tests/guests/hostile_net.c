/*
 * Attacks by what virtio-net frames and commands say (virtio 1.2, 5.1.6). The
 * host's end of the tap is HOST_IP, and its kernel answers ARP: that is the
 * proof.
 */
#include "tests/guests/hostile.h"

enum { RX = 0, TX = 1, CTRL = 2 };
enum { HEADER = 12, ARP = 42, RX_BYTES = 2048, FRAMES = 64 };

enum { CLASS_OFFLOADS = 5, GUEST_CSUM = 2 };

#define NET_F_MQ (1ULL << 22)

static volatile uint8_t header[HEADER];
static _Alignas(4096) volatile uint8_t frame[4096];
static _Alignas(4096) volatile uint8_t received[QUEUE_SIZE][RX_BYTES];

static const uint8_t arp_request[ARP] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,	0, 0, 0, 0, 9, 8, 6, /* Ethernet
								      */
	0,    1,    8,	  0,	6,    4,    0,	1, /* who has */
	2,    0,    0,	  0,	0,    9,    10, 9, 9, 2, 0, 0, 0, 0, 0,
	0,    10,   9,	  9,	1,
};

static void net_fill(struct device *d)
{
	struct queue *q = target(d);
	unsigned i;

	for (i = 0; i < HEADER; i++)
		header[i] = 0;
	for (i = 0; i < ARP; i++)
		frame[i] = arp_request[i];
	desc_buffer(&q->desc[0], header, HEADER, NEXT, 1);
	desc_buffer(&q->desc[1], frame, ARP, 0, 0);
	desc_buffer(&q->desc[2], frame, ARP, 0, 0);
}

static void offer_received(struct device *d, unsigned i)
{
	struct queue *q = &d->queue[RX];

	desc_buffer(&q->desc[i], received[i], RX_BYTES, WRITE, 0);
	queue_offer(q, (uint16_t)i);
}

static bool is_arp_reply(const volatile uint8_t *f)
{
	return f[12] == 8 && f[13] == 6 && f[21] == 2 && f[31] == 1;
}

static const char *net_prove(struct device *d)
{
	struct queue *rx = &d->queue[RX];
	unsigned i, at;

	if (!rx->avail.idx)
		for (i = 0; i < QUEUE_SIZE; i++)
			offer_received(d, i);
	queue_kick(d, RX);
	net_fill(d);
	submit(d, 0);
	WANT(queue_used(target(d)), "a good frame was not sent");
	for (i = 0; i < FRAMES; i++) {
		WANT(queue_used(rx), "nobody answered a good frame");
		at = rx->used.ring[(rx->seen - 1) & (QUEUE_SIZE - 1)].id;
		WANT(at < QUEUE_SIZE, "a buffer of no number was used");
		offer_received(d, at);
		queue_kick(d, RX);
		if (is_arp_reply(received[at] + HEADER))
			return NULL;
	}
	return "frames came, and no answer";
}

const struct kind net_kind = {
	.id = ID_NET,
	.name = "net",
	.queues = 3,
	.target = TX,
	.features = ~NET_F_MQ,
	.fill = net_fill,
	.prove = net_prove,
};

/* ---- sending ---- */

/* A frame of so many bytes is taken, whatever becomes of it. */
static const char *sent(struct device *d, uint32_t bytes)
{
	struct queue *q = target(d);

	desc_buffer(&q->desc[0], header, HEADER, bytes ? NEXT : 0, 1);
	desc_buffer(&q->desc[1], frame, bytes, 0, 0);
	submit(d, 0);
	WANT(queue_used(q), "a frame was neither sent nor dropped");
	WANT(!(reg_read(d, REG_STATUS) & NEEDS_RESET), "it wants a reset");
	return NULL;
}

static const char *header_rubbish(struct device *d)
{
	static const uint8_t gso[] = {0,    1,	  2,	3,    4,    5,
				      0x7f, 0x80, 0x81, 0x84, 0x85, 0xff};
	const char *why = NULL;
	unsigned i, j;

	for (i = 0; i < 200 && !why; i++) {
		net_fill(d);
		for (j = 0; j < HEADER; j++)
			header[j] = (uint8_t)(random_next() & 3 ? random_next()
								: 0xff);
		header[1] = gso[i % sizeof(gso)];
		if (i & 1)
			header[0] = 1;
		why = sent(d, i & 2 ? 1514 : ARP);
	}
	return why;
}

/* Checksums at the last byte and past it, segments of 0 and of 65535. */
static const char *header_edges(struct device *d)
{
	static const uint16_t edges[] = {
		0,  1,	  13,	14,   38,     40,     41,     42,
		43, 1512, 1513, 1514, 0x7fff, 0x8000, 0xfffe, 0xffff};
	const char *why = NULL;
	unsigned i, j;
	uint16_t e;

	for (i = 0; i < 16 && !why; i++) {
		for (j = 2; j < 10 && !why; j += 2) {
			net_fill(d);
			e = edges[i];
			header[0] = 1;
			header[1] = (uint8_t)(j == 4 || i & 1);
			header[4] = 100;
			header[j] = (uint8_t)e;
			header[j + 1] = (uint8_t)(e >> 8);
			why = sent(d, 1514);
		}
	}
	return why;
}

static const char *frame_sizes(struct device *d)
{
	static const uint32_t bytes[] = {0,  1,	 12, 13,   14,
					 15, 17, 18, 1515, 4096};
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]) && !why; i++) {
		net_fill(d);
		why = sent(d, bytes[i]);
	}
	return why;
}

/* 64 KiB and a little more or less, then as much as a chain can say. */
static const char *frames_too_large(struct device *d)
{
	static const uint32_t sizes[] = {4095,	  4096,	    4370,    4400,
					 1 << 20, 16 << 20, 32 << 20};
	struct queue *q = target(d);
	unsigned i, n;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		net_fill(d);
		for (n = 1; n < QUEUE_SIZE; n++)
			desc_set(&q->desc[n], 0, sizes[i],
				 n < QUEUE_SIZE - 1 ? NEXT : 0,
				 (uint16_t)(n + 1));
		submit(d, 0);
		WANT(queue_used(q), "a frame was neither sent nor dropped");
	}
	return NULL;
}

static const char *split_frame(struct device *d)
{
	struct queue *q = target(d);
	unsigned i;

	net_fill(d);
	for (i = 0; i < HEADER; i++)
		desc_buffer(&q->desc[i], header + i, 1, NEXT,
			    (uint16_t)(i + 1));
	desc_buffer(&q->desc[12], frame, 1, NEXT, 13);
	desc_buffer(&q->desc[13], frame + 1, ARP - 1, 0, 0);
	submit(d, 0);
	WANT(queue_used(q), "it was not sent");
	return d->kind->prove(d);
}

static const char *short_headers(struct device *d)
{
	uint32_t bytes;

	for (bytes = 1; bytes < HEADER; bytes += 5) {
		WANT(device_up(d, F_ALL), "it did not come up");
		desc_buffer(&target(d)->desc[0], header, bytes, 0, 0);
		submit(d, 0);
		WANT_STOPPED(d);
	}
	return NULL;
}

static const char *writable_frame(struct device *d)
{
	net_fill(d);
	target(d)->desc[1].flags = WRITE;
	submit(d, 0);
	WANT_STOPPED(d);
	return NULL;
}

/* ---- receiving ---- */

/* Buffers no frame fits into, while frames arrive. */
static const char *receive_into(struct device *d, uint32_t bytes,
				uint16_t flags, uint64_t features)
{
	struct queue *rx = &d->queue[RX];
	unsigned i;

	WANT(device_up(d, features), "it did not come up");
	for (i = 0; i < QUEUE_SIZE; i++) {
		desc_buffer(&rx->desc[i], received[i], bytes, flags, 0);
		queue_offer(rx, (uint16_t)i);
	}
	queue_kick(d, RX);
	net_fill(d);
	for (i = 0; i < 4; i++)
		submit(d, 0);
	sleep_us(3000);
	return witness_answers(d);
}

static const char *small_buffers(struct device *d)
{
	static const uint32_t bytes[] = {1, 2, 11, 12, 13, 25, 26, 53};
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]) && !why; i++) {
		why = receive_into(d, bytes[i], WRITE, F_ALL);
		if (!why)
			why = receive_into(d, bytes[i], WRITE, F_VERSION_1);
	}
	return why;
}

static const char *readable_buffers(struct device *d)
{
	return receive_into(d, RX_BYTES, 0, F_ALL);
}

/* ---- commands ---- */

static volatile uint8_t command[64];
static volatile uint8_t answer;

static const char *commanded(struct device *d, uint32_t bytes)
{
	struct queue *q = &d->queue[CTRL];

	answer = 0xaa;
	desc_buffer(&q->desc[0], command, bytes, NEXT, 1);
	desc_buffer(&q->desc[1], &answer, 1, WRITE, 0);
	queue_offer(q, 0);
	queue_kick(d, CTRL);
	WANT(queue_used(q), "no answer");
	WANT(answer <= 1, "an answer that is none");
	return NULL;
}

/* Few, for they are held to a rate. */
static const char *commands_rubbish(struct device *d)
{
	const char *why = NULL;
	unsigned i, j;

	for (i = 0; i < 40 && !why; i++) {
		for (j = 0; j < sizeof(command); j++)
			command[j] = (uint8_t)(i & 1 ? random_next() : 0xff);
		command[0] = (uint8_t)(i % 8);
		command[1] = (uint8_t)(i / 8 % 4);
		why = commanded(d, 2 + random_next() % 62);
	}
	return why;
}

static const char *commands_unknown(struct device *d)
{
	const char *why;
	unsigned i;

	for (i = 6; i < 256; i += 40) {
		command[0] = (uint8_t)i;
		command[1] = 0;
		why = commanded(d, 2 + i % 7);
		if (why)
			return why;
		WANT(answer == 1, "a command nobody knows was obeyed");
	}
	return NULL;
}

static const char *commands_cut(struct device *d)
{
	struct queue *q = &d->queue[CTRL];

	desc_buffer(&q->desc[0], command, 1, NEXT, 1);
	desc_buffer(&q->desc[1], &answer, 1, WRITE, 0);
	queue_offer(q, 0);
	queue_kick(d, CTRL);
	WANT_STOPPED(d);
	WANT(device_up(d, F_ALL), "it did not come up");
	desc_buffer(&q->desc[0], command, 8, 0, 0);
	queue_offer(q, 0);
	queue_kick(d, CTRL);
	WANT_STOPPED(d);
	return NULL;
}

/* Checksums on and off, which asks the host, and nobody stays to hear of it. */
static const char *commands_left(struct device *d)
{
	struct queue *q = &d->queue[CTRL];
	unsigned i, j;

	for (i = 0; i < 20; i++) {
		for (j = 0; j < sizeof(command); j++)
			command[j] = 0;
		command[0] = CLASS_OFFLOADS;
		command[2] = i % 2 ? GUEST_CSUM : 0;
		desc_buffer(&q->desc[0], command, 2 + 8, NEXT, 1);
		desc_buffer(&q->desc[1], &answer, 1, WRITE, 0);
		queue_offer(q, 0);
		queue_kick(d, CTRL);
		WANT(device_up(d, F_ALL), "it did not come up");
	}
	return NULL;
}

const struct attack net_attacks[] = {
	{"headers of random bytes", header_rubbish, 0, false},
	{"headers of random bytes, nothing negotiated", header_rubbish,
	 F_VERSION_1, false},
	{"checksums and segments at the edges", header_edges, 0, false},
	{"frames of 0 to 4,096 bytes", frame_sizes, 0, false},
	{"frames of 64 KiB and more", frames_too_large, 0, false},
	{"a frame in 14 pieces", split_frame, 0, false},
	{"frames without a header", short_headers, 0, true},
	{"a frame to send that is to be written", writable_frame, 0, false},
	{"buffers of 1 to 53 bytes to receive into", small_buffers, 0, true},
	{"buffers to receive into that are to be read", readable_buffers, 0,
	 true},
	{"commands of random bytes", commands_rubbish, 0, false},
	{"commands nobody knows", commands_unknown, 0, false},
	{"commands cut short", commands_cut, 0, false},
	{"commands with a reset behind them", commands_left, 0, false},
	{0},
};
