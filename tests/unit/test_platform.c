/* Platforms of images: words for them, and which of an index's is taken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "api/ctl/image/platform.h"

static const char *machine = "x86_64";

/* The C library's declaration, in whose place this stands. */
int uname(struct utsname *u)
{
	memset(u, 0, sizeof(*u));
	snprintf(u->machine, sizeof(u->machine), "%s", machine);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	machine = "x86_64";
	return 0;
}

static void words_for_a_platform(void **state)
{
	static const char *const words[][2] = {
		{"linux/arm64", "arm64"},    {"arm64", "arm64"},
		{"aarch64", "arm64"},	     {"linux/aarch64", "arm64"},
		{"linux/arm64/v8", "arm64"}, {"Linux/AMD64", "amd64"},
		{"x86_64", "amd64"},	     {"linux/amd64/v1", "amd64"},
		{"amd64", "amd64"},
	};
	char arch[IMAGE_ARCH_SIZE];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		assert_int_equal(image_platform_parse(words[i][0], arch, NULL),
				 0);
		assert_string_equal(arch, words[i][1]);
	}
}

static void without_one_it_is_the_hosts(void **state)
{
	char arch[IMAGE_ARCH_SIZE];

	(void)state;
	assert_int_equal(image_platform_parse(NULL, arch, NULL), 0);
	assert_string_equal(arch, "amd64");
	machine = "aarch64";
	assert_int_equal(image_platform_parse("linux", arch, NULL), 0);
	assert_string_equal(arch, "arm64");
}

static void what_is_no_platform_of_ours(void **state)
{
	static const char *const words[] = {
		"",
		"linux/",
		"windows/amd64",
		"linux/386",
		"linux/arm/v7",
		"linux/amd64/v3",
		"linux/arm",
		"linux/arm64/",
		"linux/arm64/v8/x",
		"arm64arm64arm64arm64arm64",
	};
	char arch[IMAGE_ARCH_SIZE];
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		assert_int_equal(image_platform_parse(words[i], arch, &e),
				 -EINVAL);
		assert_non_null(strstr(e.text, "linux/amd64 or linux/arm64"));
	}
}

/* Items are OS/ARCH/VARIANT; which one is taken, -1 for none. */
static int choose(const char *items, const char *arch, struct err *e)
{
	json_t *list = json_array();
	const json_t *item;
	int at = -1;
	size_t i;

	for (i = 0; *items; items += strcspn(items, " "), i++) {
		char os[32] = "", name[32] = "", variant[32] = "";

		items += *items == ' ';
		sscanf(items, "%31[^/ ]/%31[^/ ]/%31[^ ]", os, name, variant);
		json_array_append_new(list, json_pack("{s:{s:s, s:s, s:s}}",
						      "platform", "os", os,
						      "architecture", name,
						      "variant", variant));
	}
	item = image_platform_choose(list, arch, e);
	for (i = 0; item && i < json_array_size(list); i++)
		if (json_array_get(list, i) == item)
			at = (int)i;
	json_decref(list);
	return at;
}

static void the_one_asked_for_is_taken(void **state)
{
	const char *const two = "linux/amd64 linux/arm64/v8";
	struct err e;

	(void)state;
	assert_int_equal(choose(two, "amd64", &e), 0);
	assert_int_equal(choose(two, "arm64", &e), 1);
	assert_int_equal(choose("Linux/x86_64/v3 linux/x86_64", "amd64", &e),
			 1);
	assert_int_equal(choose("windows/amd64 linux/amd64/v2", "amd64", &e),
			 1);
}

static void those_there_are_are_listed(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(choose("linux/arm64 linux/s390x unknown/unknown "
				"linux/arm64/v9",
				"amd64", &e),
			 -1);
	assert_string_equal(e.text,
			    "the image is not made for this machine's "
			    "linux/amd64, but for linux/arm64, linux/s390x");
	assert_int_equal(choose("linux/amd64", "arm64", &e), -1);
	assert_string_equal(e.text, "the image is not made for linux/arm64, "
				    "but for linux/amd64");
}

/* A stranger's list is cut, and never longer than its place. */
static void a_long_list_is_cut(void **state)
{
	char items[4096] = "";
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < 100; i++)
		sprintf(items + strlen(items), "linux/%u%s ", i,
			"machine-of-theirs");
	items[strlen(items) - 1] = 0;
	assert_int_equal(choose(items, "amd64", &e), -1);
	assert_true(strlen(e.text) < 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(words_for_a_platform, set_up),
		cmocka_unit_test_setup(without_one_it_is_the_hosts, set_up),
		cmocka_unit_test_setup(what_is_no_platform_of_ours, set_up),
		cmocka_unit_test_setup(the_one_asked_for_is_taken, set_up),
		cmocka_unit_test_setup(those_there_are_are_listed, set_up),
		cmocka_unit_test_setup(a_long_list_is_cut, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
