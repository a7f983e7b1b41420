/* JSON by table: what binds, what is refused, and with which words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/json/json.h"

struct inner {
	uint8_t small;
	char *text;
};

struct outer {
	bool flag;
	uint16_t port;
	uint64_t big;
	char *name;
	int color;
	struct inner inner;
	bool has_inner;
	struct field_array list;
	struct field_array words;
	bool has_big;
};

static const char *const colors[] = {"Red", "Green", NULL};

static const struct field inner_fields[] = {
	{
		.name = "small",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct inner, small),
	},
	{
		.name = "text",
		.type = FIELD_STRING,
		FIELD_AT(struct inner, text),
	},
};

static const struct field_table inner_table =
	FIELD_TABLE("inner", struct inner, inner_fields);

static const struct field list_element = {
	.name = "list",
	.type = FIELD_OBJECT,
	.nested = &inner_table,
	.size = sizeof(struct inner),
};

static const struct field word_element = {
	.name = "words",
	.type = FIELD_STRING,
	.max = 4,
	.size = sizeof(char *),
};

static const struct field outer_fields[] = {
	{
		.name = "flag",
		.type = FIELD_BOOL,
		FIELD_AT(struct outer, flag),
	},
	{
		.name = "port",
		.type = FIELD_INTEGER,
		.min = 10,
		.max = 2000,
		FIELD_AT(struct outer, port),
	},
	{
		.name = "big",
		.type = FIELD_INTEGER,
		.flags = FIELD_GIVEN | FIELD_DEPRECATED,
		.given = offsetof(struct outer, has_big),
		FIELD_AT(struct outer, big),
	},
	{
		.name = "name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.max = 8,
		FIELD_AT(struct outer, name),
	},
	{
		.name = "color",
		.type = FIELD_WORD,
		.words = colors,
		FIELD_AT(struct outer, color),
	},
	{
		.name = "inner",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct outer, has_inner),
		.nested = &inner_table,
		FIELD_AT(struct outer, inner),
	},
	{
		.name = "list",
		.type = FIELD_ARRAY,
		.max = 3,
		.element = &list_element,
		FIELD_AT(struct outer, list),
	},
	{
		.name = "words",
		.type = FIELD_ARRAY,
		.max = 3,
		.element = &word_element,
		FIELD_AT(struct outer, words),
	},
	{
		.name = "never",
		.type = FIELD_REFUSED,
		.refusal = "is not there",
	},
};

static const struct field_table outer_table =
	FIELD_TABLE("outer", struct outer, outer_fields);

static int bind_text(const char *text, struct outer *out, struct err *e)
{
	json_t *json = json_parse(text, strlen(text), e);
	int rc;

	memset(out, 0, sizeof(*out));
	if (!json)
		return -EINVAL;
	rc = json_bind(json, &outer_table, out, NULL, e);
	json_decref(json);
	return rc;
}

/* Binds, expects a failure whose sentence holds `words`. */
static void refuse(const char *text, const char *words)
{
	static const struct outer zero;
	struct outer out;
	struct err e = {0};

	assert_int_not_equal(bind_text(text, &out, &e), 0);
	if (!strstr(e.text, words))
		fail_msg("%s\n  gave: %s\n  not: %s", text, e.text, words);
	assert_ptr_equal(out.name, zero.name);
	assert_ptr_equal(out.inner.text, NULL);
	assert_ptr_equal(out.list.items, NULL);
	assert_ptr_equal(out.words.items, NULL);
}

