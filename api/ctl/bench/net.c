/*
 * bench net: TCP and small datagrams both ways between a guest with Linux and
 * its host, by a tap, in a network namespace that this process is in
 * meanwhile; and the same programs over the host's loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/guest.h"
#include "api/ctl/bench/work.h"
#include "vmm/base/fd.h"

#define TAP   "bench0"
#define HOST  "10.9.0.1"
#define GUEST "10.9.0.2"
#define PORT  ":5000"
#define VHOST "/dev/vhost-net"
#define LOCAL "127.0.0.1"

enum { LOADS = 5 };
enum { OURS, QEMU, VHOSTED, FIRECRACKER, LOOPBACK, LANES };

static const struct work_load loads[LOADS] = {{"send", 1e-6},
					      {"receive", 1e-6},
					      {"trip", 0},
					      {"packets", 1},
					      {"packets-back", 1}};

const struct bench_measure bench_net_more[] = {
	{"net-to-guest", "a TCP stream to the guest", "MB/s", true},
	{"net-trip", "a byte there and back over TCP", "us", false},
	{"net-packets", "datagrams of 18 bytes from the guest", "/s", true},
	{"net-packets-to-guest", "datagrams of 18 bytes to the guest", "/s",
	 true},
	{0},
};

struct nets {
	struct guest guest;
	struct guest_words words[LANES];
	struct work_lane work[LANES];
	struct lane lanes[LANES];
	char program[PATH_MAX];
	char host_jobs[LOADS][64];
	struct spawned server;
	int home; /* the network namespace that we come from */
	unsigned count;
};

/* ---- a network of our own ------------------------------------------------ */

static int set_up(int fd, const char *name, const char *ip)
{
	struct ifreq r = {.ifr_flags = 0};
	struct sockaddr_in a = {.sin_family = AF_INET};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ip) {
		inet_pton(AF_INET, ip, &a.sin_addr);
		memcpy(&r.ifr_addr, &a, sizeof(a));
		if (ioctl(fd, SIOCSIFADDR, &r))
			return -errno;
		a.sin_addr.s_addr = htonl(0xffffff00);
		memcpy(&r.ifr_netmask, &a, sizeof(a));
		if (ioctl(fd, SIOCSIFNETMASK, &r))
			return -errno;
	}
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		return -errno;
	r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, &r) ? -errno : 0;
}

