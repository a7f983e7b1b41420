/*
 * The network of --net nat. Rules go into an nftables table of the tap's own
 * name, which goes as one with everything in it; so nothing is ever edited that
 * somebody else wrote. Where there is no nft, iptables does it, with a comment
 * to find its rule by.
 */
#include "api/ctl/vm/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

/* 10.201.0.0/16 has this many /30. */
enum { SUBNETS = 1 << 14 };

#define TAP_PREFIX "mayfly"

/* ---- the tap ------------------------------------------------------------ */

/* A new tap of that name that outlives us; -EBUSY where there is one. */
static int make_tap(const char *name, struct err *e)
{
	CLEAN_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq request = {
		.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
				     IFF_TUN_EXCL),
	};

	if (fd < 0)
		return err_errno(e, "can't open /dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		return errno == EBUSY ? -EBUSY
				      : err_errno(e, "can't make a tap");
	if (ioctl(fd, TUNSETPERSIST, 1))
		return err_errno(e, "can't keep the tap %s", name);
	return 0;
}

static void set_addresses(struct network *n, unsigned subnet)
{
	const unsigned base = subnet * 4;

	const uint8_t host[4] = {10, 201, (uint8_t)(base >> 8),
				 (uint8_t)(base + 1)};
	const uint8_t guest[4] = {10, 201, (uint8_t)(base >> 8),
				  (uint8_t)(base + 2)};

	memcpy(n->guest.gateway, host, 4);
	memcpy(n->guest.ip, guest, 4);
	n->guest.prefix = 30;
	snprintf(n->tap, sizeof(n->tap), TAP_PREFIX "%u", subnet);
	/* Locally administered, and the address in it. */
	snprintf(n->mac, sizeof(n->mac), "06:00:%02x:%02x:%02x:%02x", guest[0],
		 guest[1], guest[2], guest[3]);
}

static int take_tap(struct network *n, struct err *e)
{
	unsigned i;
	int rc;

	for (i = 0; i < SUBNETS; i++) {
		set_addresses(n, i);
		rc = make_tap(n->tap, e);
		if (rc != -EBUSY)
			return rc;
	}
	return err_set(e, -EBUSY, "all of 10.201.0.0/16 is in use");
}

/* The first IPv4 name server that the guest can reach. */
static void find_dns(struct network *n)
{
	FILE *file = fopen("/etc/resolv.conf", "re");
	char line[256], address[64];
	unsigned char bytes[4];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "nameserver %63s", address) != 1 ||
		    inet_pton(AF_INET, address, bytes) != 1 || bytes[0] == 127)
			continue;
		memcpy(n->guest.dns, bytes, 4);
		break;
	}
	if (file)
		fclose(file);
}

