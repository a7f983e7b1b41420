/*
 * The network of --net nat, and taps of the user's. A tap becomes one that
 * stays only when it has its alias: what is killed before that leaves none.
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

#include "api/ctl/vm/link.h"
#include "api/ctl/vm/nat.h"
#include "vmm/base/fd.h"

/* 10.201.0.0/16 has this many /30. */
enum { SUBNETS = 1 << 14 };

#define TAP_PREFIX   "mayfly"
#define ALIAS_PREFIX "mayfly:"

/* ---- the tap ------------------------------------------------------------ */

/* A new tap of that name, gone with its descriptor; -EBUSY where there is one.
 */
static int open_tap(const char *name, struct err *e)
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
	return fd_steal(&fd);
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
}

/*
 * Locally administered. Addresses come back, and whoever has had one is still
 * known by its hardware address to what it talked to; ids do not.
 */
static void set_mac(struct network *n, const char *id)
{
	const unsigned long long bits = strtoull(id, NULL, 16);

	snprintf(n->mac, sizeof(n->mac), "06:%02x:%02x:%02x:%02x:%02x",
		 (unsigned)(bits >> 32 & 0xff), (unsigned)(bits >> 24 & 0xff),
		 (unsigned)(bits >> 16 & 0xff), (unsigned)(bits >> 8 & 0xff),
		 (unsigned)(bits & 0xff));
}

/* Alias, address, up. */
static int dress(const struct network *n, const char *id, struct err *e)
{
	const int index = (int)if_nametoindex(n->tap);
	char alias[LINK_ALIAS_MAX];
	int rc;

	snprintf(alias, sizeof(alias), ALIAS_PREFIX "%s", id);
	rc = index ? link_name(index, alias) : -ENODEV;
	rc = rc ? rc : link_address(index, n->guest.gateway, n->guest.prefix);
	rc = rc ? rc : link_up(index);
	return rc ? err_set(e, rc, "can't set the tap %s up: %s", n->tap,
			    strerror(-rc))
		  : 0;
}

static int make_tap(struct network *n, const char *id,
		    const struct network_claim *claim, struct err *e)
{
	CLEAN_FD int fd = -1;
	unsigned i;
	int rc;

	for (i = 0; i < SUBNETS && fd < 0; i++) {
		set_addresses(n, i);
		if (if_nametoindex(n->tap))
			continue;
		/* Written before it can be forgotten. */
		rc = claim->keep(claim->context, n->tap, e);
		if (rc)
			return rc;
		fd = open_tap(n->tap, e);
		if (fd < 0 && fd != -EBUSY)
			return fd;
	}
	if (fd < 0)
		return err_set(e, -EBUSY, "all of 10.201.0.0/16 is in use");
	rc = dress(n, id, e);
	if (!rc && ioctl(fd, TUNSETPERSIST, 1))
		rc = err_errno(e, "can't keep the tap %s", n->tap);
	return rc;
}

/* What can be told of one server only is told of the first. */
static void find_dns(struct network *n)
{
	char **at;

	resolver_read(&n->resolver, NULL, NULL);
	for (at = n->resolver.servers; at && *at; at++)
		if (inet_pton(AF_INET, *at, n->guest.dns) == 1)
			break;
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

/* ---- all of it ---------------------------------------------------------- */

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

/*
 * IPv6 does not get out of the guest, and a loopback is its own. The rules for
 * these open a port of the host's where one of them is an address of the host.
 */
static void set_servers(struct network *n, const char *const *list)
{
	uint8_t ip[4];

	for (; list && *list && n->server_count < NETWORK_SERVERS_MAX; list++)
		if (inet_pton(AF_INET, *list, ip) == 1 && ip[0] != 127)
			memcpy(n->servers[n->server_count++], ip, sizeof(ip));
}

int network_make(struct network *n, const char *id, const char *const *dns,
		 const struct network_claim *claim, struct err *e)
{
	int rc;

	*n = (struct network){0};
	if (geteuid() != 0)
		return err_set(
			e, -EPERM,
			"--net nat makes an interface and rules, which "
			"needs root; without, have a tap made for you "
			"and use --net tap=NAME, or -p for single ports");
	rc = make_tap(n, id, claim, e);
	if (rc)
		return rc;
	set_mac(n, id);
	find_dns(n);
	/* The guest has no address that reaches others. */
	resolver_keep_ipv4(&n->resolver);
	set_servers(n, dns ? dns : (const char *const *)n->resolver.servers);
	rc = allow_forwarding(n, e);
	return rc ? rc : nat_make(n, id, e);
}

void network_remove(const char *tap, const char *id)
{
	char alias[LINK_ALIAS_MAX], *end;
	unsigned long subnet;
	struct network n;
	int index;

	/* The name is out of a file: never remove what is not ours. */
	if (!id || strncmp(tap, TAP_PREFIX, strlen(TAP_PREFIX)) != 0)
		return;
	subnet = strtoul(tap + strlen(TAP_PREFIX), &end, 10);
	if (*end || subnet >= SUBNETS)
		return;
	n = (struct network){0};
	set_addresses(&n, (unsigned)subnet);
	nat_remove(&n, id);
	index = link_find(n.tap, alias);
	if (index && !strncmp(alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) &&
	    !strcmp(alias + strlen(ALIAS_PREFIX), id))
		(void)link_remove(index);
}

void network_fini(struct network *n)
{
	resolver_fini(&n->resolver);
}
