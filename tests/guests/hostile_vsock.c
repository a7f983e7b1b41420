/*
 * Attacks by what virtio-vsock packets say (virtio 1.2, 5.10.6). Nobody on the
 * host listens at NOBODY, so that a REQUEST there is answered by a RST: that
 * is the proof. Somebody listens at SINK, and takes what he is sent.
 */
#include "tests/guests/hostile.h"
#include "tests/guests/vsock.h"

enum { RX = 0, TX = 1, EVENT = 2 };
enum { HEADER = 44, RX_BYTES = 512, PACKETS = 200 };
enum { HOST = 2, STREAM = 1, NOBODY = 9999, SINK = 5000 };

static volatile struct packet packet;
static _Alignas(4096) volatile uint8_t data[4096];
static _Alignas(4096) volatile uint8_t received[QUEUE_SIZE][RX_BYTES];

/* A packet that would be fine, from a port of ours. */
static void write_packet(const struct device *d, uint16_t op, uint32_t from,
			 uint32_t to, uint32_t len)
{
	struct queue *q = &d->queue[TX];

	packet.src_cid[0] = reg_read(d, REG_CONFIG);
	packet.src_cid[1] = 0;
	packet.dst_cid[0] = HOST;
	packet.dst_cid[1] = 0;
	packet.src_port = from;
	packet.dst_port = to;
	packet.len = len;
	packet.type = STREAM;
	packet.op = op;
	packet.flags = 0;
	packet.buf_alloc = 65536;
	packet.fwd_cnt = 0;
	desc_buffer(&q->desc[0], &packet, HEADER, len ? NEXT : 0, 1);
	desc_buffer(&q->desc[1], data, len, 0, 0);
	desc_buffer(&q->desc[2], data, 1, 0, 0);
}

/* A RST for what is no connection: taken, and never answered. */
static void vsock_fill(struct device *d)
{
	write_packet(d, RST, 1, NOBODY, 0);
}

static void offer_received(struct device *d, unsigned i)
{
	struct queue *q = &d->queue[RX];

	desc_buffer(&q->desc[i], received[i], RX_BYTES, WRITE, 0);
	queue_offer(q, (uint16_t)i);
	queue_kick(d, RX);
}

/* Waits for what the host answers to our port; NULL where nothing comes. */
static const volatile struct packet *answer(struct device *d, uint32_t port)
{
	struct queue *rx = &d->queue[RX];
	const volatile struct packet *p;
	unsigned i, at;

	if (!rx->avail.idx)
		for (i = 0; i < QUEUE_SIZE; i++)
			offer_received(d, i);
	for (i = 0; i < PACKETS; i++) {
		if (!queue_used(rx))
			return NULL;
		at = rx->used.ring[(rx->seen - 1) & (QUEUE_SIZE - 1)].id &
		     (QUEUE_SIZE - 1);
		p = (const volatile struct packet *)(const volatile void *)
			received[at];
		if (p->dst_port == port)
			return p; /* its buffer is lost to the queue */
		offer_received(d, at);
	}
	return NULL;
}

/* The queue of buffers starts anew: answer() keeps some. */
static const char *sent(struct device *d)
{
	submit(d, 0);
	WANT(queue_used(target(d)), "a packet was not taken");
	WANT(!(reg_read(d, REG_STATUS) & NEEDS_RESET), "it wants a reset");
	return NULL;
}

static const char *vsock_prove(struct device *d)
{
	static uint32_t port = 70000;
	const volatile struct packet *p;
	const char *why;

	port++;
	write_packet(d, REQUEST, port, NOBODY, 0);
	why = sent(d);
	if (why)
		return why;
	p = answer(d, port);
	WANT(p, "nobody answered a REQUEST");
	WANT(p->op == RST && p->src_port == NOBODY && p->src_cid[0] == HOST,
	     "the answer was no RST");
	offer_received(d,
		       (unsigned)((const volatile uint8_t *)p - received[0]) /
			       RX_BYTES);
	return NULL;
}

const struct kind vsock_kind = {
	.id = ID_VSOCK,
	.name = "vsock",
	.queues = 3,
	.target = TX,
	.features = F_ALL,
	.fill = vsock_fill,
	.prove = vsock_prove,
};