/* One that stays while no monitor has it. */
static int make_tap(struct err *e)
{
	CLEAN_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq r = {.ifr_name = TAP,
			  .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

	if (fd < 0)
		return err_errno(e, "can't open /dev/net/tun; is the tun "
				    "module loaded?");
	if (ioctl(fd, TUNSETIFF, &r) || ioctl(fd, TUNSETPERSIST, 1))
		return err_errno(e, "can't make a tap");
	return 0;
}

static int enter(struct nets *n, struct err *e)
{
	CLEAN_FD int fd = -1;
	int rc;

	if (geteuid())
		return err_set(e, -EOPNOTSUPP,
			       "making a network needs root: run it with sudo");
	n->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (n->home < 0 || unshare(CLONE_NEWNET))
		return err_errno(e, "can't make a network namespace");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rc = make_tap(e);
	if (rc)
		return rc;
	rc = set_up(fd, "lo", NULL);
	if (!rc)
		rc = set_up(fd, TAP, HOST);
	return rc ? err_set(e, rc, "can't set the tap up: %s", strerror(-rc))
		  : 0;
}

/* The namespace goes with whoever was in it. */
static void leave(struct nets *n)
{
	if (n->home > 0)
		(void)setns(n->home, CLONE_NEWNET);
	fd_close(&n->home);
}

/* ---- lanes --------------------------------------------------------------- */

static void write_jobs(struct nets *n, const struct bench *b)
{
	size_t len;
	unsigned i;

	len = (size_t)snprintf(n->guest.args, sizeof(n->guest.args),
			       "console=ttyS0 quiet reboot=t panic=1 acpi=off "
			       "work=address," GUEST);
	for (i = 0; i < LOADS; i++) {
		len += (size_t)snprintf(
			n->guest.args + len, sizeof(n->guest.args) - len,
			" work=%s,%s,tcp:" HOST PORT ",%u", loads[i].name,
			loads[i].name, b->load_ms);
		snprintf(n->host_jobs[i], sizeof(n->host_jobs[i]),
			 "%s,%s,tcp:" LOCAL PORT ",%u", loads[i].name,
			 loads[i].name, b->load_ms);
	}
}

static void add_lane(struct nets *n, unsigned who, const char *name)
{
	work_lane(&n->lanes[n->count++], &n->work[who], name, loads, LOADS,
		  n->words[who].argv);
}

static int add_mayfly(struct nets *n, const struct bench *b, unsigned who,
		      const char *program, const char *name, struct err *e)
{
	const struct guest_how how = {
		.program = program,
		.huge_pages = who == OURS ? "Transparent" : "None",
	};
	char config[PATH_MAX + 32];
	int rc;

	snprintf(config, sizeof(config), "%s/net-%u.json", b->parts->scratch,
		 who);
	rc = guest_mayfly(&n->words[who], &n->guest, &how, config, e);
	if (!rc)
		add_lane(n, who, name);
	return rc;
}

static int add_lanes(struct nets *n, const struct bench *b, struct result *r,
		     struct err *e)
{
	struct guest_how qemu = {.program = b->parts->peers[PEER_QEMU]};
	const char *rival = b->parts->peers[PEER_FIRECRACKER];
	unsigned i;
	int rc = add_mayfly(n, b, OURS, b->parts->mayfly, "mayfly", e);

	if (!rc && *rival)
		rc = add_mayfly(n, b, FIRECRACKER, rival, "firecracker", e);
	if (rc)
		return rc;
	if (*qemu.program) {
		guest_qemu(&n->words[QEMU], &n->guest, &qemu);
		add_lane(n, QEMU, "qemu");
	}
	qemu.has_vhost = true;
	if (*qemu.program && !access(VHOST, R_OK | W_OK)) {
		guest_qemu(&n->words[VHOSTED], &n->guest, &qemu);
		add_lane(n, VHOSTED, "qemu-vhost");
	} else if (*qemu.program) {
		result_leave_out(r, "qemu-vhost",
				 "there is no " VHOST
				 " here; `modprobe vhost_net` makes it");
	}
	n->words[LOOPBACK].argv[0] = n->program;
	for (i = 0; i < LOADS; i++)
		n->words[LOOPBACK].argv[1 + i] = n->host_jobs[i];
	add_lane(n, LOOPBACK, "host");
	return 0;
}

static int measure(struct result *r, struct nets *n, const struct bench *b,
		   struct err *e)
{
	const struct pace pace = guest_pace(b);
	unsigned i, k;
	int rc;

	write_jobs(n, b);
	rc = add_lanes(n, b, r, e);
	if (!rc)
		rc = work_serve(&n->server, n->program, "tcp:0.0.0.0" PORT, e);
	if (!rc)
		rc = rounds_run_all(r, LOADS, n->lanes, n->count, &pace, e);
	spawn_kill(&n->server);
	/* Of streams the device counts frames, which are as long as it likes.
	 */
	for (i = 2; i < LOADS && !rc; i++)
		for (k = 0; k < n->count; k++)
			if (n->lanes[k].context != &n->work[LOOPBACK])
				work_tell_interrupts(&r[i], n->lanes[k].context,
						     i, n->lanes[k].name,
						     i == 2 ? "round trip"
							    : "datagram");
	return rc;
}

int bench_net(struct result *r, const struct bench *b, struct err *e)
{
	struct nets *n = calloc(1, sizeof(*n));
	unsigned i;
	int rc;

	if (!n)
		return err_set(e, -ENOMEM, "no memory for a bench");
	rc = work_begin(&n->guest, n->program, b, "net", e);
	if (!rc) {
		n->guest.tap = TAP;
		rc = enter(n, e);
		if (!rc)
			rc = measure(r, n, b, e);
		leave(n);
	}
	for (i = 0; i < LANES; i++)
		work_fini(&n->work[i]);
	free(n);
	return rc;
}
