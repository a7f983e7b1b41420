/* What of a network interface, a vsock and a serial port is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/config.h"

static char text[32768];
static struct vm_config config;

/* Parses a file with these extra keys; what it said is in the result. */
static const char *parse(const char *extra)
{
	static struct err e;
	int rc;

	memset(&e, 0, sizeof(e));
	snprintf(text, sizeof(text),
		 "{\"boot-source\": {\"kernel_image_path\": \"k\"}, "
		 "\"drives\": [], %s}",
		 extra);
	config_init(&config);
	rc = config_parse(&config, text, strlen(text), &e);
	return rc ? e.text : NULL;
}

static void refuse(const char *extra, const char *why)
{
	const char *said = parse(extra);

	config_fini(&config);
	if (!said || !strstr(said, why))
		fail_msg("%s\n  said '%s' and not '%s'", extra,
			 said ? said : "nothing", why);
}

static void accept(const char *extra)
{
	const char *said = parse(extra);

	if (said)
		fail_msg("%s\n  said '%s'", extra, said);
	config_fini(&config);
}

#define NET(fields) "\"network-interfaces\": [{" fields "}]"
#define ETH0	    "\"iface_id\": \"eth0\", "
#define TAP0	    ETH0 "\"host_dev_name\": \"tap0\""
#define MAC(mac)    NET(TAP0 ", \"guest_mac\": \"" mac "\"")

static void a_whole_interface_is_taken(void **state)
{
	const struct config_net *n = config.nets;

	(void)state;
	assert_null(parse(NET(TAP0 ", \"guest_mac\": \"06:00:AC:10:00:02\", "
				   "\"mtu\": 1500, \"rx_rate_limiter\": "
				   "{\"bandwidth\": {\"size\": 1, "
				   "\"refill_time\": 2, "
				   "\"one_time_burst\": 3}}, "
				   "\"tx_rate_limiter\": {}")));
	assert_int_equal(config.net_count, 1);
	assert_string_equal(n->iface_id, "eth0");
	assert_string_equal(n->host_dev_name, "tap0");
	assert_true(n->has_mtu);
	assert_int_equal(n->mtu, 1500);
	assert_true(n->rx_rate_limiter.has_bandwidth);
	assert_false(n->rx_rate_limiter.has_ops);
	assert_true(n->has_tx_rate_limiter);
	config_fini(&config);
}

static void interface_rules_hold(void **state)
{
	(void)state;
	refuse(NET(""), "missing field 'iface_id' in a network interface");
	refuse(NET("\"iface_id\": \"a\""), "missing field 'host_dev_name'");
	refuse(NET("\"iface_id\": \"a-b\", \"host_dev_name\": \"t\""),
	       "network-interfaces[0]: API Resource IDs");
	refuse(NET(ETH0 "\"host_dev_name\": \"\""), "the name of a tap");
	refuse(NET(ETH0 "\"host_dev_name\": \"a/b\""), "the name of a tap");
	refuse(NET(ETH0 "\"host_dev_name\": \"a:3\""), "the name of a tap");
	refuse(NET(ETH0 "\"host_dev_name\": \"fd:\""), "must be fd:N");
	refuse(NET(ETH0 "\"host_dev_name\": \"fd:2\""), "must be fd:N");
	refuse(NET(ETH0 "\"host_dev_name\": \"fd:03\""), "must be fd:N");
	refuse(NET(ETH0 "\"host_dev_name\": \"fd:-3\""), "must be fd:N");
	refuse(NET(ETH0 "\"host_dev_name\": \"fd:3x\""), "must be fd:N");
	refuse(NET(ETH0 "\"host_dev_name\": \"fd:99999999999999999999\""),
	       "must be fd:N");
	assert_int_equal(config_tap_fd("fd:3"), 3);
	assert_int_equal(config_tap_fd("fd:1024"), 1024);
	assert_int_equal(config_tap_fd("tap0"), -1);
	refuse(NET(ETH0 "\"host_dev_name\": \"tap%d\""), "the name of a tap");
	accept(NET(ETH0 "\"host_dev_name\": \"fifteen_letters\""));
	refuse(NET(ETH0 "\"host_dev_name\": \"sixteen_letters_\""),
	       "1 to 15 characters");
	refuse(NET(TAP0 ", \"mtu\": 67"), "between 68 and 65535, not 67");
	accept(NET(TAP0 ", \"mtu\": 68"));
	accept(NET(TAP0 ", \"mtu\": 65535"));
	refuse(NET(TAP0 ", \"mtu\": 65536"), "not 65536");
	accept(NET(TAP0 ", \"mtu\": null, \"guest_mac\": null"));
	refuse(NET(TAP0 ", \"allow_mmds_requests\": true"),
	       "unknown field 'allow_mmds_requests'");
}

static void addresses_are_six_bytes(void **state)
{
	static const char *const wrong[] = {
		MAC(""),
		MAC("06:00:AC:10:00"),
		MAC("06:00:AC:10:00:02:03"),
		MAC("06-00-AC-10-00-02"),
		MAC("6:00:AC:10:00:02"),
		MAC("06:00:AC:10:00:0g"),
		MAC("06:00:AC:10:00:02 "),
		MAC("0x:00:AC:10:00:02"),
	};
	uint8_t mac[6];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuse(wrong[i], "six pairs of hexadecimal digits");
	refuse(MAC("01:00:5e:00:00:01"), "is a multicast address");
	accept(MAC("fe:ff:FF:00:09:aA"));
	assert_int_equal(config_parse_mac("fe:ff:FF:00:09:aA", mac, NULL), 0);
	assert_memory_equal(mac, "\xfe\xff\xff\0\x09\xaa", 6);
}

