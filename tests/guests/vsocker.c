/*
 * A guest that answers over vsock, with a disk and a network beside it, by the
 * drivers of the hostile guest, who behaves for once. It listens at every port.
 *
 * Each byte that comes comes back; for a 'p' it first asks each other device
 * for the proof that it works, and sends 'y', or 'n' and says why on the serial
 * port. It sleeps between; interrupts wake it, and it asks for each by
 * EVENT_IDX where that is offered. So it shows that queues, interrupts and
 * devices go on after a restore, and when the first answer comes.
 */
#include "tests/guests/hostile.h"
#include "tests/guests/idle.h"
#include "tests/guests/vsock.h"

void hostile_main(void);

enum { RX = 0, TX = 1, EVENT = 2 };
enum { HEADER = 44, BUFFER_BYTES = 4096, EVENT_BUFFERS = 4 };
enum { HOST = 2, STREAM = 1, DEVICES = 4, FIRST_PIN = 5, PORTS = 256 };

static struct device devices[DEVICES];
static struct queue queues[DEVICES][QUEUES];
static unsigned device_count;
static struct device *vsock;

static _Alignas(4096) volatile uint8_t buffers[QUEUE_SIZE][BUFFER_BYTES];
static volatile struct packet reply;
static _Alignas(4096) volatile uint8_t data[BUFFER_BYTES];
static volatile uint32_t events[EVENT_BUFFERS];
/* Of each connection, by the host's port, which are handed out in turn. */
static uint32_t taken[PORTS];
static unsigned resets;

static const struct kind vsocker_kind = {
	.id = ID_VSOCK,
	.name = "vsock",
	.queues = 3,
	.target = TX,
	.features = F_ALL,
};

/* Nobody attacks here; hostile_block.c wants it. */
const char *witness_answers(const struct device *d)
{
	(void)d;
	return NULL;
}

static const struct kind *kind_of(uint32_t id)
{
	if (id == ID_BLOCK)
		return &block_kind;
	if (id == ID_NET)
		return &net_kind;
	return id == ID_VSOCK ? &vsocker_kind : NULL;
}

static void bring_up(void)
{
	unsigned slot, i;

	for (slot = 0; slot < SLOT_COUNT && device_count < DEVICES; slot++) {
		struct device *d = &devices[device_count];

		d->base = SLOTS + slot * SLOT_SIZE;
		if (reg_read(d, REG_MAGIC) != MAGIC)
			continue;
		d->kind = kind_of(reg_read(d, REG_DEVICE_ID));
		if (!d->kind)
			continue;
		d->queue = queues[device_count];
		d->number = 0;
		for (i = 0; i < device_count; i++)
			d->number += devices[i].kind == d->kind;
		device_count++;
		if (!device_up(d, F_ALL))
			print("bad device: it did not come up\n");
		idle_pin(FIRST_PIN + slot);
		if (d->kind == &vsocker_kind)
			vsock = d;
	}
}

/* 'y', or 'n' where a device does not work, which is said. */
static uint8_t prove_all(void)
{
	uint8_t answer = 'y';
	const char *why;
	unsigned i;

	for (i = 0; i < device_count; i++) {
		if (!devices[i].kind->prove)
			continue;
		why = devices[i].kind->prove(&devices[i]);
		if (!why)
			continue;
		answer = 'n';
		print("bad ");
		print(devices[i].kind->name);
		print(": ");
		print(why);
		print("\n");
	}
	return answer;
}

static void offer(unsigned queue, unsigned i, const volatile void *buffer,
		  uint32_t bytes)
{
	struct queue *q = &vsock->queue[queue];

	desc_buffer(&q->desc[i], buffer, bytes, WRITE, 0);
	queue_offer(q, (uint16_t)i);
	queue_kick(vsock, queue);
}

/* Answers p with an operation and bytes of data[]. */
static void answer(const volatile struct packet *p, enum op op, uint32_t bytes)
{
	struct queue *q = &vsock->queue[TX];

	reply.src_cid[0] = reg_read(vsock, REG_CONFIG);
	reply.dst_cid[0] = HOST;
	reply.src_port = p->dst_port;
	reply.dst_port = p->src_port;
	reply.len = bytes;
	reply.type = STREAM;
	reply.op = (uint16_t)op;
	reply.flags = 0;
	reply.buf_alloc = 1 << 20;
	reply.fwd_cnt = taken[p->src_port % PORTS];
	desc_buffer(&q->desc[0], &reply, HEADER, bytes ? NEXT : 0, 1);
	desc_buffer(&q->desc[1], data, bytes, 0, 0);
	submit(vsock, 0);
	if (!queue_used(q))
		print("bad vsock: a packet was not taken\n");
}

static void echo(const volatile struct packet *p)
{
	const volatile uint8_t *from = (const volatile uint8_t *)p + HEADER;
	const uint32_t len = p->len;
	uint32_t i;

	taken[p->src_port % PORTS] += len;
	for (i = 0; i < len; i++)
		data[i] = from[i] == 'p' ? prove_all() : from[i];
	answer(p, RW, len);
}

static void handle(const volatile struct packet *p)
{
	switch (p->op) {
	case REQUEST:
		taken[p->src_port % PORTS] = 0;
		answer(p, RESPONSE, 0);
		break;
	case RW:
		echo(p);
		break;
	case CREDIT_REQUEST:
		answer(p, CREDIT_UPDATE, 0);
		break;
	case SHUTDOWN:
		answer(p, RST, 0);
		break;
	default:
		break;
	}
}

/* The number of a used buffer, or -1. */
static int take(unsigned queue)
{
	struct queue *q = &vsock->queue[queue];

	if (q->used.idx == q->seen)
		return -1;
	barrier();
	return (int)(q->used.ring[q->seen++ & (q->size - 1)].id &
		     (QUEUE_SIZE - 1));
}

static bool serve(void)
{
	int i = take(EVENT);

	if (i >= 0) {
		print("reset ");
		print_number(++resets);
		print("\n");
		offer(EVENT, (unsigned)i, &events[i % EVENT_BUFFERS], 4);
		return true;
	}
	i = take(RX);
	if (i < 0)
		return false;
	handle((const volatile struct packet *)(const volatile void *)
		       buffers[i]);
	offer(RX, (unsigned)i, buffers[i], BUFFER_BYTES);
	return true;
}

/* The next used buffer interrupts (virtio 1.2, 2.7.10). */
static void ask_for_interrupts(void)
{
	const unsigned waited[] = {RX, EVENT};
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct queue *q = &vsock->queue[waited[i]];

		q->avail.ring[q->size] = q->seen;
	}
	barrier();
}

void hostile_main(void)
{
	unsigned i;

	idle_setup();
	bring_up();
	if (!vsock) {
		print("bad machine: it has no vsock\n");
		return;
	}
	for (i = 0; i < QUEUE_SIZE; i++)
		offer(RX, i, buffers[i], BUFFER_BYTES);
	for (i = 0; i < EVENT_BUFFERS; i++)
		offer(EVENT, i, &events[i], 4);
	print(prove_all() == 'y' ? "listening\n" : "bad start\n");
	for (;;) {
		while (serve())
			;
		ask_for_interrupts();
		if (serve())
			continue;
		idle();
		for (i = 0; i < device_count; i++)
			reg_write(&devices[i], REG_INTERRUPT_ACK,
				  reg_read(&devices[i], REG_INTERRUPT_STATUS));
	}
}
