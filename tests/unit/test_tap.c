/*
 * Taps of Linux, in a network namespace of our own, and the device on one with
 * a packet socket as the other end. Without the right to make a namespace there
 * is nothing to test on, and each test that needs it is skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "devices/net.h"
#include "devices/tap.h"
#include "tests/unit/fake_driver.h"
#include "vmm/base/fd.h"

static bool has_taps;

static int setup_all(void **state)
{
	(void)state;
	has_taps = unshare(CLONE_NEWNET) == 0 &&
		   access("/dev/net/tun", R_OK | W_OK) == 0;
	return 0;
}

#define NEEDS_TAPS()            \
	do {                    \
		if (!has_taps)  \
			skip(); \
	} while (0)

/* Makes an interface that stays, as `ip tuntap add` does. */
static void make_tap(const char *name, int flags)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq req = {0};

	assert_true(fd > 0);
	strncpy(req.ifr_name, name, IFNAMSIZ - 1);
	req.ifr_flags = (short)flags;
	assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	/* One that is nobody's is everybody's who may open /dev/net/tun. */
	assert_int_equal(ioctl(fd, TUNSETOWNER, getuid()), 0);
	close(fd);
}

static void bring_up(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {0};

	strncpy(req.ifr_name, name, IFNAMSIZ - 1);
	req.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &req), 0);
	close(fd);
}

