#include "api/ctl/containerd/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

enum { SAID_MAX = 256 << 10 };

#define TAP "mayfly0"

/* ---- what is there ------------------------------------------------------ */

/* The JSON that ip prints of a question. */
static json_t *ask(const char *const argv[], struct err *e)
{
	json_error_t why;
	json_t *json;
	char *text;

	if (process_ask(argv, SAID_MAX, &text, e))
		return NULL;
	/* It prints nothing of nothing. */
	json = json_loads(*text ? text : "[]", 0, &why);
	free(text);
	if (!json)
		err_set(e, -EPROTO, "ip said what is no JSON: %s", why.text);
	return json;
}

static const char *word(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* Addresses that the guest makes by itself are left out, and IPv4's second,
 * which its agent can't set. */
static bool is_wanted(const struct netns *n, const json_t *address)
{
	const bool is_v4 = !strcmp(word(address, "family"), "inet");

	if (strcmp(word(address, "scope"), "global") != 0 ||
	    strlen(word(address, "local")) >= sizeof(n->words[0]) - 8)
		return false;
	for (unsigned i = 0; is_v4 && n->addresses[i]; i++)
		if (!strchr(n->addresses[i], ':'))
			return false;
	return true;
}

static void take_addresses(struct netns *n, const json_t *link)
{
	const json_t *address;
	unsigned count = 0;
	size_t i;

	json_array_foreach(json_object_get(link, "addr_info"), i, address)
	{
		if (count == NETNS_ADDRESSES || !is_wanted(n, address))
			continue;
		snprintf(n->words[count], sizeof(n->words[0]), "%.44s/%d",
			 word(address, "local"),
			 (int)json_integer_value(
				 json_object_get(address, "prefixlen")));
		n->addresses[count] = n->words[count];
		count++;
	}
}

static bool is_loopback(const json_t *link)
{
	return !strcmp(word(link, "link_type"), "loopback");
}

/* Tunnels that every namespace is born with are down, and no Ethernet. */
static bool is_interface(const json_t *link)
{
	const json_t *flag;
	size_t i;

	if (is_loopback(link) || strcmp(word(link, "link_type"), "ether") != 0)
		return false;
	json_array_foreach(
		json_object_get(link, "flags"), i,
		flag) if (!strcmp(json_string_value(flag), "UP")) return true;
	return false;
}

static int take_interface(struct netns *n, struct err *e)
{
	const char *const argv[] = {"ip", "-j", "address", "show", NULL};
	json_t *all = ask(argv, e);
	const json_t *link;
	size_t i;
	int rc = all ? 0 : e->code;

	json_array_foreach(all, i, link)
	{
		if (!is_interface(link))
			continue;
		if (n->name[0]) {
			rc = err_set(e, -ENOTSUP,
				     "the pod has several interfaces, %s and "
				     "%.15s, and a guest gets one",
				     n->name, word(link, "ifname"));
			break;
		}
		snprintf(n->name, sizeof(n->name), "%.15s",
			 word(link, "ifname"));
		snprintf(n->mac, sizeof(n->mac), "%.17s",
			 word(link, "address"));
		n->guest.mtu = (uint32_t)json_integer_value(
			json_object_get(link, "mtu"));
		take_addresses(n, link);
	}
	json_decref(all);
	return rc;
}

/* The default route's of a family; "" where there is none. */
static int take_gateway(const struct netns *n, const char *family, char *out,
			size_t size, struct err *e)
{
	const char *const argv[] = {"ip",      "-j",  family,  "route", "show",
				    "default", "dev", n->name, NULL};
	json_t *all = ask(argv, e);

	if (!all)
		return e->code;
	snprintf(out, size, "%s", word(json_array_get(all, 0), "gateway"));
	json_decref(all);
	return 0;
}

static int take_gateways(struct netns *n, struct err *e)
{
	char *v4 = n->words[NETNS_ADDRESSES];
	char *v6 = n->words[NETNS_ADDRESSES + 1];
	int rc = take_gateway(n, "-4", v4, sizeof(n->words[0]), e);

	if (!rc)
		rc = take_gateway(n, "-6", v6, sizeof(n->words[0]), e);
	n->guest.addresses = n->addresses;
	n->guest.gateway4 = *v4 ? v4 : NULL;
	n->guest.gateway6 = *v6 ? v6 : NULL;
	return rc;
}

/* ---- the tap ------------------------------------------------------------ */

static int make_tap(struct netns *n, struct err *e)
{
	struct ifreq request = {
		.ifr_name = TAP,
		.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
				     IFF_TUN_EXCL),
	};

	n->tap_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (n->tap_fd < 0)
		return err_errno(e, "can't open /dev/net/tun");
	if (ioctl(n->tap_fd, TUNSETIFF, &request))
		return err_errno(e, "can't make a tap in the pod's network");
	return 0;
}

