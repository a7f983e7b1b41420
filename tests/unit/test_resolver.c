/* resolv.conf as hosts have it, for a guest that is another host. */
#include "api/ctl/vm/resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct resolver resolver;
static char conf[] = "/tmp/resolver-conf.XXXXXX";
static char upstream[] = "/tmp/resolver-upstream.XXXXXX";

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		fail_msg("can't write %s", path);
}

static void read_both(const char *first, const char *second)
{
	resolver_fini(&resolver);
	write_file(conf, first);
	write_file(upstream, second);
	resolver_read(&resolver, conf, upstream);
}

/* A list as one text, with a blank behind each item. */
static const char *joined(char **list)
{
	static char text[1024];
	size_t len = 0;

	*text = '\0';
	for (; list && *list; list++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s ",
					*list);
		assert_true(len < sizeof(text));
	}
	return text;
}

static int setup(void **state)
{
	int first = mkstemp(conf), second = mkstemp(upstream);

	(void)state;
	return first < 0 || second < 0 || close(first) || close(second);
}

static int teardown(void **state)
{
	(void)state;
	resolver_fini(&resolver);
	return unlink(conf) || unlink(upstream);
}

static void takes_all_of_it(void **state)
{
	(void)state;
	read_both("# a comment\n; and one\nnameserver 192.0.2.1\n"
		  "nameserver\t2001:db8::1\nnameserver 192.0.2.2 # x\n"
		  "search a.example b.example\noptions ndots:5 rotate\n"
		  "options edns0\nsortlist 10.0.0.0\n",
		  "nameserver 203.0.113.1\n");
	assert_string_equal(joined(resolver.servers),
			    "192.0.2.1 2001:db8::1 192.0.2.2 ");
	assert_string_equal(joined(resolver.search), "a.example b.example ");
	assert_string_equal(joined(resolver.options), "ndots:5 rotate edns0 ");
	assert_false(resolver.is_local);
}

static void the_last_of_domain_and_search_counts(void **state)
{
	(void)state;
	read_both("search a b\ndomain c\nnameserver 192.0.2.1\n", "");
	assert_string_equal(joined(resolver.search), "c ");
}

static void a_stub_gives_way_to_what_it_asks(void **state)
{
	(void)state;
	read_both("nameserver 127.0.0.53\noptions edns0 trust-ad\n"
		  "search stub.example\n",
		  "nameserver 203.0.113.1\nnameserver 203.0.113.2\n"
		  "search up.example\n");
	assert_string_equal(joined(resolver.servers),
			    "203.0.113.1 203.0.113.2 ");
	assert_string_equal(joined(resolver.search), "up.example ");
	assert_false(resolver.is_local);
}

static void a_stub_beside_others_is_left_out(void **state)
{
	(void)state;
	read_both("nameserver ::1\nnameserver 192.0.2.9\n",
		  "nameserver 203.0.113.1\n");
	assert_string_equal(joined(resolver.servers), "192.0.2.9 ");
	assert_false(resolver.is_local);
}

static void loopback_alone_is_said(void **state)
{
	(void)state;
	read_both("nameserver 127.0.0.1\n", "nameserver 127.0.0.54\n");
	assert_null(resolver.servers);
	assert_true(resolver.is_local);
	/* No server at all is the host's own way; there is nothing to say. */
	read_both("search a\n", "nameserver 203.0.113.1\n");
	assert_null(resolver.servers);
	assert_false(resolver.is_local);
}

static void nonsense_is_no_server(void **state)
{
	(void)state;
	read_both("nameserver\nnameserver 300.1.1.1\nnameserver fe80::1%eth0\n"
		  "nameserver 0.0.0.0\nnameserver ::\nnameserver host\n"
		  "nameserver192.0.2.1\n",
		  "");
	assert_null(resolver.servers);
}

static void ipv6_is_left_out_where_the_guest_has_none(void **state)
{
	(void)state;
	read_both("nameserver 2001:db8::1\nnameserver 192.0.2.1\n"
		  "nameserver 2001:db8::2\nnameserver 192.0.2.2\n",
		  "");
	resolver_keep_ipv4(&resolver);
	assert_string_equal(joined(resolver.servers), "192.0.2.1 192.0.2.2 ");
	read_both("nameserver 2001:db8::1\n", "");
	resolver_keep_ipv4(&resolver);
	assert_null(resolver.servers);
	resolver_keep_ipv4(&resolver);
	assert_null(resolver.servers);
}

static void lists_are_bounded(void **state)
{
	char text[4096] = "search";
	char **at;
	int i;

	(void)state;
	for (i = 0; i < 200; i++)
		sprintf(text + strlen(text), " d%d", i);
	read_both(text, "");
	for (at = resolver.search, i = 0; *at; at++)
		i++;
	assert_int_equal(i, RESOLVER_ITEMS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_of_it),
		cmocka_unit_test(the_last_of_domain_and_search_counts),
		cmocka_unit_test(a_stub_gives_way_to_what_it_asks),
		cmocka_unit_test(a_stub_beside_others_is_left_out),
		cmocka_unit_test(loopback_alone_is_said),
		cmocka_unit_test(nonsense_is_no_server),
		cmocka_unit_test(ipv6_is_left_out_where_the_guest_has_none),
		cmocka_unit_test(lists_are_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
