/*
 * Interfaces, set up by ioctl as CONFIGURE says: no DHCP, no waiting. IPv6
 * addresses are used at once, for nobody else on the link can have them.
 */
#include "guest/agent/network.h"

#include "guest/agent/machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* linux/ipv6.h has it, beside much that the C library has as well. */
struct in6_address {
	struct in6_addr addr;
	uint32_t prefix;
	int index;
};

static int interface_flags(int fd, const char *name, short on, short off)
{
	struct ifreq r = {0};

	memcpy(r.ifr_name, name, strlen(name));
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		return -errno;
	r.ifr_flags = (short)((r.ifr_flags | on) & ~off);
	return ioctl(fd, SIOCSIFFLAGS, &r) ? -errno : 0;
}

void network_loopback(void)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || machine.is_test)
		return;
	interface_flags(fd, "lo", IFF_UP, 0);
	close(fd);
}

void network_permit(void)
{
	static const char *const settings[][2] = {
		{"ip_unprivileged_port_start", "0"},
		{"ping_group_range", "0 2147483647"},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s",
			 settings[i][0]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue; /* a kernel without it has no such rule */
		if (write(fd, settings[i][1], strlen(settings[i][1])) < 0)
			errno = 0; /* then it is root's alone */
		close(fd);
	}
}

/* A setting of one interface's; a kernel without it can't do what it asks. */
static void interface_setting(const char *name, const char *family,
			      const char *setting, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family,
		 name, setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		errno = 0; /* as if it were not there */
	close(fd);
}

/* The first that is not lo; the numbers begin with lo's, 1. */
static int interface_first(int fd, char name[static IFNAMSIZ])
{
	struct ifreq r = {0};

	for (r.ifr_ifindex = 1; r.ifr_ifindex < 64; r.ifr_ifindex++) {
		if (ioctl(fd, SIOCGIFNAME, &r) || !strcmp(r.ifr_name, "lo") ||
		    !strncmp(r.ifr_name, "sit", 3))
			continue;
		memcpy(name, r.ifr_name, IFNAMSIZ);
		return 0;
	}
	return -ENODEV;
}

static int address4(int fd, const char *name, const char *text, int prefix)
{
	struct ifreq r = {0};
	struct sockaddr_in sin = {.sin_family = AF_INET};

	if (prefix < 0 || prefix > 32 ||
	    inet_pton(AF_INET, text, &sin.sin_addr) != 1)
		return -EINVAL;
	memcpy(r.ifr_name, name, strlen(name));
	memcpy(&r.ifr_addr, &sin, sizeof(sin));
	if (ioctl(fd, SIOCSIFADDR, &r))
		return -errno;
	sin.sin_addr.s_addr = prefix ? htonl(0xffffffffU << (32 - prefix)) : 0;
	memcpy(&r.ifr_netmask, &sin, sizeof(sin));
	return ioctl(fd, SIOCSIFNETMASK, &r) ? -errno : 0;
}

static int address6(const char *name, const char *text, int prefix)
{
	struct in6_address r = {.index = (int)if_nametoindex(name)};
	int fd, rc;

	if (prefix < 0 || prefix > 128 ||
	    inet_pton(AF_INET6, text, &r.addr) != 1)
		return -EINVAL;
	r.prefix = (uint32_t)prefix;
	/* Else the address is used a second later. */
	interface_setting(name, "ipv6", "accept_dad", "0");
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = ioctl(fd, SIOCSIFADDR, &r) ? -errno : 0;
	close(fd);
	return rc;
}

static int address_add(int fd, const char *name, const char *text)
{
	char copy[64], *slash, *end = NULL;
	long prefix;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (!slash)
		return -EINVAL;
	*slash++ = '\0';
	prefix = strtol(slash, &end, 10);
	if (!*slash || *end || prefix < 0 || prefix > 128)
		return -EINVAL;
	return strchr(copy, ':') ? address6(name, copy, (int)prefix)
				 : address4(fd, name, copy, (int)prefix);
}

static int route4(int fd, char *name, const char *gateway)
{
	struct rtentry r = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = name};
	struct sockaddr_in sin = {.sin_family = AF_INET};

	memcpy(&r.rt_dst, &sin, sizeof(sin));
	memcpy(&r.rt_genmask, &sin, sizeof(sin));
	if (inet_pton(AF_INET, gateway, &sin.sin_addr) != 1)
		return -EINVAL;
	memcpy(&r.rt_gateway, &sin, sizeof(sin));
	if (!ioctl(fd, SIOCADDRT, &r))
		return 0;
	if (errno != ENETUNREACH)
		return -errno;
	/* One that is in no subnet of ours, as of many pods, is on the link. */
	r.rt_flags = RTF_UP | RTF_HOST;
	memcpy(&r.rt_dst, &sin, sizeof(sin));
	memset(&r.rt_gateway, 0, sizeof(r.rt_gateway));
	if (ioctl(fd, SIOCADDRT, &r))
		return -errno;
	r.rt_flags = RTF_UP | RTF_GATEWAY;
	memcpy(&r.rt_gateway, &sin, sizeof(sin));
	sin.sin_addr.s_addr = 0;
	memcpy(&r.rt_dst, &sin, sizeof(sin));
	return ioctl(fd, SIOCADDRT, &r) ? -errno : 0;
}