static void a_whole_body_binds(void **state)
{
	const char *text =
		"{\"flag\": true, \"port\": 80, \"big\": 9007199254740993,"
		" \"name\": \"n\", \"color\": \"Green\","
		" \"inner\": {\"small\": 255, \"text\": \"t\"},"
		" \"list\": [{\"small\": 1}, {\"small\": 2, \"text\": \"x\"}],"
		" \"words\": [\"a\", \"bcde\"]}";
	struct outer out;
	struct err e;

	(void)state;
	assert_int_equal(bind_text(text, &out, &e), 0);
	assert_true(out.flag);
	assert_int_equal(out.port, 80);
	/* 2^53 + 1: a reader that goes through a double loses the 1. */
	assert_true(out.big == 9007199254740993ULL);
	assert_true(out.has_big);
	assert_string_equal(out.name, "n");
	assert_int_equal(out.color, 1);
	assert_true(out.has_inner);
	assert_int_equal(out.inner.small, 255);
	assert_int_equal(out.list.count, 2);
	assert_string_equal(((struct inner *)out.list.items)[1].text, "x");
	assert_int_equal(out.words.count, 2);
	assert_string_equal(((char **)out.words.items)[1], "bcde");
	json_unbind(&outer_table, &out);
	assert_null(out.name);
	json_unbind(&outer_table, &out);
}

static void absent_and_null_leave_what_was_there(void **state)
{
	const char *text = "{\"name\": \"n\", \"port\": null, \"inner\": null,"
			   " \"never\": null, \"list\": null, \"big\": null}";
	struct outer out = {.port = 7, .name = strdup("old")};
	json_t *json;
	struct err e;

	(void)state;
	json = json_parse(text, strlen(text), &e);
	assert_non_null(json);
	assert_int_equal(json_bind(json, &outer_table, &out, NULL, &e), 0);
	json_decref(json);
	assert_int_equal(out.port, 7);
	assert_string_equal(out.name, "n");
	assert_false(out.has_inner);
	assert_false(out.has_big);
	json_unbind(&outer_table, &out);
}

static void wrong_fields_are_named(void **state)
{
	(void)state;
	refuse("{\"nam\": \"x\"}", "unknown field 'nam' in outer, which knows "
				   "only: flag, port, big, name");
	refuse("{}", "missing field 'name' in outer");
	refuse("{\"name\": null}", "'name' must be a string, not null");
	refuse("{\"name\": 5}", "'name' must be a string, not an integer");
	refuse("{\"name\": \"123456789\"}", "9 bytes, more than the 8");
	refuse("{\"name\": \"n\", \"flag\": 1}", "must be a boolean, not an "
						 "integer");
	refuse("{\"name\": \"n\", \"color\": \"red\"}",
	       "must be one of Red, Green, not 'red'");
	refuse("{\"name\": \"n\", \"color\": true}", "not a boolean");
	refuse("{\"name\": \"n\", \"inner\": []}", "must be an object");
	refuse("{\"name\": \"n\", \"inner\": {}}", "missing field 'small'");
	refuse("{\"name\": \"n\", \"list\": {}}", "must be an array");
	refuse("{\"name\": \"n\", \"list\": [{\"small\": 1}, {\"smal\": 1}]}",
	       "list[1]: unknown field 'smal'");
	refuse("{\"name\": \"n\", \"list\": [null]}", "list[0]: inner must be "
						      "an object, not null");
	refuse("{\"name\": \"n\", \"words\": [\"a\", 1]}", "words[1]: ");
	refuse("{\"name\": \"n\", \"words\": [\"a\",\"b\",\"c\",\"d\"]}",
	       "has 4 items, more than the 3");
	refuse("{\"name\": \"n\", \"never\": 1}", "'never' is not there");
	refuse("[]", "outer must be an object, not an array");
	refuse("5", "outer must be an object, not an integer");
	refuse("null", "outer must be an object, not null");
}

