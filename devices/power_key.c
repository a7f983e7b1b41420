/*
 * The PL061 (Arm DDI 0190, "PrimeCell General Purpose Input/Output"): as much
 * of it as Linux's driver uses, with eight lines of which one is the key. Linux
 * hears of the key by gpio-keys, which takes a press for one when it has lasted
 * 5 ms.
 *
 * Its interrupt is an edge, as all of ours: each line that becomes pending, or
 * is no longer masked while it is, raises it once more.
 */
#include "devices/power_key.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"
#include "vmm/kvm/vm.h"

/* Offsets; below the first the address itself says which lines are meant. */
enum {
	DATA_END = 0x400,
	DIRECTION = 0x400,
	SENSE = 0x404, /* 1: by level */
	BOTH_EDGES = 0x408,
	EVENT = 0x40c,	 /* 1: rising, or high */
	MASK = 0x410,	 /* 1: raises the interrupt */
	PENDING = 0x414, /* read-only */
	RAISED = 0x418,	 /* read-only: of those, what is not masked */
	CLEAR = 0x41c,	 /* write-only */
	FUNCTION = 0x420,
	ID = 0xfe0,
};
enum { ID_BYTES = 8, KEY = 1U << ARCH_POWER_KEY_LINE };

static const uint64_t press_ns = 100000000;

struct power_key {
	struct device device;
	uint8_t out; /* what the guest drives */
	uint8_t direction, sense, both_edges, event, mask, pending, function;
	bool is_down;
	struct loop_timer up;
};

static struct power_key *key_of(struct device *d)
{
	return container_of(d, struct power_key, device);
}

static uint8_t lines(const struct power_key *k)
{
	const uint8_t in = k->is_down ? KEY : 0;

	return (in & ~k->direction) | (k->out & k->direction);
}

static void interrupt(struct power_key *k)
{
	const struct device *d = &k->device;
	int rc;

	rc = vm_pulse(d->host->vm, d->slot.gsi);
	if (rc)
		log_warn_limited("power key: %s; the guest misses it",
				 strerror(-rc));
}

/* What has been raised already, of which there is no edge again. */
static uint8_t raised(const struct power_key *k)
{
	return k->pending & k->mask;
}

/* Lines that are sensed by level are pending as long as they have it. */
static void settle(struct power_key *k, uint8_t before)
{
	k->pending |= k->sense & ~(lines(k) ^ k->event);
	if (raised(k) & ~before)
		interrupt(k);
}

static void move(struct power_key *k, bool is_down)
{
	const uint8_t before = lines(k), was_raised = raised(k);
	uint8_t changed, edges;

	k->is_down = is_down;
	changed = before ^ lines(k);
	edges = changed & (k->both_edges | ~(lines(k) ^ k->event));
	k->pending |= edges & ~k->sense;
	settle(k, was_raised);
}

/* ---- what the guest does ------------------------------------------------- */

/* The register at offset that holds a byte of the guest's, or NULL. */
static uint8_t *plain(struct power_key *k, uint64_t offset)
{
	switch (offset) {
	case DIRECTION:
		return &k->direction;
	case SENSE:
		return &k->sense;
	case BOTH_EDGES:
		return &k->both_edges;
	case EVENT:
		return &k->event;
	case MASK:
		return &k->mask;
	case FUNCTION:
		return &k->function;
	default:
		return NULL;
	}
}

static uint8_t value_at(struct power_key *k, uint64_t offset)
{
	/* Peripheral 0x061 of Arm's, revision 0, and PrimeCell's own. */
	static const uint8_t id[ID_BYTES] = {0x61, 0x10, 0x04, 0x00,
					     0x0d, 0xf0, 0x05, 0xb1};
	const uint8_t *at = plain(k, offset);

	if (offset < DATA_END)
		return lines(k) & (uint8_t)(offset >> 2);
	if (offset >= ID && (offset - ID) / 4 < ID_BYTES)
		return id[(offset - ID) / 4];
	if (offset == PENDING)
		return k->pending;
	if (offset == RAISED)
		return raised(k);
	return at ? *at : 0;
}

