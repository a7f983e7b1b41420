/* The device, a driver, processes of the host, and a clock. */
#include "tests/unit/vsock_bench.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/vsock.h"
#include "devices/vsock_device.h"
#include "vmm/base/clock.h"

struct fake_host host;
struct fake_ring rings[3];
char uds_path[64];
bool refills;

static char bench_dir[32];
static char *paths[64];
static unsigned path_count;
static uint64_t jumped_ns;

/* Memory of the driver: rings, receive buffers, and one place to send from. */
#define RINGS_GPA 0x1000ULL
#define RX_GPA	  0x10000ULL
#define TX_GPA	  0x80000ULL

/* ---- the clock ---------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *t)
{
	uint64_t ns;

	if (syscall(SYS_clock_gettime, clock, t))
		return -1;
	ns = (uint64_t)t->tv_nsec + jumped_ns;
	t->tv_sec += (time_t)(ns / 1000000000);
	t->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

void pass_ms(unsigned ms)
{
	struct loop_timer *t;
	unsigned bound = 1000;

	jumped_ns += ms * 1000000ULL;
	while ((t = host.loop.timers) && t->due_ns <= clock_now_ns()) {
		assert_true(bound--);
		loop_disarm(&host.loop, t);
		t->fire(t);
	}
	settle();
}

void settle(void)
{
	assert_true(fake_host_turn(&host, 20000) < 20000);
}

/* ---- the device and its driver ------------------------------------------ */

int open_vsock(struct err *e)
{
	const struct vsock_config config = {
		.id = "vsock0", .cid = CID, .uds_path = uds_path};
	struct device *d;
	int rc = vsock_new(&d, &config, e);

	return rc ? rc : fake_host_add(&host, d, e);
}

int bench_setup(void **state)
{
	struct rlimit files;
	struct err e;

	(void)state;
	/* A thousand connections have two ends each. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	snprintf(bench_dir, sizeof(bench_dir), "/tmp/test_vsock.XXXXXX");
	assert_non_null(mkdtemp(bench_dir));
	snprintf(uds_path, sizeof(uds_path), "%s/v.sock", bench_dir);
	fake_host_open(&host);
	assert_int_equal(open_vsock(&e), 0);
	return 0;
}

void driver_up(void)
{
	unsigned i;

	assert_int_equal(fake_driver_negotiate(&host, FAKE_F_VERSION_1),
			 ST_FEATURES_OK);
	for (i = 0; i < 3; i++) {
		fake_ring_init(&rings[i], &host.mem, RINGS_GPA + i * 0x1000ULL,
			       RING);
		fake_driver_queue(&host, i, &rings[i]);
	}
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), ST_DRIVER_OK);
	settle();
	refills = true;
}

int bench_setup_up(void **state)
{
	bench_setup(state);
	driver_up();
	give_buffers(32);
	return 0;
}

int bench_teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	/* The device removes its own. */
	assert_int_equal(access(uds_path, F_OK), -1);
	while (path_count) {
		unlink(paths[--path_count]);
		free(paths[path_count]);
	}
	assert_int_equal(rmdir(bench_dir), 0);
	return 0;
}

bool is_broken(void)
{
	return fake_read32(&host, MMIO_STATUS) & ST_NEEDS_RESET;
}

unsigned connections(void)
{
	return ((struct vsock *)host.device)->table.count;
}

/* ---- packets ------------------------------------------------------------ */

static void offer_rx(uint16_t at)
{
	fake_ring_desc(&rings[0], at, RX_GPA + (uint64_t)at * 0x2000,
		       VSOCK_HEADER_BYTES + RX_ROOM, FAKE_WRITE, 0);
	fake_ring_offer(&rings[0], at);
}

void give_buffers(unsigned count)
{
	static uint16_t at;

	while (count--)
		offer_rx(at++ % 32);
	fake_write32(&host, MMIO_NOTIFY, 0);
	settle();
}

