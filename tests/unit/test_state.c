/* Sections and state files: what is written, and how it comes back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/state_bytes.h"
#include "vmm/base/clock.h"
#include "vmm/state/hmac.h"

static const struct state_key key = {.bytes = "sixteen letters!", .len = 16};

static void hex(const uint8_t *bytes, char *text)
{
	for (unsigned i = 0; i < HMAC_LEN; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

/* RFC 4231, 4.2, 4.3 and 4.4. */
static void the_tag_is_what_the_standard_says(void **state)
{
	static const char *const want[] = {
		"b0344c61d8db38535ca8afceaf0bf12b"
		"881dc200c9833da726e9376c2e32cff7",
		"5bdcc146bf60754e6a042426089575c7"
		"5a003f089d2739839dec58b964ec3843",
		"773ea91e36800e46854db8ebd09181a7"
		"2959098b3ef8c122d9635514ced565fe",
	};
	uint8_t bytes[50];
	uint8_t secret[20];
	uint8_t tag[HMAC_LEN];
	char text[2 * HMAC_LEN + 1];

	(void)state;
	memset(secret, 0x0b, sizeof(secret));
	hmac_sha256(secret, 20, "Hi There", 8, tag);
	hex(tag, text);
	assert_string_equal(text, want[0]);
	hmac_sha256((const uint8_t *)"Jefe", 4, "what do ya want for nothing?",
		    28, tag);
	hex(tag, text);
	assert_string_equal(text, want[1]);
	memset(secret, 0xaa, sizeof(secret));
	memset(bytes, 0xdd, sizeof(bytes));
	hmac_sha256(secret, 20, bytes, 50, tag);
	hex(tag, text);
	assert_string_equal(text, want[2]);
}

