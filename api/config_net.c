/* The network interfaces, the vsock device and the serial port. */
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "api/config.h"

int config_parse_mac(const char *text, uint8_t mac[6], struct err *e)
{
	unsigned i;

	for (i = 0; i < 6; i++, text += 3) {
		const char end = i < 5 ? ':' : '\0';

		if (!isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1]) || text[2] != end)
			return err_set(e, -EINVAL,
				       "The guest_mac must be six pairs of "
				       "hexadecimal digits with colons between "
				       "them, as in 06:00:ac:10:00:02.");
		mac[i] = (uint8_t)strtoul(text, NULL, 16);
	}
	return 0;
}

/* Linux gives no interface a name with a colon in it. */
static bool config_is_fd(const char *name)
{
	return !strncmp(name, "fd:", 3);
}

int config_tap_fd(const char *name)
{
	unsigned long n = 0;
	const char *at;

	if (!config_is_fd(name) || name[3] == '0')
		return -1;
	for (at = name + 3; isdigit((unsigned char)*at) && n < 100000000; at++)
		n = n * 10 + (unsigned long)(*at - '0');
	return *at || n < 3 ? -1 : (int)n;
}

static int check_net(const struct config_net *body, struct err *e)
{
	uint8_t mac[6] = {0};
	int rc = config_check_id(body->iface_id, e);

	if (rc)
		return rc;
	if (config_is_fd(body->host_dev_name)) {
		if (config_tap_fd(body->host_dev_name) < 0)
			return err_set(e, -EINVAL,
				       "The host_dev_name '%.64s' must be fd:N "
				       "with the number of an open tap's "
				       "descriptor, 3 or more.",
				       body->host_dev_name);
	} else if (!*body->host_dev_name ||
		   strlen(body->host_dev_name) >= IFNAMSIZ ||
		   strpbrk(body->host_dev_name, "/%: \t\n")) {
		return err_set(e, -EINVAL,
			       "The host_dev_name must be the name of a tap, 1 "
			       "to %d characters without '/', ':', '%%' and "
			       "spaces.",
			       IFNAMSIZ - 1);
	}
	if (!body->guest_mac)
		return 0;
	rc = config_parse_mac(body->guest_mac, mac, e);
	if (!rc && mac[0] & 1)
		return err_set(e, -EINVAL,
			       "The guest_mac %s is a multicast address; the "
			       "second digit must be even.",
			       body->guest_mac);
	return rc;
}

/* Two interfaces can share neither a tap nor an address. */
static int check_others(const struct vm_config *c,
			const struct config_net *body, uint32_t self,
			struct err *e)
{
	const struct config_net *other;
	uint32_t i;

	for (i = 0; i < c->net_count; i++) {
		other = &c->nets[i];
		if (i == self)
			continue;
		if (body->guest_mac && other->guest_mac &&
		    !strcasecmp(body->guest_mac, other->guest_mac))
			return err_set(e, -EEXIST,
				       "The MAC address is already in use: %s.",
				       body->guest_mac);
		if (!strcmp(body->host_dev_name, other->host_dev_name))
			return err_set(e, -EEXIST,
				       "The host_dev_name %s is already in use "
				       "by the interface %s.",
				       body->host_dev_name, other->iface_id);
	}
	return 0;
}

int config_find_net(const struct vm_config *c, const char *id, struct err *e)
{
	uint32_t i;

	for (i = 0; i < c->net_count; i++)
		if (!strcmp(c->nets[i].iface_id, id))
			return (int)i;
	return err_set(e, -ENOENT,
		       "There is no network interface of the id '%.64s'.", id);
}

int config_set_net(struct vm_config *c, struct config_net *body, struct err *e)
{
	int rc = check_net(body, e);
	uint32_t i;

	if (rc)
		return rc;
	for (i = 0; i < c->net_count; i++)
		if (!strcmp(c->nets[i].iface_id, body->iface_id))
			break;
	rc = check_others(c, body, i, e);
	if (rc)
		return rc;
	if (i == CONFIG_NETS_MAX)
		return err_set(e, -ENOSPC,
			       "A microVM can have at most %d network "
			       "interfaces.",
			       CONFIG_NETS_MAX);
	if (i == c->net_count)
		c->net_count++;
	else
		json_unbind(&config_net_table, &c->nets[i]);
	c->nets[i] = *body;
	memset(body, 0, sizeof(*body));
	return 0;
}

void config_patch_net(struct config_net *net,
		      const struct config_net_patch *body)
{
	if (body->has_rx_rate_limiter)
		config_merge_limiter(&net->rx_rate_limiter,
				     &body->rx_rate_limiter);
	if (body->has_tx_rate_limiter)
		config_merge_limiter(&net->tx_rate_limiter,
				     &body->tx_rate_limiter);
	net->has_rx_rate_limiter |= body->has_rx_rate_limiter;
	net->has_tx_rate_limiter |= body->has_tx_rate_limiter;
}

int config_check_vsock(const struct config_vsock *body, struct err *e)
{
	/* A guest's connection adds "_" and a port of up to ten digits. */
	const size_t room = sizeof(((struct sockaddr_un *)0)->sun_path) - 12;

	if (!*body->uds_path)
		return err_set(e, -EINVAL, "The uds_path is empty.");
	if (strlen(body->uds_path) > room)
		return err_set(e, -ENAMETOOLONG,
			       "The uds_path can have at most %zu characters: "
			       "the path of a socket is short, and connections "
			       "from the guest add _PORT to it.",
			       room);
	return 0;
}

void config_set_vsock(struct vm_config *c, struct config_vsock *body)
{
	json_unbind(&config_vsock_table, &c->vsock);
	c->vsock = *body;
	memset(body, 0, sizeof(*body));
}

int config_set_serial(struct vm_config *c, struct config_serial *body,
		      struct err *e)
{
	if (body->serial_out_path && !*body->serial_out_path)
		return err_set(e, -EINVAL, "The serial_out_path is empty.");
	json_unbind(&config_serial_table, &c->serial);
	c->serial = *body;
	memset(body, 0, sizeof(*body));
	return 0;
}