static void numbers_are_integers_in_range(void **state)
{
	(void)state;
	refuse("{\"name\": \"n\", \"port\": 9}", "between 10 and 2000, not 9");
	refuse("{\"name\": \"n\", \"port\": 2001}", "not 2001");
	refuse("{\"name\": \"n\", \"port\": -1}", "not -1");
	refuse("{\"name\": \"n\", \"port\": 80.0}", "with a fraction");
	refuse("{\"name\": \"n\", \"port\": 8e1}", "fraction or exponent");
	refuse("{\"name\": \"n\", \"port\": \"80\"}", "not a string");
	refuse("{\"name\": \"n\", \"inner\": {\"small\": 256}}",
	       "between 0 and 255");
	refuse("{\"name\": \"n\", \"big\": 9223372036854775808}",
	       "line 1, column");
	refuse("{\"name\": \"n\", \"big\": -9223372036854775808}", "between");
	refuse("{\"name\": \"n\", \"big\": 1e999}", "line 1, column");
	refuse("{\"name\": \"n\", \"port\": 080}", "line 1, column");
}

static void broken_text_has_line_and_column(void **state)
{
	(void)state;
	refuse("", "line 1, column 0");
	refuse("{", "line 1, column 1");
	refuse("{\n  \"name\": \"n\"\n  \"flag\": true\n}", "line 3, column 8");
	refuse("{\"name\": \"n\"} x", "line 1, column 15");
	refuse("{\"name\": 'n'}", "line 1, column 10");
	refuse("{\"name\": \"n\",}", "line 1, column 14");
	refuse("{\"name\": \"n", "line 1, column 11");
	refuse("{\n\"name\": \"a\",\n\"name\": \"b\"}",
	       "line 3, column 6: doubled field 'name'");
	refuse("{\"name\": \"a\\u0000b\"}", "NUL");
	refuse("{\"na\\u0000me\": \"a\"}", "NUL");
	refuse("{\"name\": \"\xff\"}", "line 1");
	refuse("{\"name\": \"\xc0\x80\"}", "line 1");
	refuse("{\"name\": \"\xed\xa0\x80\"}", "line 1");
	refuse("{\"name\": \"\\ud800\"}", "line 1");
	refuse("{\"name\": \"a\nb\"}", "line 1");
	refuse("\xef\xbb\xbf{}", "line 1");
}

static void nested_doubled_fields_are_found(void **state)
{
	(void)state;
	refuse("{\"name\": \"a\", \"inner\": {\"small\": 1, \"small\": 2}}",
	       "doubled field 'small'");
}

static void a_raw_nul_is_refused(void **state)
{
	const char text[] = "{\"name\": \"a\0b\"}";
	struct err e = {0};

	(void)state;
	assert_null(json_parse(text, sizeof(text) - 1, &e));
	assert_non_null(strstr(e.text, "line 1"));
	assert_null(json_parse("{}\0", 3, &e));
}

static void deep_nesting_is_refused(void **state)
{
	enum { DEPTH = 50000 };
	char *text = malloc(DEPTH + 1);
	struct err e = {0};
	json_t *json;

	(void)state;
	memset(text, '[', DEPTH);
	text[DEPTH] = '\0';
	assert_null(json_parse(text, DEPTH, &e));
	assert_non_null(strstr(e.text, "nested deeper than 64"));
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	json = json_parse(text, 128, &e);
	assert_non_null(json);
	json_decref(json);
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_null(json_parse(text, 130, &e));
	/* Brackets in strings, after escaped quotes too, are no levels. */
	memcpy(text, "[\"\\\"", 4);
	memset(text + 4, '[', 200);
	memcpy(text + 204, "\"]", 2);
	json = json_parse(text, 206, &e);
	assert_non_null(json);
	json_decref(json);
	free(text);
}

static void deprecated_fields_are_reported(void **state)
{
	bool is_deprecated = false;
	struct outer out = {0};
	json_t *json;
	struct err e;

	(void)state;
	json = json_pack("{s:s}", "name", "n");
	assert_int_equal(
		json_bind(json, &outer_table, &out, &is_deprecated, &e), 0);
	assert_false(is_deprecated);
	json_object_set_new(json, "big", json_integer(1));
	assert_int_equal(
		json_bind(json, &outer_table, &out, &is_deprecated, &e), 0);
	assert_true(is_deprecated);
	json_decref(json);
	json_unbind(&outer_table, &out);
}