static int route6(const char *name, const char *gateway)
{
	struct in6_rtmsg r = {.rtmsg_flags = RTF_UP | RTF_GATEWAY,
			      .rtmsg_metric = 1,
			      .rtmsg_ifindex = (int)if_nametoindex(name)};
	int fd, rc;

	if (inet_pton(AF_INET6, gateway, &r.rtmsg_gateway) != 1)
		return -EINVAL;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = ioctl(fd, SIOCADDRT, &r) ? -errno : 0;
	close(fd);
	return rc;
}

struct interface {
	uint32_t mtu;
	char *mac; /* NULL for CONFIGURE */
	char *name, *gateway4, *gateway6, **addresses;
};

static int interface_name(int fd, const struct interface *i,
			  char name[static IFNAMSIZ], char what[static 80])
{
	memset(name, 0, IFNAMSIZ);
	snprintf(what, 80, "interface '%.20s'", i->name);
	if (strlen(i->name) >= IFNAMSIZ || strchr(i->name, '/'))
		return -EINVAL;
	if (!*i->name)
		return interface_first(fd, name);
	memcpy(name, i->name, strlen(i->name));
	return 0;
}

static int interface_set(int fd, const struct interface *i,
			 char what[static 80])
{
	char name[IFNAMSIZ];
	struct ifreq r = {0};
	int rc = interface_name(fd, i, name, what);

	memcpy(r.ifr_name, name, sizeof(name));
	if (!rc && i->mtu) {
		r.ifr_mtu = (int)(i->mtu > 65535 ? 65535 : i->mtu);
		rc = ioctl(fd, SIOCSIFMTU, &r) ? -errno : 0;
	}
	if (!rc)
		rc = interface_flags(fd, name, IFF_UP, 0);
	for (char **a = i->addresses; !rc && *a; a++) {
		snprintf(what, 80, "address '%.50s'", *a);
		rc = address_add(fd, name, *a);
	}
	if (!rc && *i->gateway4) {
		snprintf(what, 80, "gateway '%.50s'", i->gateway4);
		rc = route4(fd, name, i->gateway4);
	}
	if (!rc && *i->gateway6) {
		snprintf(what, 80, "gateway '%.50s'", i->gateway6);
		rc = route6(name, i->gateway6);
	}
	return rc;
}

/* For /etc/hosts: the first of each kind. */
static void address_keep(const char *text)
{
	char *to = machine.address[strchr(text, ':') ? 1 : 0];

	if (!*to && strcspn(text, "/") < sizeof(machine.address[0]))
		snprintf(to, sizeof(machine.address[0]), "%.*s",
			 (int)strcspn(text, "/"), text);
}

/* Six pairs of hexadecimal digits; empty: it keeps the one it has. */
static int hardware_set(int fd, const char *name, const char *text,
			char what[static 80])
{
	struct ifreq r = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
	uint8_t *b = (uint8_t *)r.ifr_hwaddr.sa_data;
	int len = 0;

	if (!*text)
		return 0;
	snprintf(what, 80, "address '%.50s'", text);
	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &b[0], &b[1],
		   &b[2], &b[3], &b[4], &b[5], &len) != 6 ||
	    text[len] || len != 17)
		return -EINVAL;
	memcpy(r.ifr_name, name, strlen(name));
	return ioctl(fd, SIOCSIFHWADDR, &r) ? -errno : 0;
}

/*
 * Going down takes routes, neighbours and addresses of IPv6 away; those of IPv4
 * stay and have to be taken. Linux tells the link (by ARP, and by unsolicited
 * advertisements) of what an interface has when it comes up.
 */
static int interface_renew(int fd, const struct interface *i,
			   char what[static 80])
{
	char name[IFNAMSIZ];
	int rc = interface_name(fd, i, name, what);

	if (!rc)
		rc = interface_flags(fd, name, 0, IFF_UP);
	if (!rc)
		rc = hardware_set(fd, name, i->mac, what);
	if (rc)
		return rc;
	interface_setting(name, "ipv4", "arp_notify", "1");
	interface_setting(name, "ipv6", "ndisc_notify", "1");
	address4(fd, name, "0.0.0.0", 0); /* fails where there is none */
	for (char **a = i->addresses; !rc && *a; a++) {
		snprintf(what, 80, "address '%.50s'", *a);
		if (!strchr(*a, ':'))
			rc = address_add(fd, name, *a);
	}
	return rc ? rc : interface_set(fd, i, what);
}

static int interface_take(struct reader *r, bool is_renewed,
			  char what[static 80])
{
	const struct proto_interface *head = reader_take(r, sizeof(*head));
	struct interface i = {0};
	int fd, rc;

	i.mac = is_renewed ? reader_copy(r) : NULL;
	i.name = reader_copy(r);
	i.addresses = reader_strings(r);
	i.gateway4 = reader_copy(r);
	i.gateway6 = reader_copy(r);
	rc = r->is_bad ? -EPROTO : 0;
	for (char **a = i.addresses; !rc && *a; a++)
		address_keep(*a);
	if (!rc && !machine.is_test) {
		i.mtu = proto_get32(&head->mtu);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			rc = -errno;
		else
			rc = is_renewed ? interface_renew(fd, &i, what)
					: interface_set(fd, &i, what);
		if (fd >= 0)
			close(fd);
	}
	free(i.mac);
	free(i.name);
	free(i.addresses);
	free(i.gateway4);
	free(i.gateway6);
	return rc;
}

int network_interface(struct reader *r, char what[static 80])
{
	return interface_take(r, false, what);
}

int network_renew(struct reader *r, char what[static 80])
{
	return interface_take(r, true, what);
}