/* ---- packets ---- */

static const char *lengths(struct device *d)
{
	static const uint32_t lies[] = {1,	    44,		4096,
					0x80000000, 0xffffffd4, ~0U};
	unsigned i;

	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		write_packet(d, RW, 1, NOBODY, 0);
		packet.len = lies[i];
		submit(d, 0);
		WANT_STOPPED(d);
	}
	for (i = 1; i < HEADER; i += 14) {
		WANT(device_up(d, F_ALL), "it did not come up");
		write_packet(d, REQUEST, 1, NOBODY, 0);
		target(d)->desc[0].len = i;
		submit(d, 0);
		WANT_STOPPED(d);
	}
	return NULL;
}

/* Each may be refused by a RST, so take those as they come. */
static const char *odd_packets(struct device *d)
{
	const char *why;
	unsigned i;

	for (i = 0; i < 300; i++) {
		write_packet(d, (uint16_t)(i % 12), 1, NOBODY, i & 1 ? 64 : 0);
		switch (i / 12 % 6) {
		case 0:
			packet.op = (uint16_t)random_next();
			break;
		case 1:
			packet.type = (uint16_t)(i % 4);
			break;
		case 2:
			packet.src_cid[i & 1] ^= random_next();
			break;
		case 3:
			packet.dst_cid[i & 1] ^= random_next();
			break;
		case 4:
			packet.flags = random_next();
			packet.buf_alloc = random_next();
			packet.fwd_cnt = random_next();
			break;
		default:
			packet.src_port = random_next();
			packet.dst_port = i & 2 ? 0 : ~0U;
			break;
		}
		why = sent(d);
		if (why)
			return why;
		if (i % 20 == 0 && (why = vsock_prove(d)))
			return why;
	}
	return NULL;
}

/* A guest that asks and takes no answer costs the host nothing. */
static const char *requests_without_buffers(struct device *d)
{
	unsigned i;

	write_packet(d, REQUEST, 1, NOBODY, 0);
	for (i = 0; i < 2000; i++) {
		packet.src_port = i;
		queue_offer(target(d), 0);
		queue_kick(d, TX);
		if ((uint16_t)(target(d)->avail.idx - target(d)->used.idx) ==
		    QUEUE_SIZE) {
			sleep_us(1000);
			if ((uint16_t)(target(d)->avail.idx -
				       target(d)->used.idx) == QUEUE_SIZE)
				break;
		}
	}
	WANT(!(reg_read(d, REG_STATUS) & NEEDS_RESET), "it wants a reset");
	return NULL;
}

/* ---- connections ---- */

static const char *connect_sink(struct device *d, uint32_t port)
{
	const volatile struct packet *p;
	const char *why;
	unsigned i;

	if (!d->queue[RX].avail.idx)
		for (i = 0; i < QUEUE_SIZE; i++)
			offer_received(d, i);
	write_packet(d, REQUEST, port, SINK, 0);
	why = sent(d);
	if (why)
		return why;
	p = answer(d, port);
	WANT(p, "a listener did not answer");
	WANT(p->op == RESPONSE, "a listener refused");
	return NULL;
}

/* On a connection that is open: whatever comes of it, proof follows. */
/*
 * Gives buffers that were filled back: without any, the device is right to
 * leave what we send, once too many of its answers wait.
 */
static void take_answers(struct device *d)
{
	struct queue *rx = &d->queue[RX];

	for (; rx->used.idx != rx->seen; rx->seen++)
		offer_received(d,
			       rx->used.ring[rx->seen & (QUEUE_SIZE - 1)].id &
				       (QUEUE_SIZE - 1));
}

static const char *on_connection(struct device *d, void (*spoil)(unsigned i),
				 unsigned count, uint32_t bytes)
{
	static uint32_t port = 1000000;
	const char *why;
	unsigned i;

	why = connect_sink(d, ++port);
	for (i = 0; i < count && !why; i++) {
		write_packet(d, RW, port, SINK, bytes);
		spoil(i);
		why = sent(d);
		take_answers(d);
	}
	return why;
}

