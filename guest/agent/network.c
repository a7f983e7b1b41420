/*
 * Interfaces, set up by ioctl as CONFIGURE says: no DHCP, no waiting. IPv6
 * addresses are used at once, for nobody else on the link can have them.
 */
#include "guest/agent/agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
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

static int interface_flags(int fd, const char *name, short flags)
{
	struct ifreq r = {0};

	memcpy(r.ifr_name, name, strlen(name));
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		return -errno;
	r.ifr_flags |= flags;
	return ioctl(fd, SIOCSIFFLAGS, &r) ? -errno : 0;
}

void network_loopback(void)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || machine.is_test)
		return;
	interface_flags(fd, "lo", IFF_UP);
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
	char path[80];
	int fd, rc;

	if (prefix < 0 || prefix > 128 ||
	    inet_pton(AF_INET6, text, &r.addr) != 1)
		return -EINVAL;
	r.prefix = (uint32_t)prefix;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_dad",
		 name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "0", 1) != 1)
			errno = 0; /* then the address is used a second later */
		close(fd);
	}
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
	char *name, *gateway4, *gateway6, **addresses;
};

static int interface_set(int fd, const struct interface *i,
			 char what[static 80])
{
	char name[IFNAMSIZ] = "";
	struct ifreq r = {0};
	int rc = 0;

	snprintf(what, 80, "interface '%.20s'", i->name);
	if (strlen(i->name) >= IFNAMSIZ || strchr(i->name, '/'))
		return -EINVAL;
	if (*i->name)
		memcpy(name, i->name, strlen(i->name));
	else
		rc = interface_first(fd, name);
	memcpy(r.ifr_name, name, sizeof(name));
	if (!rc && i->mtu) {
		r.ifr_mtu = (int)(i->mtu > 65535 ? 65535 : i->mtu);
		rc = ioctl(fd, SIOCSIFMTU, &r) ? -errno : 0;
	}
	if (!rc)
		rc = interface_flags(fd, name, IFF_UP);
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

int network_interface(struct reader *r, char what[static 80])
{
	const struct proto_interface *head = reader_take(r, sizeof(*head));
	struct interface i = {0};
	int fd, rc;

	i.name = reader_copy(r);
	i.addresses = reader_strings(r);
	i.gateway4 = reader_copy(r);
	i.gateway6 = reader_copy(r);
	rc = r->is_bad ? -EPROTO : 0;
	if (!rc && !machine.is_test) {
		i.mtu = proto_get32(&head->mtu);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		rc = fd < 0 ? -errno : interface_set(fd, &i, what);
		if (fd >= 0)
			close(fd);
	}
	free(i.name);
	free(i.addresses);
	free(i.gateway4);
	free(i.gateway6);
	return rc;
}
