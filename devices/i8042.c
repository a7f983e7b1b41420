/*
 * The i8042 (IBM PC AT Technical Reference, "Keyboard Controller"): as much of
 * it as makes Linux's i8042 and atkbd drivers find a keyboard, hear
 * Ctrl-Alt-Del and pull the reset line.
 *
 * Two things fill the one output register: the controller's own replies and
 * the keyboard. A reply goes first, and a new one replaces one nobody read,
 * as in the chip, whereas the keyboard waits with up to QUEUE_BYTES. Every
 * command that promises a reply gets one at once, also for the mouse port that
 * isn't there: Linux would wait half a second for each.
 */
#include "devices/i8042.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/kvm/vm.h"

enum { PORT_DATA = 0, PORT_COMMAND = 4 };
enum { STATUS_OUTPUT = 0x01, STATUS_SYSTEM = 0x04, STATUS_UNLOCKED = 0x10 };
/* The command byte. */
enum {
	CTR_KEYBOARD_IRQ = 0x01,
	CTR_SYSTEM = 0x04,
	CTR_KEYBOARD_OFF = 0x10,
	CTR_AUX_OFF = 0x20,
	CTR_TRANSLATE = 0x40,
};

enum {
	CMD_READ_CTR = 0x20,
	CMD_WRITE_CTR = 0x60,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEYBOARD_TEST = 0xab,
	CMD_KEYBOARD_DISABLE = 0xad,
	CMD_KEYBOARD_ENABLE = 0xae,
	CMD_READ_OUTPUT_PORT = 0xd0,
	CMD_WRITE_OUTPUT_PORT = 0xd1,
	CMD_KEYBOARD_LOOP = 0xd2,
	CMD_AUX_LOOP = 0xd3,
	CMD_AUX_WRITE = 0xd4,
	CMD_PULSE = 0xf0, /* to 0xff: pulses the lines whose bit is 0 */
};

enum { REPLY_SELF_TEST = 0x55, REPLY_FINE = 0x00, REPLY_AUX_STUCK = 0x01 };
enum { OUTPUT_NO_RESET = 0x01 }; /* bit 0 low is the reset line */

/* What the keyboard is told through the data port, and what it says. */
enum {
	KEYBOARD_LEDS = 0xed,
	KEYBOARD_ECHO = 0xee,
	KEYBOARD_SET = 0xf0,
	KEYBOARD_ID = 0xf2,
	KEYBOARD_RATE = 0xf3,
	KEYBOARD_RESET = 0xff,
	ACK = 0xfa,
	PASSED = 0xaa,
};

enum { QUEUE_BYTES = 32 };

struct i8042 {
	struct device device;
	uint8_t ctr;
	uint8_t output_port;
	uint8_t pending; /* command that waits for its data byte, or 0 */
	bool has_reply;
	uint8_t reply;
	bool has_argument; /* the keyboard waits for a command's argument */
	uint8_t queue[QUEUE_BYTES]; /* a ring: count bytes from at on */
	unsigned at, count;
};

static struct i8042 *i8042_of(struct device *d)
{
	return (struct i8042 *)d;
}

static void reply(struct i8042 *k, uint8_t byte)
{
	k->reply = byte;
	k->has_reply = true;
}

static bool is_key_ready(const struct i8042 *k)
{
	return k->count && !(k->ctr & CTR_KEYBOARD_OFF);
}

/*
 * An edge for each byte of the keyboard; replies are polled for. Most guests
 * never hear of a key, so it has no eventfd for its line.
 */
static void raise_if_ready(struct i8042 *k)
{
	const struct device *d = &k->device;
	int rc;

	if (!is_key_ready(k) || !(k->ctr & CTR_KEYBOARD_IRQ))
		return;
	rc = vm_pulse(d->host->vm, d->slot.gsi);
	if (rc)
		log_warn_limited("i8042: %s; the guest misses a key",
				 strerror(-rc));
}

/* Drops what doesn't fit: a guest that never reads loses only its own keys. */
static void put(struct i8042 *k, uint8_t byte)
{
	if (k->count < QUEUE_BYTES)
		k->queue[(k->at + k->count++) % QUEUE_BYTES] = byte;
}

