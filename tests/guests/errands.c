/*
 * A guest that has each device do once what Linux's drivers have it do, so that
 * the monitor makes every system call that only a driver is the cause of:
 * reads, writes, flushes, discards and zeroes on each disk, a frame each way
 * and a second pair of queues on a network, and streams over vsock, one it
 * opens and one that the host does. Then it resets them, and says "done" or
 * what went wrong. It begins, and ends, when it gets a byte by the serial port.
 */
#include "tests/guests/hostile_block.h"
#include "tests/guests/vsock.h"

void hostile_main(void);

enum { RX = 0, TX = 1, CTRL = 4, NET_QUEUES = 5, DEVICES = 5 };
enum { HEADER = 44, BUFFER_BYTES = 4096, HOST = 2, STREAM = 1 };
enum { OWN_PORT = 1025, HOST_PORT = 5000, NO_MORE_SENT = 2 };
enum { CLASS_MQ = 4, CLASS_OFFLOADS = 5 };
enum { COM1 = 0x3f8, COM1_STATUS = 0x3fd, I8042 = 0x64 };
enum { PIN = 5, VECTOR = 0x30 };

#define IOAPIC	      0xfec00000U
#define IOAPIC_WINDOW 0xfec00010U

static const struct kind vsock_errands = {
	.id = ID_VSOCK,
	.name = "vsock",
	.queues = 3,
	.target = TX,
	.features = F_ALL,
};
/* With all pairs, behind which the control queue then is (5.1.2). */
static struct kind net_errands;

static struct queue queues[DEVICES][NET_QUEUES];
static struct device devices[DEVICES];
static unsigned device_count;

static _Alignas(4096) volatile uint8_t received[QUEUE_SIZE][BUFFER_BYTES];
static volatile struct packet packet;
static _Alignas(4096) volatile uint8_t data[8] = "errand\n";

/* Nobody attacks here; hostile_block.c and hostile_net.c want it. */
const char *witness_answers(const struct device *d)
{
	(void)d;
	return NULL;
}

/* ---- disks ---- */

/* Eight sectors, as data of a discard or of zeroes. */
static void fill_range(void)
{
	volatile uint32_t *range = (volatile uint32_t *)request.data;

	range[0] = WASTE_SECTOR;
	range[1] = 0;
	range[2] = 8;
	range[3] = 0;
}

static const char *run_block(struct device *d)
{
	static const struct {
		uint32_t type;
		uint32_t bytes;
	} all[] = {
		{T_IN, 8 * SECTOR}, {T_OUT, 8 * SECTOR},  {T_FLUSH, 0},
		{T_DISCARD, 16},    {T_WRITE_ZEROES, 16},
	};
	unsigned i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const bool is_range = all[i].bytes == 16;

		if (is_range)
			fill_range();
		block_fill(d, all[i].type, is_range ? 0 : WASTE_SECTOR,
			   all[i].bytes);
		WANT(block_submit(d, 0) == S_OK, "a request failed");
	}
	return NULL;
}

/* ---- networks ---- */

static bool is_obeyed(struct device *d, uint8_t class, uint8_t what,
		      uint8_t value, uint32_t bytes)
{
	static volatile uint8_t command[10];
	static volatile uint8_t answer;
	struct queue *q = &d->queue[CTRL];

	answer = 0xff;
	command[0] = class;
	command[1] = what;
	command[2] = value;
	desc_buffer(&q->desc[0], command, 2 + bytes, NEXT, 1);
	desc_buffer(&q->desc[1], &answer, 1, WRITE, 0);
	queue_offer(q, 0);
	queue_kick(d, CTRL);
	return queue_used(q) && !answer;
}

/* A frame each way; two pairs (5.1.6.5.6), and no offloads (5.1.6.5.7). */
static const char *run_net(struct device *d)
{
	const char *why = net_kind.prove(d);

	if (why)
		return why;
	WANT(is_obeyed(d, CLASS_MQ, 0, 2, 2), "a second pair was refused");
	WANT(is_obeyed(d, CLASS_OFFLOADS, 0, 0, 8), "offloads don't go off");
	return NULL;
}

/* ---- vsock ---- */

static const char *send(struct device *d, uint32_t from, uint32_t to,
			enum op op, uint32_t flags)
{
	struct queue *q = target(d);
	const uint32_t bytes = op == RW ? sizeof(data) : 0;