void give_buffer(size_t bytes, size_t piece)
{
	uint16_t at = 0;
	uint64_t gpa = RX_GPA;
	size_t n;

	for (; bytes; bytes -= n, gpa += n, at++) {
		n = bytes < piece ? bytes : piece;
		assert_true(at < RING);
		fake_ring_desc(&rings[0], at, gpa, (uint32_t)n,
			       n < bytes ? FAKE_WRITE | FAKE_NEXT : FAKE_WRITE,
			       at + 1);
	}
	fake_ring_offer(&rings[0], 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	settle();
}

struct vsock_packet packet(uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	return (struct vsock_packet){
		.src_cid = CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1 << 18,
	};
}

void guest_sends_raw(const struct vsock_packet *p, const void *data,
		     size_t bytes, size_t piece)
{
	struct vsock_wire wire;
	uint8_t *to = guest_mem_at(&host.mem, TX_GPA, TX_ROOM + sizeof(wire));
	uint64_t gpa = TX_GPA;
	uint32_t id, len;
	uint16_t at = 0;
	size_t n;

	assert_true(bytes <= TX_ROOM + sizeof(wire));
	vsock_packet_write(&wire, p);
	memcpy(to, &wire, bytes < sizeof(wire) ? bytes : sizeof(wire));
	if (data && bytes > sizeof(wire))
		memcpy(to + sizeof(wire), data, bytes - sizeof(wire));
	for (; bytes; bytes -= n, gpa += n, at++) {
		n = bytes < piece ? bytes : piece;
		assert_true(at < RING);
		fake_ring_desc(&rings[1], at, gpa, (uint32_t)n,
			       n < bytes ? FAKE_NEXT : 0, at + 1);
	}
	fake_ring_offer(&rings[1], 0);
	fake_write32(&host, MMIO_NOTIFY, 1);
	settle();
	fake_ring_take(&rings[1], &id, &len);
}

void guest_sends(const struct vsock_packet *p, const void *data)
{
	guest_sends_raw(p, data, sizeof(struct vsock_wire) + p->len, 1 << 30);
}

void guest_says(uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_packet p = packet(op, host_port, guest_port);

	guest_sends(&p, NULL);
}

void guest_writes(uint32_t host_port, uint32_t guest_port, const char *text)
{
	struct vsock_packet p = packet(VSOCK_OP_RW, host_port, guest_port);

	p.len = (uint32_t)strlen(text);
	guest_sends(&p, text);
}

bool guest_gets(struct vsock_packet *p, void *data)
{
	struct vsock_wire *wire;
	uint32_t id, len;

	settle();
	if (!fake_ring_take(&rings[0], &id, &len))
		return false;
	wire = guest_mem_at(&host.mem, RX_GPA + id * 0x2000ULL,
			    sizeof(*wire) + RX_ROOM);
	assert_true(len >= sizeof(*wire));
	vsock_packet_read(p, wire);
	assert_int_equal(len, sizeof(*wire) + p->len);
	assert_int_equal(p->dst_cid, CID);
	assert_int_equal(p->len != 0, p->op == VSOCK_OP_RW);
	if (data)
		memcpy(data, wire + 1, p->len);
	if (refills) {
		offer_rx((uint16_t)id);
		fake_write32(&host, MMIO_NOTIFY, 0);
		settle();
	}
	return true;
}

struct vsock_packet guest_expects(uint16_t op, uint32_t host_port,
				  uint32_t guest_port)
{
	struct vsock_packet p;

	assert_true(guest_gets(&p, NULL));
	assert_int_equal(p.op, op);
	assert_int_equal(p.src_cid, VSOCK_CID_HOST);
	assert_int_equal(p.type, VSOCK_TYPE_STREAM);
	assert_int_equal(p.src_port, host_port);
	assert_int_equal(p.dst_port, guest_port);
	return p;
}

void guest_expects_text(uint32_t host_port, uint32_t guest_port,
			const char *text)
{
	char data[RX_ROOM];
	struct vsock_packet p;

	assert_true(guest_gets(&p, data));
	assert_int_equal(p.op, VSOCK_OP_RW);
	assert_int_equal(p.src_port, host_port);
	assert_int_equal(p.dst_port, guest_port);
	assert_int_equal(p.len, strlen(text));
	assert_memory_equal(data, text, p.len);
}

void guest_expects_nothing(void)
{
	struct vsock_packet p;

	if (guest_gets(&p, NULL))
		fail_msg("the guest got op %u", p.op);
}

/* ---- processes ---------------------------------------------------------- */

static int unix_socket(const char *path, struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd > 0);
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_true(strlen(path) < sizeof(a->sun_path));
	memcpy(a->sun_path, path, strlen(path));
	return fd;
}

int host_connects(void)
{
	struct sockaddr_un a;
	int fd = unix_socket(uds_path, &a);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

int host_listens(uint32_t port, int backlog)
{
	struct sockaddr_un a;
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "%s_%u", uds_path, port);
	fd = unix_socket(path, &a);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	paths[path_count++] = strdup(path);
	return fd;
}

static bool is_ready(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

int host_accepts(int listener)
{
	int fd;

	assert_true(is_ready(listener));
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd > 0);
	return fd;
}

void host_says(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
			 strlen(text));
	settle();
}

void host_hears(int fd, const char *text)
{
	char data[4096];
	const size_t len = strlen(text);

	assert_true(len < sizeof(data));
	assert_int_equal(recv(fd, data, len, MSG_DONTWAIT), len);
	assert_memory_equal(data, text, len);
}

void host_hears_end(int fd)
{
	char byte;
	ssize_t n;

	settle();
	n = recv(fd, &byte, 1, MSG_DONTWAIT);
	/* A reset too: the device closed with bytes of ours unread. */
	if (n < 0)
		assert_int_equal(errno, ECONNRESET);
	else
		assert_int_equal(n, 0);
}

bool host_hears_nothing(int fd)
{
	settle();
	return !is_ready(fd);
}

int from_host(uint32_t host_port, uint32_t guest_port)
{
	char line[64];
	int fd = host_connects();

	snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
	host_says(fd, line);
	guest_expects(VSOCK_OP_REQUEST, host_port, guest_port);
	assert_true(host_hears_nothing(fd));
	guest_says(VSOCK_OP_RESPONSE, host_port, guest_port);
	snprintf(line, sizeof(line), "OK %u\n", host_port);
	host_hears(fd, line);
	return fd;
}

int from_guest(uint32_t host_port, uint32_t guest_port, uint32_t credit)
{
	struct vsock_packet p = packet(VSOCK_OP_REQUEST, host_port, guest_port);
	int listener = host_listens(host_port, 8);
	int fd;

	p.buf_alloc = credit;
	guest_sends(&p, NULL);
	fd = host_accepts(listener);
	close(listener);
	guest_expects(VSOCK_OP_RESPONSE, host_port, guest_port);
	return fd;
}