static void an_empty_list_is_no_refused_field(void **state)
{
	struct outer out;
	struct err e;

	(void)state;
	assert_int_equal(
		bind_text("{\"name\": \"n\", \"never\": []}", &out, &e), 0);
	json_unbind(&outer_table, &out);
}

static void a_dump_binds_to_the_same(void **state)
{
	const char *text =
		"{\"flag\":true,\"port\":80,\"big\":null,\"name\":\"n\","
		"\"color\":\"Green\",\"inner\":null,"
		"\"list\":[{\"small\":2,\"text\":null}],\"words\":[\"a\"],"
		"\"never\":null}";
	struct outer out;
	struct err e;
	json_t *json;
	char *dump;

	(void)state;
	assert_int_equal(bind_text(text, &out, &e), 0);
	json = json_dump(&outer_table, &out);
	dump = json_dumps(json, JSON_COMPACT);
	assert_string_equal(dump, text);
	free(dump);
	json_decref(json);
	json_unbind(&outer_table, &out);
}

static void any_bytes_make_a_text(void **state)
{
	json_t *json = json_text("a\xff\"\n\xc3\xa4");

	(void)state;
	assert_string_equal(json_string_value(json), "a?\"\n??");
	json_decref(json);
	json = json_text("\xc3\xa4");
	assert_string_equal(json_string_value(json), "\xc3\xa4");
	json_decref(json);
}

static void long_names_are_cut_in_sentences(void **state)
{
	char text[5000] = "{\"";
	struct outer out;
	struct err e = {0};

	(void)state;
	memset(text + 2, 'k', 4000);
	memcpy(text + 4002, "\": 1}", 6);
	assert_int_not_equal(bind_text(text, &out, &e), 0);
	assert_true(strlen(e.text) < 300);
	assert_non_null(strstr(e.text, "which knows only"));
}

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* Whatever is mangled, it binds or it is refused, and nothing leaks. */
static void mutations_bind_or_are_refused(void **state)
{
	const char seed[] =
		"{\"flag\": true, \"port\": 80, \"big\": 12, \"name\": \"n\","
		" \"color\": \"Green\", \"inner\": {\"small\": 25},"
		" \"list\": [{\"small\": 1, \"text\": \"x\"}],"
		" \"words\": [\"a\", \"b\"], \"never\": null}";
	uint32_t x = 2463534242U, good = 0;
	char text[sizeof(seed)];
	int round;

	(void)state;
	for (round = 0; round < 50000; round++) {
		uint32_t n = random_next(&x) % 4 + 1;
		struct outer out = {0};
		struct err e = {0};
		json_t *json;

		memcpy(text, seed, sizeof(seed));
		while (n--)
			text[random_next(&x) % (sizeof(seed) - 1)] =
				random_next(&x) & 1 ? (char)random_next(&x)
						    : seed[random_next(&x) %
							   (sizeof(seed) - 1)];
		json = json_parse(text, sizeof(seed) - 1, &e);
		if (json && !json_bind(json, &outer_table, &out, NULL, &e)) {
			json_unbind(&outer_table, &out);
			good++;
		} else {
			assert_true(e.code < 0 && e.text[0]);
		}
		json_decref(json);
	}
	assert_in_range(good, 1, 49999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_body_binds),
		cmocka_unit_test(absent_and_null_leave_what_was_there),
		cmocka_unit_test(wrong_fields_are_named),
		cmocka_unit_test(numbers_are_integers_in_range),
		cmocka_unit_test(broken_text_has_line_and_column),
		cmocka_unit_test(nested_doubled_fields_are_found),
		cmocka_unit_test(a_raw_nul_is_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(deprecated_fields_are_reported),
		cmocka_unit_test(an_empty_list_is_no_refused_field),
		cmocka_unit_test(a_dump_binds_to_the_same),
		cmocka_unit_test(any_bytes_make_a_text),
		cmocka_unit_test(long_names_are_cut_in_sentences),
		cmocka_unit_test(mutations_bind_or_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