static void tags_are_equal_or_differ_in_any_bit(void **state)
{
	uint8_t a[HMAC_LEN];
	uint8_t b[HMAC_LEN];
	unsigned bit;

	(void)state;
	memset(a, 0x5a, sizeof(a));
	memcpy(b, a, sizeof(b));
	assert_true(hmac_equal(a, b));
	for (bit = 0; bit < 8 * HMAC_LEN; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(hmac_equal(a, b));
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* The format is a promise: it is written down here a second time. */
static void a_file_has_the_format_of_the_manual(void **state)
{
	static const uint8_t head[] = {
		'm', 'a', 'y', 'f', 'l', 'y', 's', 't', 1, 0, 1, 0, 0, 0, 0, 0,
	};
	uint8_t want[512] = {0};
	size_t len;
	uint8_t *data = state_bytes_file(NULL, &len);
	size_t at = STATE_HEAD_LEN;
	unsigned i;

	(void)state;
	memcpy(want, head, sizeof(head));
	state_bytes_put(want + HEAD_LEN,
			48 + 16 + 6 + 40 + 16 + 6 + 100 + 16 + 12, 8);
	memset(want + 24, 0x1d, STATE_ID_LEN);
	want[HEAD_COUNT] = 3;
	want[at + SECTION_NAME_LEN] = 6;
	want[at + SECTION_VERSION] = 1;
	want[at + SECTION_LEN] = 40;
	memcpy(want + at + 16, "config", 6);
	for (i = 0; i < 40; i++)
		want[at + 22 + i] = (uint8_t)i;
	at += 62;
	want[at + SECTION_NAME_LEN] = 6;
	want[at + SECTION_VERSION] = 3;
	want[at + SECTION_LEN] = 100;
	memcpy(want + at + 16, "vcpu 0", 6);
	for (i = 0; i < 100; i++)
		want[at + 22 + i] = (uint8_t)i;
	at += 122;
	want[at + SECTION_NAME_LEN] = 12;
	want[at + SECTION_VERSION] = 2;
	memcpy(want + at + 16, "block rootfs", 12);
	at += 28;
	state_bytes_mend(want, at, NULL);
#ifdef __x86_64__
	assert_int_equal(len, at);
	assert_memory_equal(data, want, len);
#endif
	free(data);
}

static void check_contents(struct state *s)
{
	struct err e = {0};
	struct visitor v;
	uint8_t bytes[100];
	unsigned i;

	assert_string_equal(state_name(s, 0), "config");
	assert_string_equal(state_name(s, 1), "vcpu 0");
	assert_string_equal(state_name(s, 2), "block rootfs");
	assert_null(state_name(s, 3));
	for (i = 0; i < STATE_ID_LEN; i++)
		assert_int_equal(state_id(s)[i], 0x1d);
	assert_int_equal(state_section(s, "vcpu 0", 3, &v, &e), 0);
	assert_true(v.is_loading);
	assert_int_equal(v.version, 3);
	visit_bytes(&v, bytes, sizeof(bytes));
	assert_int_equal(visitor_end(&v), 0);
	for (i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], i);
	visitor_fini(&v);
	assert_int_equal(state_section(s, "block rootfs", 9, &v, &e), 0);
	assert_int_equal(v.version, 2);
	assert_int_equal(visitor_end(&v), 0);
	visitor_fini(&v);
}

static void a_file_comes_back(void **state)
{
	struct err e = {0};
	struct state *s;
	size_t len;
	uint8_t *data = state_bytes_file(NULL, &len);

	(void)state;
	assert_int_equal(state_decode(&s, data, len, NULL, &e), 0);
	memset(data, 0xff, len); /* which need not stay */
	free(data);
	check_contents(s);
	state_free(s);
}

static void a_file_with_a_key_comes_back_by_it(void **state)
{
	const struct state_key none = {.len = 0};
	struct err e = {0};
	struct state *s;
	size_t plain_len;
	size_t len;
	uint8_t *plain = state_bytes_file(&none, &plain_len);
	uint8_t *data = state_bytes_file(&key, &len);

	(void)state;
	assert_int_equal(len, plain_len + HMAC_LEN);
	assert_int_equal(state_decode(&s, data, len, &key, &e), 0);
	check_contents(s);
	state_free(s);
	assert_int_equal(state_decode(&s, plain, plain_len, &none, &e), 0);
	state_free(s);
	free(plain);
	free(data);
}

static void a_section_that_is_not_there_is_named(void **state)
{
	struct err e = {0};
	struct visitor v;
	struct state *s = state_new();

	(void)state;
	state_bytes_add(s, "net eth0", 4, 1);
	assert_int_equal(state_section(s, "net eth1", 4, &v, &e), -ENOENT);
	assert_string_equal(e.text, "it has no section net eth1");
	assert_int_equal(state_section(s, "net eth0", 3, &v, &e), -ENOTSUP);
	assert_string_equal(e.text,
			    "its section net eth0 is of version 4, and this "
			    "mayfly reads them up to 3; load it with a newer "
			    "one");
	state_free(s);
}

static void a_walk_that_failed_is_no_section(void **state)
{
	struct err e = {0};
	struct err other = {0};
	struct visitor v;
	struct state *s = state_new();

	(void)state;
	visitor_save(&v, 1, &e);
	visit_fail(&v, -EIO, "KVM did not say");
	assert_int_equal(state_add(s, "vcpu 0", &v, &e), -EIO);
	assert_string_equal(e.text, "the state of vcpu 0: KVM did not say");
	visitor_save(&v, 1, &e);
	visit_fail(&v, -EIO, "KVM did not say");
	assert_int_equal(state_add(s, "vcpu 0", &v, &other), -EIO);
	assert_string_equal(other.text, "the state of vcpu 0: KVM did not say");
	assert_null(state_name(s, 0));
	state_free(s);
}

static void a_name_is_printable_and_there_once(void **state)
{
	static const char *const bad[] = {"", " x", "a\nb", "a\x7f", "a\xc3"};
	char longest[STATE_NAME_MAX + 2];
	struct err e = {0};
	struct visitor v;
	struct state *s = state_new();
	uint8_t byte = 1;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		visitor_save(&v, 1, &e);
		visit_u8(&v, &byte);
		assert_int_equal(state_add(s, bad[i], &v, &e), -EINVAL);
		assert_string_equal(e.text, "no name for a section of a state");
	}
	memset(longest, 'n', sizeof(longest));
	longest[STATE_NAME_MAX + 1] = '\0';
	visitor_save(&v, 1, &e);
	assert_int_equal(state_add(s, longest, &v, &e), -EINVAL);
	longest[STATE_NAME_MAX] = '\0';
	visitor_save(&v, 1, &e);
	assert_int_equal(state_add(s, longest, &v, &e), 0);
	assert_string_equal(state_name(s, 0), longest);
	visitor_save(&v, 1, &e);
	visit_u8(&v, &byte);
	state_bytes_add(s, "twice", 1, 1);
	assert_int_equal(state_add(s, "twice", &v, &e), -EEXIST);
	assert_string_equal(e.text, "the state has two sections twice");
	state_free(s);
}