/* All that comes to one goes out of the other. */
static int try_lead(const char *from, const char *to, struct err *e)
{
	const char *const qdisc[] = {"tc", "qdisc",   "replace", "dev",
				     from, "ingress", NULL};
	const char *const filter[] = {
		"tc",	 "filter",   "replace", "dev",	  from,	    "parent",
		"ffff:", "protocol", "all",	"prio",	  "1",	    "handle",
		"1",	 "matchall", "action",	"mirred", "egress", "redirect",
		"dev",	 to,	     NULL};
	int rc = process_run(qdisc, e);

	return rc ? rc : process_run(filter, e);
}

/*
 * A network that was another pod's before has what led to its tap, and that is
 * nothing that could be replaced (net/sched/cls_matchall.c).
 */
static int lead(const char *from, const char *to, struct err *e)
{
	const char *const old[] = {"tc", "qdisc",   "del", "dev",
				   from, "ingress", NULL};
	int rc = try_lead(from, to, e);

	return rc && !process_run(old, NULL) ? try_lead(from, to, e) : rc;
}

static int dress_tap(const struct netns *n, struct err *e)
{
	char mtu[16];
	const char *const up[] = {"ip",	 "link", "set", "dev", TAP,
				  "mtu", mtu,	 "up",	NULL};
	int rc;

	snprintf(mtu, sizeof(mtu), "%u", n->guest.mtu);
	rc = process_run(up, e);
	if (!rc)
		rc = lead(n->name, TAP, e);
	return rc ? rc : lead(TAP, n->name, e);
}

/* Of the pod's work nothing depends on it. */
static void take_loopback(struct netns *n, int pods)
{
	struct err e = {0};

	if (loopback_open(&n->loopback, pods, &e))
		fprintf(stderr,
			"containerd-shim-mayfly-v1: %s; no port can be "
			"forwarded into it\n",
			e.text);
}

/* In the namespace. */
static int take(struct netns *n, struct err *e)
{
	int rc = take_interface(n, e);

	if (rc || !n->name[0])
		return rc;
	rc = take_gateways(n, e);
	if (!rc)
		rc = make_tap(n, e);
	return rc ? rc : dress_tap(n, e);
}

int netns_open(struct netns *n, const char *path, struct err *e)
{
	CLEAN_FD int own =
		open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	CLEAN_FD int pods = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	*n = (struct netns){.tap_fd = -1, .loopback = {-1, -1}};
	if (own < 0 || pods < 0)
		return err_errno(e, "can't open the pod's network %.200s",
				 path);
	if (fd_is_same(own, pods))
		return err_set(e, -ENOTSUP,
			       "%.200s is the host's network, which no microVM "
			       "can have",
			       path);
	/* What is run below is run there. */
	if (setns(pods, CLONE_NEWNET))
		return err_errno(e, "can't enter the pod's network %.200s",
				 path);
	rc = take(n, e);
	if (!rc)
		take_loopback(n, pods);
	if (setns(own, CLONE_NEWNET))
		rc = err_errno(e, "can't leave the pod's network");
	if (rc) {
		netns_close(n);
		return err_context(e, "the pod's network");
	}
	return 0;
}

void netns_close(struct netns *n)
{
	fd_close(&n->tap_fd);
	loopback_close(&n->loopback);
}