static void a_tap_of_one_queue_just_works(void **state)
{
	struct tap t;
	struct err e;

	(void)state;
	NEEDS_TAPS();
	make_tap("one", IFF_TAP);
	assert_int_equal(tap_open(&t, "one", true, &e), 0);
	assert_false(t.is_multi);
	assert_true(t.is_attached);
	assert_int_equal(t.offloads & 0x0f, 0x0f);
	assert_true(fcntl(t.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(t.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(tap_set_offloads(&t, TAP_CSUM | TAP_TSO4), 0);
	assert_int_equal(tap_set_offloads(&t, TAP_TSO4), -EINVAL);
	tap_close(&t);
	assert_int_equal(t.fd, -1);
}

static void a_tap_of_many_queues_works_as_one_or_many(void **state)
{
	struct tap t, more[2];
	struct err e;

	(void)state;
	NEEDS_TAPS();
	make_tap("many", IFF_TAP | IFF_MULTI_QUEUE);
	assert_int_equal(tap_open(&t, "many", false, &e), 0);
	assert_true(t.is_multi);
	tap_close(&t);
	assert_int_equal(tap_open(&t, "many", true, &e), 0);
	assert_true(t.is_multi);
	assert_int_equal(tap_reserve(&more[0], &t, &e), 0);
	assert_int_equal(tap_reserve(&more[1], &t, &e), 0);
	assert_int_equal(tap_attach(&more[0], false), 0);
	assert_int_equal(tap_attach(&more[0], true), 0);
	assert_int_equal(tap_attach(&more[0], true), 0);
	assert_int_equal(tap_attach(&more[0], false), 0);
	assert_false(more[0].is_attached);
	assert_int_equal(tap_attach(&more[0], true), 0);
	assert_int_equal(tap_attach(&more[1], true), 0);
	tap_close(&more[0]);
	tap_close(&more[1]);
	tap_close(&t);
}

static void errors_say_what_to_do(void **state)
{
	static const char *const names[] = {
		"", "sixteen-letters-", "tap%d", "a/b", "a b", "a:b"};
	struct tap t, other;
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(tap_open(&t, names[i], false, &e), -EINVAL);
		assert_non_null(strstr(e.text, "no name"));
		assert_int_equal(t.fd, -1);
	}
	NEEDS_TAPS();
	assert_int_equal(tap_open(&t, "lo", false, &e), -EINVAL);
	assert_non_null(strstr(e.text, "lo is not a tap"));
	make_tap("layer3", IFF_TUN);
	assert_int_equal(tap_open(&t, "layer3", false, &e), -EINVAL);
	assert_non_null(strstr(e.text, "not a tap"));
	make_tap("busy", IFF_TAP);
	assert_int_equal(tap_open(&other, "busy", false, &e), 0);
	assert_int_equal(tap_open(&t, "busy", false, &e), -EBUSY);
	assert_non_null(strstr(e.text, "busy is in use"));
	tap_close(&other);
}

/* In a child: root keeps nothing back from itself. */
static void a_tap_of_somebody_else_is_refused(void **state)
{
	struct tap t;
	struct err e;
	int status;
	pid_t child;

	(void)state;
	NEEDS_TAPS();
	make_tap("theirs", IFF_TAP);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		status = tap_open(&t, "theirs", false, &e);
		if (status != -EPERM && status != -EACCES)
			_exit(2);
		/* It names the user that the program was started as: ours. */
		_exit(strstr(e.text, "setfacl") || strstr(e.text, "tap user")
			      ? 0
			      : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void an_open_tap_is_adopted(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	struct tap t;
	struct err e;

	(void)state;
	assert_int_equal(tap_adopt(&t, fd, "mine", &e), -EINVAL);
	assert_non_null(strstr(e.text, "mine"));
	assert_int_equal(tap_adopt(&t, fd, NULL, &e), -EINVAL);
	/* It is still ours. */
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	NEEDS_TAPS();
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
	assert_int_equal(tap_adopt(&t, fd, NULL, &e), -EINVAL);
	assert_non_null(strstr(e.text, "IFF_VNET_HDR"));
	close(fd);
	fd = open("/dev/net/tun", O_RDWR);
	req = (struct ifreq){.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
	assert_int_equal(tap_adopt(&t, fd, NULL, &e), 0);
	assert_int_equal(t.fd, fd);
	assert_string_equal(t.name, req.ifr_name);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	tap_close(&t);
}

/* ---- the device on a tap of Linux ---------------------------------------- */

enum { HEADER = 12, ETHER_LAB = 0x88b5, RX_GPA = 0x20000, TX_GPA = 0x40000 };

static struct fake_host host;
static struct fake_ring rx, tx;
static uint8_t *sent, *got;
static int packets;

static void open_lab(void)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETHER_LAB)};
	struct net_config config = {
		.id = "eth0", .tap_name = "lab", .tap_fd = -1};
	struct ifreq req = {.ifr_name = "lab"};
	struct device *d;
	struct err e;

	make_tap("lab", IFF_TAP);
	fake_host_open(&host);
	assert_int_equal(net_new(&d, &config, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
	bring_up("lab");
	packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			 htons(ETHER_LAB));
	assert_true(packets > 0);
	assert_int_equal(ioctl(packets, SIOCGIFINDEX, &req), 0);
	at.sll_ifindex = req.ifr_ifindex;
	assert_int_equal(bind(packets, (struct sockaddr *)&at, sizeof(at)), 0);
}

static void drive(uint64_t features)
{
	features |= FAKE_F_VERSION_1;
	assert_int_equal(fake_driver_negotiate(&host, features),
			 ST_FEATURES_OK);
	fake_ring_init(&rx, &host.mem, 0x1000, 64);
	fake_ring_init(&tx, &host.mem, 0x3000, 64);
	fake_driver_queue(&host, 0, &rx);
	fake_driver_queue(&host, 1, &tx);
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	sent = guest_mem_at(&host.mem, TX_GPA, 0x10000);
	got = guest_mem_at(&host.mem, RX_GPA, 0x10000);
	fake_host_turn(&host, 16);
}

static void make_frame(uint8_t *frame, size_t len)
{
	size_t i;

	memset(frame, 0xff, 6);
	memset(frame + 6, 2, 6);
	frame[12] = ETHER_LAB >> 8;
	frame[13] = ETHER_LAB & 0xff;
	for (i = 14; i < len; i++)
		frame[i] = (uint8_t)(i * 7);
}

static void frames_cross_a_tap_of_linux(void **state)
{
	uint8_t frame[1500], have[2000];
	uint32_t id, len;
	unsigned i, round;

	(void)state;
	NEEDS_TAPS();
	open_lab();
	for (round = 0; round < 3; round++) {
		drive(1ULL << 15 | (round == 1 ? 1ULL << 1 : 0));
		for (i = 0; i < 32; i++) {
			/* To the host. */
			memset(sent, 0, HEADER);
			make_frame(sent + HEADER, 60 + i);
			fake_ring_desc(&tx, 0, TX_GPA, HEADER + 60 + i, 0, 0);
			fake_ring_offer(&tx, 0);
			fake_write32(&host, MMIO_NOTIFY, 1);
			assert_true(fake_host_turn(&host, 32) < 32);
			assert_int_equal(recv(packets, have, sizeof(have), 0),
					 60 + i);
			assert_memory_equal(have, sent + HEADER, 60 + i);
			/* And from it; Linux's own frames come between. */
			make_frame(frame, 1400 + i);
			assert_int_equal(send(packets, frame, 1400 + i, 0),
					 1400 + i);
			do {
				fake_ring_desc(&rx, 0, RX_GPA, 2000, FAKE_WRITE,
					       0);
				fake_ring_offer(&rx, 0);
				fake_write32(&host, MMIO_NOTIFY, 0);
				assert_true(fake_host_turn(&host, 32) < 32);
				assert_true(fake_ring_take(&rx, &id, &len));
			} while (got[HEADER + 12] != ETHER_LAB >> 8);
			assert_int_equal(len, HEADER + 1400 + i);
			assert_memory_equal(got + HEADER, frame, 1400 + i);
			assert_int_equal(got[10] | got[11] << 8, 1);
		}
	}
	close(packets);
	fake_host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tap_of_one_queue_just_works),
		cmocka_unit_test(a_tap_of_many_queues_works_as_one_or_many),
		cmocka_unit_test(errors_say_what_to_do),
		cmocka_unit_test(a_tap_of_somebody_else_is_refused),
		cmocka_unit_test(an_open_tap_is_adopted),
		cmocka_unit_test(frames_cross_a_tap_of_linux),
	};

	return cmocka_run_group_tests_name("tap", tests, setup_all, NULL);
}
