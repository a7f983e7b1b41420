/* Names of microVMs: which there may be, and what a monitor calls them. */
#include "api/ctl/vm/vm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#ifdef __x86_64__
#include "vmm/arch/x86_64/layout.h"
#endif

static void names_are_as_docker_has_them(void **state)
{
	static const char *const good[] = {
		"a",   "web",  "my_app.1",
		"0-x", "A..B", "1234567890123456789012345678901234567890",
	};
	static const char *const bad[] = {
		"",    ".",	   "..",
		"-a",  "_a",	   ".a",
		"a/b", "a b",	   "a\n",
		"a:b", "\xc3\xa4", "12345678901234567890123456789012345678901",
	};
	struct err e = {0};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (vm_check_name(good[i], &e))
			fail_msg("%s: %s", good[i], e.text);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (vm_check_name(bad[i], &e) != -EINVAL)
			fail_msg("%s is a name", bad[i]);
	assert_non_null(strstr(e.text, "is no name of a microVM"));
}

static void a_monitor_gets_an_id_it_knows(void **state)
{
	static const char *const names[] = {
		"a-b",
		"a_b",
		"a.b",
		"a-b_c",
		"a_b-c",
		"a_b_c",
		"1234567890123456789012345678901234567_.0",
	};
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	char ids[sizeof(names) / sizeof(names[0])][VM_ID_SIZE];
	char again[VM_ID_SIZE];
	unsigned i, k;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		vm_monitor_id(names[i], ids[i]);
		assert_int_equal(strspn(ids[i], allowed), strlen(ids[i]));
		assert_string_equal(vm_monitor_id(names[i], again), ids[i]);
		for (k = 0; k < i; k++)
			assert_string_not_equal(ids[i], ids[k]);
	}
	assert_string_equal(ids[0], "a-b");
}

/* Where there is a device too many, the monitor says so, but late. */
static void knows_how_many_devices_there_can_be(void **state)
{
	(void)state;
#ifdef __x86_64__
	assert_int_equal(VM_DEVICES_MAX, LAYOUT_PINS - LAYOUT_GSI_FIRST);
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_as_docker_has_them),
		cmocka_unit_test(a_monitor_gets_an_id_it_knows),
		cmocka_unit_test(knows_how_many_devices_there_can_be),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
