/* A virtio-net device, the wire behind it, and a driver. */
#include "tests/unit/net_bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net_device.h"
#include "vmm/base/clock.h"

struct fake_host host;
struct fake_ring rings[RINGS];
struct net_config config;
uint8_t *sent, *got;

int bench_setup(void **state)
{
	(void)state;
	fake_tap_reset();
	memset(&host, 0, sizeof(host));
	config = (struct net_config){
		.id = "eth0",
		.tap_name = "tap0",
		.tap_fd = -1,
		.queue_pairs = 1,
	};
	return 0;
}

int bench_teardown(void **state)
{
	(void)state;
	if (host.loop.fd > 0)
		fake_host_close(&host);
	fake_tap_reset();
	return 0;
}

int open_net(struct err *e)
{
	struct device *d;
	int rc;

	fake_host_open(&host);
	rc = net_new(&d, &config, e);
	return rc ? rc : fake_host_add(&host, d, e);
}

void turn(void)
{
	/* Bounded turns of a full ring are a few dozen callbacks. */
	assert_true(fake_host_turn(&host, 200) < 200);
}

void kick(unsigned queue)
{
	fake_write32(&host, MMIO_NOTIFY, queue);
	turn();
}

bool is_broken(void)
{
	return fake_read32(&host, MMIO_STATUS) & ST_NEEDS_RESET;
}

void up(uint64_t features)
{
	const unsigned pairs = features & F_MQ ? 2 : 1;
	const unsigned control = features & F_MQ ? config.queue_pairs * 2 : 2;
	unsigned i;

	features |= FAKE_F_VERSION_1;
	assert_int_equal(fake_driver_negotiate(&host, features),
			 ST_FEATURES_OK);
	for (i = 0; i < RINGS; i++)
		fake_ring_init(&rings[i], &host.mem, 0x1000 + i * 0x2000ULL,
			       RING);
	for (i = 0; i < 2 * pairs; i++)
		fake_driver_queue(&host, i, &rings[i]);
	if (features & F_CTRL_VQ)
		fake_driver_queue(&host, control, &rings[CTRL]);
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), ST_DRIVER_OK);
	turn();
	sent = guest_mem_at(&host.mem, SENT_GPA, SENT_ROOM);
	got = guest_mem_at(&host.mem, GOT_GPA, GOT_ROOM);
}

void open_up(uint64_t features)
{
	struct err e;

	assert_int_equal(open_net(&e), 0);
	up(features);
}

/* ---- counters ------------------------------------------------------------ */

static const char *wanted;
static uint64_t found;
static bool is_found;

static void put(struct device_counters *c, const char *name, uint64_t value)
{
	(void)c;
	if (strcmp(name, wanted))
		return;
	found = value;
	is_found = true;
}

uint64_t counter(const char *name)
{
	struct device_counters c = {.put = put};

	wanted = name;
	is_found = false;
	host.device->ops->count(host.device, &c);
	assert_true(is_found);
	return found;
}

/* ---- frames -------------------------------------------------------------- */

uint8_t pattern(unsigned n, size_t at)
{
	return (uint8_t)(n * 31 + at * 7 + at / 251);
}

void wire_send_as(unsigned pair, const struct frame_header *h, unsigned n,
		  size_t len)
{
	static uint8_t frame[2 * FRAME_MAX];
	const struct iovec iov[2] = {
		{.iov_base = (void *)(uintptr_t)h, .iov_len = HEADER},
		{.iov_base = frame, .iov_len = len},
	};
	size_t i;

	assert_true(len <= sizeof(frame));
	for (i = 0; i < len; i++)
		frame[i] = pattern(n, i);
	assert_int_equal(writev(fake_tap.wire[pair], iov, 2), HEADER + len);
}

void wire_send(unsigned pair, unsigned n, size_t len)
{
	const struct frame_header h = {0};

	wire_send_as(pair, &h, n, len);
}

long wire_take(unsigned pair, struct frame_header *h, uint8_t *frame,
	       size_t room)
{
	const struct iovec iov[2] = {
		{.iov_base = h, .iov_len = HEADER},
		{.iov_base = frame, .iov_len = room},
	};
	ssize_t n = readv(fake_tap.wire[pair], iov, 2);

	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	else
		assert_true(n >= HEADER);
	return n < 0 ? -1 : n - HEADER;
}

void offer_room(unsigned ring, uint16_t desc, uint64_t at, uint32_t len)
{
	fake_ring_desc(&rings[ring], desc, GOT_GPA + at, len, FAKE_WRITE, 0);
	fake_ring_offer(&rings[ring], desc);
}

void offer_frame(unsigned ring, uint16_t desc, const struct frame_header *h,
		 unsigned n, size_t len, size_t piece)
{
	const uint16_t head = desc;
	uint64_t gpa = SENT_GPA;
	size_t left = HEADER + len;
	size_t i;

	assert_true(left <= SENT_ROOM);
	memcpy(sent, h, HEADER);
	for (i = 0; i < len; i++)
		sent[HEADER + i] = pattern(n, i);
	for (; left; left -= i, gpa += i, desc++) {
		i = left < piece ? left : piece;
		assert_true(desc < RING);
		fake_ring_desc(&rings[ring], desc, gpa, (uint32_t)i, FAKE_NEXT,
			       desc + 1);
	}
	rings[ring].desc[desc - 1].flags = 0;
	fake_ring_offer(&rings[ring], head);
}

/* ---- commands ------------------------------------------------------------ */

void offer_command(unsigned piece, uint8_t class, uint8_t what,
		   const void *data, size_t len)
{
	struct fake_ring *ring = &rings[CTRL];
	const unsigned index = fake_driver_offered(&host) & F_MQ &&
					       rings[RX1].avail_idx
				       ? config.queue_pairs * 2
				       : 2;
	uint16_t desc = 0;
	size_t left = 2 + len, n, at = 0;

	sent[0] = class;
	sent[1] = what;
	if (len)
		memcpy(sent + 2, data, len);
	for (; left; left -= n, at += n) {
		n = left < piece ? left : piece;
		fake_ring_desc(ring, desc, SENT_GPA + at, (uint32_t)n,
			       FAKE_NEXT, desc + 1);
		desc++;
	}
	got[0] = UNTOUCHED;
	fake_ring_desc(ring, desc, GOT_GPA, 1, FAKE_WRITE, 0);
	fake_ring_offer(ring, 0);
	kick(index);
}

void await_command(void)
{
	struct net *n = (struct net *)host.device;
	bool is_busy = true;

	while (is_busy) {
		mutex_lock(&host.device->lock);
		is_busy = n->worker.in_flight;
		mutex_unlock(&host.device->lock);
		if (is_busy)
			clock_rest();
		else
			turn();
	}
}

uint8_t command_in(unsigned piece, uint8_t class, uint8_t what,
		   const void *data, size_t len)
{
	uint32_t id, used;

	offer_command(piece, class, what, data, len);
	await_command();
	if (fake_ring_take(&rings[CTRL], &id, &used))
		assert_int_equal(used, 1);
	return got[0];
}

uint8_t command(uint8_t class, uint8_t what, const void *data, size_t len)
{
	return command_in(256, class, what, data, len);
}

uint8_t set_pairs(uint16_t pairs)
{
	return command(4, 0, &pairs, sizeof(pairs));
}