#define TWO(a, b) "\"network-interfaces\": [{" a "}, {" b "}]"
#define ETH1	  "\"iface_id\": \"eth1\", "

static void interfaces_share_nothing(void **state)
{
	(void)state;
	accept(TWO(TAP0, ETH1 "\"host_dev_name\": \"tap1\""));
	refuse(TWO(TAP0, TAP0), "network-interfaces[1]: this iface_id is used");
	refuse(TWO(TAP0, ETH1 "\"host_dev_name\": \"tap0\""),
	       "tap0 is already in use by the interface eth0");
	refuse(TWO(TAP0 ", \"guest_mac\": \"06:00:00:00:00:0a\"",
		   ETH1 "\"host_dev_name\": \"tap1\", "
			"\"guest_mac\": \"06:00:00:00:00:0A\""),
	       "The MAC address is already in use: 06:00:00:00:00:0A.");
}

static void an_interface_of_the_same_id_is_replaced(void **state)
{
	struct config_net a = {.iface_id = strdup("a"),
			       .host_dev_name = strdup("tap0")};
	struct config_net b = {.iface_id = strdup("a"),
			       .host_dev_name = strdup("tap0"),
			       .guest_mac = strdup("06:00:00:00:00:01")};

	(void)state;
	config_init(&config);
	assert_int_equal(config_set_net(&config, &a, NULL), 0);
	assert_int_equal(config_set_net(&config, &b, NULL), 0);
	assert_null(b.iface_id);
	assert_int_equal(config.net_count, 1);
	assert_non_null(config.nets[0].guest_mac);
	config_fini(&config);
}

#define VSOCK(fields) "\"vsock\": {" fields "}"

static void vsock_rules_hold(void **state)
{
	char path[128], extra[256];

	(void)state;
	accept(VSOCK("\"guest_cid\": 3, \"uds_path\": \"v.sock\""));
	accept(VSOCK("\"guest_cid\": 4294967294, \"uds_path\": \"v\", "
		     "\"vsock_id\": \"old\""));
	refuse(VSOCK("\"guest_cid\": 2, \"uds_path\": \"v\""),
	       "'guest_cid' must be between 3 and 4294967294, not 2");
	refuse(VSOCK("\"guest_cid\": 4294967295, \"uds_path\": \"v\""),
	       "not 4294967295");
	refuse(VSOCK("\"uds_path\": \"v\""), "missing field 'guest_cid'");
	refuse(VSOCK("\"guest_cid\": 3"), "missing field 'uds_path'");
	refuse(VSOCK("\"guest_cid\": 3, \"uds_path\": \"\""),
	       "vsock: The uds_path is empty.");
	memset(path, 'p', sizeof(path));
	path[96] = '\0';
	snprintf(extra, sizeof(extra),
		 VSOCK("\"guest_cid\": 3, \"uds_path\": \"%s\""), path);
	accept(extra);
	path[96] = 'p';
	path[97] = '\0';
	snprintf(extra, sizeof(extra),
		 VSOCK("\"guest_cid\": 3, \"uds_path\": \"%s\""), path);
	refuse(extra, "at most 96 characters");
}

static void serial_rules_hold(void **state)
{
	(void)state;
	accept("\"serial\": {\"serial_out_path\": \"/s\"}");
	accept("\"serial\": {\"serial_out_path\": null}");
	accept("\"serial\": null");
	refuse("\"serial\": {\"serial_out_path\": \"\"}",
	       "serial: The serial_out_path is empty.");
	refuse("\"serial\": {\"path\": \"x\"}", "unknown field 'path'");
}

static void patches_merge_buckets(void **state)
{
	struct config_net net = {.rx_rate_limiter.ops.size = 1,
				 .rx_rate_limiter.has_ops = true,
				 .has_rx_rate_limiter = true};
	const struct config_net_patch patch = {
		.rx_rate_limiter.bandwidth.size = 5,
		.rx_rate_limiter.has_bandwidth = true,
		.has_rx_rate_limiter = true,
	};

	(void)state;
	config_patch_net(&net, &patch);
	assert_int_equal(net.rx_rate_limiter.ops.size, 1);
	assert_int_equal(net.rx_rate_limiter.bandwidth.size, 5);
	assert_true(net.rx_rate_limiter.has_ops);
	assert_true(net.rx_rate_limiter.has_bandwidth);
	assert_false(net.has_tx_rate_limiter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_interface_is_taken),
		cmocka_unit_test(interface_rules_hold),
		cmocka_unit_test(addresses_are_six_bytes),
		cmocka_unit_test(interfaces_share_nothing),
		cmocka_unit_test(an_interface_of_the_same_id_is_replaced),
		cmocka_unit_test(vsock_rules_hold),
		cmocka_unit_test(serial_rules_hold),
		cmocka_unit_test(patches_merge_buckets),
	};

	return cmocka_run_group_tests_name("config_net", tests, NULL, NULL);
}