static void more_credit(unsigned i)
{
	packet.op = CREDIT_UPDATE;
	packet.buf_alloc = i & 1 ? ~0U : 0;
	packet.fwd_cnt = random_next();
}

static void nothing(unsigned i)
{
	(void)i;
}

static void twice(unsigned i)
{
	packet.op = i & 1 ? REQUEST : RESPONSE;
}

static void shut(unsigned i)
{
	packet.op = SHUTDOWN;
	packet.flags = i < 4 ? i : ~0U;
}

static void any_op(unsigned i)
{
	(void)i;
	packet.op = (uint16_t)(random_next() % 9);
	packet.flags = random_next();
	packet.fwd_cnt = random_next();
}

static const char *credit_lies(struct device *d)
{
	return on_connection(d, more_credit, 50, 0);
}

/* 4 MiB, whatever credit there is. */
static const char *credit_ignored(struct device *d)
{
	return on_connection(d, nothing, 1024, 4096);
}

static const char *opened_twice(struct device *d)
{
	return on_connection(d, twice, 4, 0);
}

static const char *shut_and_shut(struct device *d)
{
	return on_connection(d, shut, 10, 0);
}

static const char *operations_at_random(struct device *d)
{
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < 8 && !why; i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		why = on_connection(d, any_op, 12, i & 1 ? 4096 : 0);
	}
	return why;
}

static const char *connections_abandoned(struct device *d)
{
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < 20 && !why; i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		why = on_connection(d, nothing, 4, 4096);
	}
	return why;
}

static const char *many_connections(struct device *d)
{
	const char *why = NULL;
	struct queue *rx = &d->queue[RX];
	unsigned i;

	for (i = 0; i < 400 && !why; i++) {
		write_packet(d, REQUEST, 2000000 + i, SINK, 0);
		why = sent(d);
		while (rx->used.idx != rx->seen) {
			offer_received(
				d,
				rx->used.ring[rx->seen & (QUEUE_SIZE - 1)].id &
					(QUEUE_SIZE - 1));
			rx->seen++;
		}
		if (!rx->avail.idx)
			offer_received(d, 0);
	}
	return why;
}

/* ---- receiving ---- */

static const char *receive_into(struct device *d, uint32_t bytes,
				uint16_t flags)
{
	struct queue *rx = &d->queue[RX];

	WANT(device_up(d, F_ALL), "it did not come up");
	desc_buffer(&rx->desc[0], received[0], bytes, flags, 0);
	queue_offer(rx, 0);
	queue_kick(d, RX);
	write_packet(d, REQUEST, 1, NOBODY, 0);
	submit(d, 0);
	WANT_STOPPED(d);
	return NULL;
}

static const char *small_buffers(struct device *d)
{
	const char *why = receive_into(d, 1, WRITE);

	if (!why)
		why = receive_into(d, HEADER - 1, WRITE);
	if (!why)
		why = receive_into(d, RX_BYTES, 0);
	return why;
}

static const char *event_queue(struct device *d)
{
	struct queue *q = &d->queue[EVENT];
	unsigned i;

	for (i = 0; i < QUEUE_SIZE; i++) {
		desc_set(&q->desc[i], ~0ULL, 0, NEXT, (uint16_t)i);
		queue_offer(q, (uint16_t)(i | 0x100));
		queue_kick(d, EVENT);
	}
	sleep_us(1000);
	return NULL;
}

const struct attack vsock_attacks[] = {
	{"packets with lengths that lie", lengths, 0, true},
	{"packets that make no sense", odd_packets, 0, false},
	{"requests without buffers for answers", requests_without_buffers, 0,
	 false},
	{"credit of 0 and of 4 GiB", credit_lies, 0, false},
	{"credit ignored", credit_ignored, 0, false},
	{"connections opened twice", opened_twice, 0, false},
	{"connections shut down again and again", shut_and_shut, 0, false},
	{"operations at random", operations_at_random, 0, true},
	{"connections abandoned by a reset", connections_abandoned, 0, true},
	{"400 connections", many_connections, 0, false},
	{"buffers too small to receive into", small_buffers, 0, true},
	{"rubbish in the event queue", event_queue, 0, false},
	{0},
};