static void there_is_a_most_of_sections_and_of_bytes(void **state)
{
	static uint8_t mib[1 << 20];
	struct err e = {0};
	struct visitor v;
	struct state *s = state_new();
	uint8_t *data;
	char name[20];
	size_t len;
	unsigned i;

	(void)state;
	assert_int_equal(state_encode(s, NULL, &data, &len, &e), -EINVAL);
	assert_string_equal(e.text, "the state has no sections");
	assert_null(data);
	for (i = 0; i < STATE_SECTIONS_MAX; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		state_bytes_add(s, name, 1, 1);
	}
	assert_int_equal(state_encode(s, NULL, &data, &len, &e), 0);
	free(data);
	visitor_save(&v, 1, &e);
	assert_int_equal(state_add(s, "one more", &v, &e), -E2BIG);
	assert_string_equal(e.text, "the state has more than 1024 sections");
	state_free(s);
	s = state_new();
	visitor_save(&v, 1, &e);
	for (i = 0; i < STATE_BYTES_MAX >> 20; i++)
		visit_bytes(&v, mib, sizeof(mib));
	assert_int_equal(state_add(s, "large", &v, &e), 0);
	assert_int_equal(state_encode(s, NULL, &data, &len, &e), -EFBIG);
	assert_string_equal(e.text, "the state has more than 64 MiB, which no "
				    "machine's should");
	state_free(s);
}

static void the_id_is_told_from_the_header_alone(void **state)
{
	struct state_peek peek;
	size_t len;
	uint8_t *data = state_bytes_file(NULL, &len);

	(void)state;
	assert_true(state_peek(data, &peek));
	assert_memory_equal(peek.id, data + 24, sizeof(peek.id));
	assert_int_equal(peek.len, len);
	assert_false(peek.has_memory);
	data[30] ^= 1;
	assert_false(state_peek(data, &peek));
	data[30] ^= 1;
	data[0] ^= 1;
	assert_false(state_peek(data, &peek));
	free(data);
}

static void memory_in_the_same_file_is_told(void **state)
{
	struct state *s = NULL;
	struct state_peek peek;
	struct err e = {0};
	size_t len;
	uint8_t *data = state_bytes_file(NULL, &len);

	(void)state;
	assert_int_equal(state_decode(&s, data, len, NULL, &e), 0);
	assert_false(*state_has_memory(s));
	*state_has_memory(s) = true;
	free(data);
	assert_int_equal(state_encode(s, &key, &data, &len, &e), 0);
	state_free(s);
	assert_true(state_peek(data, &peek));
	assert_true(peek.has_memory);
	assert_int_equal(state_decode(&s, data, len, &key, &e), 0);
	assert_true(*state_has_memory(s));
	state_free(s);
	free(data);
	assert_int_equal(state_memory_at(1), 64 << 10);
	assert_int_equal(state_memory_at(64 << 10), 64 << 10);
	assert_int_equal(state_memory_at((64 << 10) + 1), 128 << 10);
}

/* A figure; tests judge no times. */
static void how_long_20_kib_take(void **state)
{
	enum { ROUNDS = 200 };
	const struct state_key *keys[] = {NULL, &key};
	uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
	struct err e = {0};
	char name[20];
	unsigned i;

	(void)state;
	for (unsigned with = 0; with < 2; with++) {
		struct state *s = state_new();
		struct state *again;
		uint8_t *data;
		size_t len;

		for (i = 0; i < 20; i++) {
			snprintf(name, sizeof(name), "s%u", i);
			state_bytes_add(s, name, 1, 1024 - 24);
		}
		assert_int_equal(state_encode(s, keys[with], &data, &len, &e),
				 0);
		for (i = 0; i < ROUNDS; i++) {
			const uint64_t begin = clock_now_ns();
			uint64_t took;

			assert_int_equal(
				state_decode(&again, data, len, keys[with], &e),
				0);
			took = clock_now_ns() - begin;
			if (took < best[with])
				best[with] = took;
			state_free(again);
		}
		free(data);
		state_free(s);
	}
	printf("# figure: a state of 20 KiB checked and read = %.1f us, with a "
	       "key %.1f us\n",
	       (double)best[0] / 1e3, (double)best[1] / 1e3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tag_is_what_the_standard_says),
		cmocka_unit_test(tags_are_equal_or_differ_in_any_bit),
		cmocka_unit_test(a_file_has_the_format_of_the_manual),
		cmocka_unit_test(a_file_comes_back),
		cmocka_unit_test(a_file_with_a_key_comes_back_by_it),
		cmocka_unit_test(a_section_that_is_not_there_is_named),
		cmocka_unit_test(a_walk_that_failed_is_no_section),
		cmocka_unit_test(a_name_is_printable_and_there_once),
		cmocka_unit_test(there_is_a_most_of_sections_and_of_bytes),
		cmocka_unit_test(the_id_is_told_from_the_header_alone),
		cmocka_unit_test(memory_in_the_same_file_is_told),
		cmocka_unit_test(how_long_20_kib_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