static void power_key_read(struct device *d, uint64_t offset, void *data,
			   uint32_t len)
{
	memset(data, 0, len);
	if (offset % 4 == 0)
		*(uint8_t *)data = value_at(key_of(d), offset);
}

static void power_key_write(struct device *d, uint64_t offset, const void *data,
			    uint32_t len)
{
	struct power_key *k = key_of(d);
	const uint8_t value = *(const uint8_t *)data;
	const uint8_t meant = (uint8_t)(offset >> 2);
	uint8_t *at = plain(k, offset), before;

	(void)len;
	if (offset % 4)
		return;
	/* A level that is cleared while it lasts is raised anew. */
	if (offset == CLEAR)
		k->pending &= ~value;
	before = raised(k);
	if (offset < DATA_END)
		k->out = (k->out & ~meant) | (value & meant);
	else if (at)
		*at = value;
	settle(k, before);
}

/* ---- the key --------------------------------------------------------------
 */

static void let_go(struct loop_timer *t)
{
	struct power_key *k = container_of(t, struct power_key, up);

	mutex_lock(&k->device.lock);
	move(k, false);
	mutex_unlock(&k->device.lock);
}

static void hold_down(struct power_key *k)
{
	loop_arm(k->device.host->loop, &k->up, clock_now_ns() + press_ns);
}

void power_key_press(struct device *d)
{
	struct power_key *k = key_of(d);
	bool is_heard;

	mutex_lock(&d->lock);
	is_heard = k->mask & KEY;
	if (is_heard) {
		move(k, true);
		hold_down(k);
	}
	mutex_unlock(&d->lock);
	if (!is_heard)
		log_warn("the power key was lost: the guest has no driver for "
			 "it (gpio-keys), or it is not up");
}

/* ---- the machine's --------------------------------------------------------
 */

static bool power_key_stop(struct device *d)
{
	loop_disarm(d->host->loop, &key_of(d)->up);
	return true;
}

static bool power_key_hold(struct device *d)
{
	return power_key_stop(d);
}

/* What is pending may have lost its edge; see uart_release(). */
static void power_key_release(struct device *d)
{
	struct power_key *k = key_of(d);

	mutex_lock(&d->lock);
	if (k->is_down)
		hold_down(k);
	if (raised(k))
		interrupt(k);
	mutex_unlock(&d->lock);
}

static void power_on(struct power_key *k)
{
	k->out = k->direction = k->sense = k->both_edges = k->event = 0;
	k->mask = k->pending = k->function = 0;
	k->is_down = false;
}

/* No byte of them could harm anybody. */
static void power_key_visit(struct device *d, struct visitor *w)
{
	struct power_key *k = key_of(d);

	mutex_lock(&d->lock);
	visit_u8(w, &k->out);
	visit_u8(w, &k->direction);
	visit_u8(w, &k->sense);
	visit_u8(w, &k->both_edges);
	visit_u8(w, &k->event);
	visit_u8(w, &k->mask);
	visit_u8(w, &k->pending);
	visit_u8(w, &k->function);
	visit_bool(w, &k->is_down);
	if (w->is_loading && w->rc)
		power_on(k);
	mutex_unlock(&d->lock);
}

static void power_key_free(struct device *d)
{
	free(key_of(d));
}

static const struct device_ops power_key_ops = {
	.name = "power key",
	.kind = ARCH_POWER_KEY,
	.read = power_key_read,
	.write = power_key_write,
	.stop = power_key_stop,
	.hold = power_key_hold,
	.release = power_key_release,
	.visit = power_key_visit,
	.state = 1,
	.free = power_key_free,
};

int power_key_new(struct device **out, struct err *e)
{
	struct power_key *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(e, -ENOMEM, "no memory for the power key");
	k->device.ops = &power_key_ops;
	k->up.fire = let_go;
	*out = &k->device;
	return 0;
}