int network_use(struct network *n, const struct network_tap *tap, struct err *e)
{
	uint32_t hash = 2166136261u;
	const char *at;

	/* The monitor would make one, which leads nowhere. */
	if (!if_nametoindex(tap->name))
		return err_set(e, -ENODEV,
			       "there is no tap %s; `ip tuntap add dev %s mode "
			       "tap` makes one",
			       tap->name, tap->name);
	*n = (struct network){0};
	snprintf(n->tap, sizeof(n->tap), "%s", tap->name);
	n->guest.prefix = tap->prefix;
	memcpy(n->guest.ip, tap->ip, sizeof(n->guest.ip));
	memcpy(n->guest.gateway, tap->gateway, sizeof(n->guest.gateway));
	if (n->guest.gateway[0])
		find_dns(n);
	for (at = tap->name; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	snprintf(n->mac, sizeof(n->mac), "06:01:%02x:%02x:%02x:%02x",
		 hash >> 24, (hash >> 16) & 0xff, (hash >> 8) & 0xff,
		 hash & 0xff);
	return 0;
}

/* ---- rules -------------------------------------------------------------- */

static int run_up(const struct network *n, struct err *e)
{
	char address[32];
	const char *const add[] = {"ip",  "address", "add", address,
				   "dev", n->tap,    NULL};
	const char *const up[] = {"ip", "link", "set", n->tap, "up", NULL};
	int rc;

	snprintf(address, sizeof(address), "%u.%u.%u.%u/%u",
		 n->guest.gateway[0], n->guest.gateway[1], n->guest.gateway[2],
		 n->guest.gateway[3], n->guest.prefix);
	rc = process_run(add, e);
	return rc ? rc : process_run(up, e);
}

static void format_guest(const struct network *n, char out[16])
{
	snprintf(out, 16, "%u.%u.%u.%u", n->guest.ip[0], n->guest.ip[1],
		 n->guest.ip[2], n->guest.ip[3]);
}

static int masquerade(const struct network *n, struct err *e)
{
	static const char *const nft[] = {"nft", "-f", "-", NULL};
	char text[512], guest[16];
	const char *const iptables[] = {
		"iptables", "-t",  "nat",	 "-A",	    "POSTROUTING",
		"-s",	    guest, "-m",	 "comment", "--comment",
		n->tap,	    "-j",  "MASQUERADE", NULL};
	int rc;

	format_guest(n, guest);
	snprintf(text, sizeof(text),
		 "table ip %s {\n"
		 " chain out {\n"
		 "  type nat hook postrouting priority 100;\n"
		 "  ip saddr %s oifname != \"%s\" masquerade\n"
		 " }\n"
		 "}\n",
		 n->tap, guest, n->tap);
	rc = process_feed(nft, text, e);
	return rc == -ENOENT ? process_run(iptables, e) : rc;
}

static int allow_forwarding(const struct network *n, struct err *e)
{
	char path[64];
	int fd;

	/* Of this tap, and of the way back, which is the default route's. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding",
		 n->tap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1) {
		fd_close(&fd);
		return err_errno(e, "can't write %s", path);
	}
	fd_close(&fd);
	fd = open("/proc/sys/net/ipv4/ip_forward", O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, path, 1) != 1) {
		fd_close(&fd);
		return err_errno(e, "can't read net.ipv4.ip_forward");
	}
	fd_close(&fd);
	if (path[0] == '1')
		return 0;
	/* It is the host's, and stays off unless its owner wants it on. */
	return err_set(e, -EPERM,
		       "--net nat needs a host that forwards: `sysctl -w "
		       "net.ipv4.ip_forward=1`");
}

int network_make(struct network *n, struct err *e)
{
	int rc;

	*n = (struct network){0};
	if (geteuid() != 0)
		return err_set(
			e, -EPERM,
			"--net nat makes an interface and rules, which "
			"needs root; without, have a tap made for you "
			"and use --net tap=NAME, or -p for single ports");
	rc = take_tap(n, e);
	if (rc)
		return rc;
	rc = run_up(n, e);
	if (!rc)
		rc = allow_forwarding(n, e);
	if (!rc)
		rc = masquerade(n, e);
	if (rc)
		network_remove(n->tap);
	find_dns(n);
	return rc;
}

void network_remove(const char *tap)
{
	const char *const table[] = {"nft", "delete", "table", "ip", tap, NULL};
	const char *const link[] = {"ip", "link", "delete", tap, NULL};
	struct network n;
	char guest[16], *end;
	const char *const iptables[] = {"iptables",    "-t",	    "nat", "-D",
					"POSTROUTING", "-s",	    guest, "-m",
					"comment",     "--comment", tap,   "-j",
					"MASQUERADE",  NULL};
	unsigned long subnet;

	/* The name is out of a file: never remove what is not ours. */
	if (strncmp(tap, TAP_PREFIX, strlen(TAP_PREFIX)) != 0)
		return;
	subnet = strtoul(tap + strlen(TAP_PREFIX), &end, 10);
	if (*end || subnet >= SUBNETS)
		return;
	set_addresses(&n, (unsigned)subnet);
	format_guest(&n, guest);
	if (process_run(table, NULL) == -ENOENT)
		(void)process_run(iptables, NULL);
	(void)process_run(link, NULL);
}