	packet.src_cid[0] = reg_read(d, REG_CONFIG);
	packet.dst_cid[0] = HOST;
	packet.src_port = from;
	packet.dst_port = to;
	packet.len = bytes;
	packet.type = STREAM;
	packet.op = (uint16_t)op;
	packet.flags = flags;
	packet.buf_alloc = 65536;
	packet.fwd_cnt = 0;
	desc_buffer(&q->desc[0], &packet, HEADER, bytes ? NEXT : 0, 1);
	desc_buffer(&q->desc[1], data, bytes, 0, 0);
	submit(d, 0);
	WANT(queue_used(q), "a packet was not taken");
	return NULL;
}

/* The next packet with that operation; NULL where none comes. */
static const volatile struct packet *receive(struct device *d, enum op op)
{
	struct queue *q = &d->queue[RX];
	const volatile struct packet *p;

	while (queue_used(q)) {
		p = (const volatile void *)
			received[q->used.ring[(q->seen - 1) & (q->size - 1)]
					 .id &
				 (QUEUE_SIZE - 1)];
		if (p->op == op)
			return p;
	}
	return NULL;
}

static void offer_buffers(struct device *d)
{
	struct queue *q = &d->queue[RX];
	uint16_t i;

	for (i = 0; i < QUEUE_SIZE; i++) {
		desc_buffer(&q->desc[i], received[i], BUFFER_BYTES, WRITE, 0);
		queue_offer(q, i);
	}
	queue_kick(d, RX);
}

/* One stream to the host, of which we end our direction, and one from it. */
static const char *run_vsock(struct device *d)
{
	const volatile struct packet *p;
	const char *why;

	offer_buffers(d);
	why = send(d, OWN_PORT, HOST_PORT, REQUEST, 0);
	WANT(!why && receive(d, RESPONSE), "the host took no stream");
	why = send(d, OWN_PORT, HOST_PORT, RW, 0);
	WANT(!why && receive(d, RW), "the host did not answer");
	why = send(d, OWN_PORT, HOST_PORT, SHUTDOWN, NO_MORE_SENT);
	WANT(!why && receive(d, SHUTDOWN), "the host's direction did not end");
	WANT(!send(d, OWN_PORT, HOST_PORT, RST, 0), "the reset was not taken");
	print("listening\n");
	do
		p = receive(d, REQUEST);
	while (!p);
	why = send(d, p->dst_port, p->src_port, RESPONSE, 0);
	WANT(!why && receive(d, RW), "the host sent nothing");
	return NULL;
}

/* ---- all of them ---- */

static const struct kind *kind_of(uint32_t id)
{
	if (id == ID_BLOCK)
		return &block_kind;
	if (id == ID_NET)
		return &net_errands;
	return id == ID_VSOCK ? &vsock_errands : NULL;
}

static const char *run(struct device *d)
{
	WANT(device_up(d, F_ALL), "it did not come up");
	if (d->kind->id == ID_BLOCK)
		return run_block(d);
	return d->kind->id == ID_NET ? run_net(d) : run_vsock(d);
}

static bool run_said(struct device *d)
{
	const char *why = run(d);

	if (!why)
		return true;
	print("bad ");
	print(d->kind->name);
	print(": ");
	print(why);
	print("\n");
	return false;
}

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void wait_for_byte(void)
{
	while (!(in8(COM1_STATUS) & 1))
		sleep_us(1000);
	(void)in8(COM1);
}

/* Nothing comes of it, for interrupts are off; but KVM has a route more. */
static void unmask_pin(unsigned pin)
{
	*(volatile uint32_t *)IOAPIC = 0x10 + 2 * pin;
	*(volatile uint32_t *)IOAPIC_WINDOW = VECTOR;
}

void hostile_main(void)
{
	bool is_good = true;
	unsigned slot, i;

	print("waiting\n");
	wait_for_byte();
	unmask_pin(PIN);
	net_errands = net_kind;
	net_errands.queues = NET_QUEUES;
	net_errands.features = F_ALL;
	for (slot = 0; slot < SLOT_COUNT && device_count < DEVICES; slot++) {
		struct device *d = &devices[device_count];

		d->base = SLOTS + slot * SLOT_SIZE;
		if (reg_read(d, REG_MAGIC) != MAGIC)
			continue;
		d->kind = kind_of(reg_read(d, REG_DEVICE_ID));
		d->queue = queues[device_count];
		if (d->kind)
			device_count++;
	}
	for (i = 0; i < device_count; i++)
		is_good &= run_said(&devices[i]);
	for (i = 0; i < device_count; i++)
		device_reset(&devices[i]);
	print(is_good ? "done\n" : "bad errands\n");
	wait_for_byte();
	/* The keyboard controller pulls the reset line. */
	out8(I8042, 0xfe);
}