static uint8_t take(struct i8042 *k)
{
	uint8_t byte;

	if (k->has_reply) {
		k->has_reply = false;
		return k->reply;
	}
	if (!is_key_ready(k))
		return 0;
	byte = k->queue[k->at];
	k->at = (k->at + 1) % QUEUE_BYTES;
	k->count--;
	raise_if_ready(k);
	return byte;
}

static void i8042_read(struct device *d, uint64_t offset, void *data,
		       uint32_t len)
{
	struct i8042 *k = i8042_of(d);
	/*
	 * The ports between ours are not the controller's. They read as if
	 * nobody were there: zeroes would let Linux wait for ever for the
	 * timer output bit of port 0x61.
	 */
	uint8_t value = 0xff;

	(void)len;
	if (offset == PORT_DATA)
		value = take(k);
	else if (offset == PORT_COMMAND)
		value = STATUS_SYSTEM | STATUS_UNLOCKED |
			(k->has_reply || is_key_ready(k) ? STATUS_OUTPUT : 0);
	*(uint8_t *)data = value;
}

static void reset(struct i8042 *k)
{
	k->device.host->signal(k->device.host->machine, DEVICE_RESET);
}

/* The commands that a byte at the data port belongs to. */
static bool takes_data(uint8_t value)
{
	return value == CMD_WRITE_CTR || value == CMD_WRITE_OUTPUT_PORT ||
	       value == CMD_KEYBOARD_LOOP || value == CMD_AUX_LOOP ||
	       value == CMD_AUX_WRITE;
}

static void command(struct i8042 *k, uint8_t value)
{
	k->pending = takes_data(value) ? value : 0;
	switch (value) {
	case CMD_READ_CTR:
		reply(k, k->ctr);
		break;
	case CMD_AUX_DISABLE:
		k->ctr |= CTR_AUX_OFF;
		break;
	case CMD_AUX_ENABLE:
		k->ctr &= ~CTR_AUX_OFF;
		break;
	case CMD_AUX_TEST:
		reply(k, REPLY_AUX_STUCK);
		break;
	case CMD_SELF_TEST:
		reply(k, REPLY_SELF_TEST);
		break;
	case CMD_KEYBOARD_TEST:
		reply(k, REPLY_FINE);
		break;
	case CMD_KEYBOARD_DISABLE:
		k->ctr |= CTR_KEYBOARD_OFF;
		break;
	case CMD_KEYBOARD_ENABLE:
		k->ctr &= ~CTR_KEYBOARD_OFF;
		raise_if_ready(k);
		break;
	case CMD_READ_OUTPUT_PORT:
		reply(k, k->output_port);
		break;
	default:
		if (value >= CMD_PULSE && !(value & OUTPUT_NO_RESET))
			reset(k);
		break;
	}
}

/* Every byte to the keyboard but echo is acknowledged; two say more. */
static void keyboard(struct i8042 *k, uint8_t value)
{
	const bool was_argument = k->has_argument;

	k->has_argument = false;
	if (!was_argument && value == KEYBOARD_ECHO) {
		put(k, KEYBOARD_ECHO);
		return;
	}
	put(k, ACK);
	if (was_argument)
		return;
	k->has_argument = value == KEYBOARD_LEDS || value == KEYBOARD_SET ||
			  value == KEYBOARD_RATE;
	if (value == KEYBOARD_RESET) {
		put(k, PASSED);
	} else if (value == KEYBOARD_ID) {
		put(k, 0xab);
		put(k, 0x83);
	}
}

static void data(struct i8042 *k, uint8_t value)
{
	const uint8_t pending = k->pending;

	k->pending = 0;
	switch (pending) {
	case CMD_WRITE_CTR:
		k->ctr = value;
		break;
	case CMD_WRITE_OUTPUT_PORT:
		k->output_port = value;
		if (!(value & OUTPUT_NO_RESET))
			reset(k);
		break;
	case CMD_KEYBOARD_LOOP:
		put(k, value);
		break;
	case CMD_AUX_LOOP:
		/* Without the status bit of the mouse, so it tells of none. */
		reply(k, value);
		break;
	case CMD_AUX_WRITE:
		break;
	default:
		keyboard(k, value);
	}
	raise_if_ready(k);
}

static void i8042_write(struct device *d, uint64_t offset, const void *bytes,
			uint32_t len)
{
	const uint8_t value = *(const uint8_t *)bytes;

	(void)len;
	if (offset == PORT_DATA)
		data(i8042_of(d), value);
	else if (offset == PORT_COMMAND)
		command(i8042_of(d), value);
}

void i8042_ctrl_alt_del(struct device *d)
{
	/*
	 * Left Ctrl, left Alt, Delete; down, then up. The keyboard speaks scan
	 * code set 2, and the controller makes set 1 of it while its command
	 * byte says so, which is how Linux leaves it.
	 */
	static const uint8_t set1[] = {0x1d, 0x38, 0xe0, 0x53,
				       0xe0, 0xd3, 0xb8, 0x9d};
	static const uint8_t set2[] = {0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0,
				       0x71, 0xf0, 0x11, 0xf0, 0x14};
	struct i8042 *k = i8042_of(d);
	const uint8_t *keys;
	size_t count, i;
	bool is_heard;

	mutex_lock(&d->lock);
	keys = k->ctr & CTR_TRANSLATE ? set1 : set2;
	count = k->ctr & CTR_TRANSLATE ? sizeof(set1) : sizeof(set2);
	/* All of them or none: half a chord would leave keys held down. */
	is_heard = k->ctr & CTR_KEYBOARD_IRQ && !(k->ctr & CTR_KEYBOARD_OFF) &&
		   k->count + count <= QUEUE_BYTES;
	for (i = 0; is_heard && i < count; i++)
		put(k, keys[i]);
	if (is_heard)
		raise_if_ready(k);
	mutex_unlock(&d->lock);
	if (!is_heard)
		log_warn("Ctrl-Alt-Del was lost: the guest has no keyboard "
			 "driver, or its driver is not up");
}

/* A byte that waits may have lost its edge; see uart_release(). */
static bool i8042_hold(struct device *d)
{
	(void)d;
	return true;
}

static void i8042_release(struct device *d)
{
	mutex_lock(&d->lock);
	raise_if_ready(i8042_of(d));
	mutex_unlock(&d->lock);
}

static void power_on(struct i8042 *k)
{
	k->ctr = CTR_KEYBOARD_IRQ | CTR_SYSTEM | CTR_AUX_OFF | CTR_TRANSLATE;
	k->output_port = OUTPUT_NO_RESET;
	k->pending = 0;
	k->has_reply = k->has_argument = false;
	k->at = k->count = 0;
}

/* The oldest key first. */
static void visit_queue(struct i8042 *k, struct visitor *w)
{
	uint8_t keys[QUEUE_BYTES] = {0};
	uint8_t count = (uint8_t)k->count;
	unsigned i;

	for (i = 0; i < count; i++)
		keys[i] = k->queue[(k->at + i) % QUEUE_BYTES];
	visit_u8(w, &count);
	if (!visit_check(w, count <= QUEUE_BYTES,
			 "%u bytes of the keyboard, which keeps %d", count,
			 QUEUE_BYTES))
		return;
	visit_bytes(w, keys, count);
	if (!w->is_loading)
		return;
	memcpy(k->queue, keys, sizeof(keys));
	k->at = 0;
	k->count = count;
}

static void visit_all(struct i8042 *k, struct visitor *w)
{
	visit_u8(w, &k->ctr);
	visit_u8(w, &k->output_port);
	visit_u8(w, &k->pending);
	visit_bool(w, &k->has_reply);
	visit_u8(w, &k->reply);
	visit_bool(w, &k->has_argument);
	visit_check(w, !k->pending || takes_data(k->pending),
		    "command %#x waits for no byte", k->pending);
	visit_queue(k, w);
}

static void i8042_visit(struct device *d, struct visitor *w)
{
	struct i8042 *k = i8042_of(d);

	mutex_lock(&d->lock);
	visit_all(k, w);
	if (w->is_loading && w->rc)
		power_on(k);
	mutex_unlock(&d->lock);
}

static void i8042_free(struct device *d)
{
	free(i8042_of(d));
}

static const struct device_ops i8042_ops = {
	.name = "i8042",
	.kind = ARCH_I8042,
	.read = i8042_read,
	.write = i8042_write,
	.hold = i8042_hold,
	.release = i8042_release,
	.visit = i8042_visit,
	.state = 1,
	.free = i8042_free,
};

int i8042_new(struct device **out, struct err *e)
{
	struct i8042 *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(e, -ENOMEM, "no memory for the i8042");
	k->device.ops = &i8042_ops;
	power_on(k);
	*out = &k->device;
	return 0;
}
