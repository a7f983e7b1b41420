/* The walker of layers: what it takes, counts and refuses, by any pieces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/ctl/image/tar.h"

enum { ARCHIVE_MAX = 64 * IMAGE_TAR_BLOCK };

struct archive {
	unsigned char bytes[ARCHIVE_MAX];
	size_t len;
};

/* Zeros: also a sparse map that ends there. */
static const unsigned char filler[1024];

static void seal(unsigned char *block)
{
	unsigned sum = 0;
	unsigned i;

	memset(block + 148, ' ', 8);
	for (i = 0; i < IMAGE_TAR_BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum);
}

static unsigned char *add(struct archive *a, const char *name, char type,
			  const char *link, uint64_t size)
{
	unsigned char *block = a->bytes + a->len;

	assert_true(a->len + IMAGE_TAR_BLOCK <= ARCHIVE_MAX);
	memset(block, 0, IMAGE_TAR_BLOCK);
	memcpy(block, name, strnlen(name, 100));
	memcpy(block + 157, link, strnlen(link, 100));
	snprintf((char *)block + 124, 12, "%011llo", (unsigned long long)size);
	snprintf((char *)block + 136, 12, "%011o", 1000);
	block[156] = (unsigned char)type;
	memcpy(block + 257, "ustar\00000", 8);
	seal(block);
	a->len += IMAGE_TAR_BLOCK;
	return block;
}

static void add_data(struct archive *a, const void *data, size_t len)
{
	const size_t padded =
		(len + IMAGE_TAR_BLOCK - 1) / IMAGE_TAR_BLOCK * IMAGE_TAR_BLOCK;

	assert_true(a->len + padded <= ARCHIVE_MAX);
	memset(a->bytes + a->len, 0, padded);
	memcpy(a->bytes + a->len, data, len);
	a->len += padded;
}

/* One pax header with one record. */
static void add_pax(struct archive *a, const char *key, const char *value)
{
	char record[600];
	size_t len = strlen(key) + strlen(value) + 3;

	len += len + 1 >= 10 ? 2 : 1;
	len += len >= 100;
	snprintf(record, sizeof(record), "%zu %s=%s\n", len, key, value);
	assert_int_equal(strlen(record), len);
	add(a, "pax", 'x', "", len);
	add_data(a, record, len);
}

static void add_end(struct archive *a)
{
	static const unsigned char zeros[2 * IMAGE_TAR_BLOCK];

	add_data(a, zeros, sizeof(zeros));
}

static struct image_tar_totals totals;
static struct err err;

static int read_pieces(const struct archive *a, size_t piece)
{
	struct image_tar tar;
	size_t at;
	int r = 0;

	totals = (struct image_tar_totals){
		.entries_max = 5,
		.bytes_max = 10000,
		.raw_max = ARCHIVE_MAX,
	};
	err = (struct err){0};
	image_tar_init(&tar, &totals);
	for (at = 0; !r && at < a->len; at += piece)
		r = image_tar_add(&tar, a->bytes + at,
				  a->len - at < piece ? a->len - at : piece,
				  &err);
	if (!r)
		r = image_tar_end(&tar, &err);
	image_tar_fini(&tar);
	return r;
}

static void expect(const struct archive *a, int want, const char *sentence)
{
	static const size_t pieces[] = {1, 511, 512, 1000, ARCHIVE_MAX};
	unsigned i;

	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		assert_int_equal(read_pieces(a, pieces[i]), want);
		if (want && !strstr(err.text, sentence))
			fail_msg("'%s' lacks '%s'", err.text, sentence);
	}
}

static struct archive *fresh(void **state)
{
	struct archive *a = *state;

	a->len = 0;
	return a;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct archive));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void entries_and_bytes_are_counted(void **state)
{
	struct archive *a = fresh(state);

	add(a, "./", '5', "", 0);
	add(a, "etc/", '5', "", 0);
	add(a, "etc/passwd", '0', "", 700);
	add_data(a, filler, 700);
	add(a, "link", '2', "../../../etc/shadow", 0);
	add_end(a);
	expect(a, 0, "");
	assert_int_equal(totals.entries, 4);
	assert_int_equal(totals.bytes, 700);
	assert_int_equal(totals.mtime_max_s, 1000);
}

static void an_end_may_be_missing_but_nothing_may_be_cut(void **state)
{
	struct archive *a = fresh(state);

	add(a, "f", '0', "", 700);
	add_data(a, filler, 700);
	expect(a, 0, "");
	a->len -= 1;
	expect(a, -EINVAL, "cut off");
	a->len = 100;
	expect(a, -EINVAL, "cut off");
}

static void data_after_the_end_is_passed_over(void **state)
{
	struct archive *a = fresh(state);

	add(a, "f", '0', "", 0);
	add_end(a);
	add(a, "../evil", '0', "", 0);
	expect(a, 0, "");
	assert_int_equal(totals.entries, 1);
}

static void one_block_of_zeros_is_damage(void **state)
{
	struct archive *a = fresh(state);

	add_end(a);
	a->len -= IMAGE_TAR_BLOCK;
	add(a, "f", '0', "", 0);
	expect(a, -EINVAL, "after its end");
}

static void a_wrong_checksum_is_damage(void **state)
{
	struct archive *a = fresh(state);

	add(a, "f", '0', "", 0)[0] = 'g';
	expect(a, -EINVAL, "checksum");
}

static void limits_hold(void **state)
{
	struct archive *a = fresh(state);
	unsigned i;

	for (i = 0; i < 6; i++)
		add(a, "f", '0', "", 0);
	expect(a, -E2BIG, "more than 5 files");
	a->len = 0;
	add(a, "f", '0', "", 10001);
	expect(a, -ENOSPC, "unpacks to more");
	a->len = 0;
	add(a, "f", '0', "", 10000);
	add(a, "g", '0', "", 1ULL << 32);
	expect(a, -EINVAL, "cut off");
}

static void sizes_in_base_256_are_read(void **state)
{
	struct archive *a = fresh(state);
	unsigned char *block = add(a, "f", '0', "", 0);

	memset(block + 124, 0, 12);
	block[124] = 0x80;
	block[134] = 1;
	seal(block);
	add_data(a, filler, 256);
	expect(a, 0, "");
	assert_int_equal(totals.bytes, 256);
	block[124] = 0xff;
	seal(block);
	expect(a, -EINVAL, "size");
	block[124] = 0x80;
	memset(block + 125, 0xff, 11);
	seal(block);
	expect(a, -EINVAL, "size");
}

static void all_of_several_names_are_judged(void **state)
{
	static const char *const keys[] = {"path", "GNU.sparse.name"};
	struct archive *a = fresh(state);
	unsigned i;

	for (i = 0; i < 2; i++) {
		a->len = 0;
		add_pax(a, keys[i], "../evil");
		add(a, "fine", '0', "", 0);
		expect(a, -EINVAL, "leads out");
		a->len = 0;
		add_pax(a, keys[i], "../evil");
		add(a, "long", 'L', "", 5);
		add_data(a, "fine", 5);
		add(a, "fine", '0', "", 0);
		expect(a, -EINVAL, "leads out");
	}
	a->len = 0;
	add_pax(a, "path", "fine");
	add(a, "../only/the/header's", '0', "", 0);
	expect(a, 0, "");
	/* An empty value takes it back. */
	a->len = 0;
	add_pax(a, "path", "fine");
	add_pax(a, "path", "");
	add(a, "../evil", '0', "", 0);
	expect(a, -EINVAL, "leads out");
}

static void names_last_for_one_entry(void **state)
{
	struct archive *a = fresh(state);

	add_pax(a, "path", "fine");
	add(a, "x", '0', "", 0);
	add(a, "../evil", '0', "", 0);
	expect(a, -EINVAL, "'../evil'");
}

static void the_prefix_belongs_to_the_name(void **state)
{
	struct archive *a = fresh(state);
	unsigned char *block = add(a, "evil", '0', "", 0);

	memcpy(block + 345, "..", 2);
	seal(block);
	expect(a, -EINVAL, "'../evil'");
	/* GNU's magic: other things lie there. */
	memcpy(block + 257, "ustar  ", 8);
	seal(block);
	expect(a, 0, "");
}

static void links_have_no_data_whatever_their_size(void **state)
{
	struct archive *a = fresh(state);

	add(a, "d", '5', "", 512);
	add(a, "../evil", '0', "", 0);
	expect(a, -EINVAL, "leads out");
	a->len = 0;
	add(a, "l", '2', "t", 512);
	add(a, "../evil", '0', "", 0);
	expect(a, -EINVAL, "leads out");
}

static void sparse_files_count_as_large_as_they_unpack(void **state)
{
	struct archive *a = fresh(state);
	unsigned char *block;

	add_pax(a, "GNU.sparse.realsize", "10001");
	add(a, "hole", '0', "", 0);
	expect(a, -ENOSPC, "unpacks to more");
	a->len = 0;
	block = add(a, "hole", 'S', "", 512);
	snprintf((char *)block + 483, 12, "%011o", 9000);
	block[482] = 1;
	seal(block);
	/* One block of map, then the data, then an entry to be judged. */
	add_data(a, filler, 512);
	add_data(a, filler, 512);
	add(a, "../evil", '0', "", 0);
	expect(a, -EINVAL, "leads out");
	assert_int_equal(totals.bytes, 9000);
}

static void malformed_pax_records_are_damage(void **state)
{
	static const char *const records[] = {
		"",	      "9999 path=x\n",
		"x path=x\n", "12 path=x",
		"5 a=\n",     "3 =\n",
		"8 path x\n", "99999999999999999999 a=b\n",
	};
	struct archive *a = fresh(state);
	unsigned i;

	for (i = 1; i < sizeof(records) / sizeof(records[0]); i++) {
		a->len = 0;
		add(a, "pax", 'x', "", strlen(records[i]));
		add_data(a, records[i], strlen(records[i]));
		add(a, "f", '0', "", 0);
		if (!strcmp(records[i], "5 a=\n"))
			expect(a, 0, "");
		else
			expect(a, -EINVAL, "pax header is malformed");
	}
	a->len = 0;
	add(a, "pax", 'x', "", IMAGE_TAR_EXTRA_MAX + 1);
	expect(a, -EINVAL, "over 1 MiB");
}

static void what_images_do_not_have_is_refused(void **state)
{
	static const struct {
		const char *name;
		char type;
		const char *link;
		const char *sentence; /* NULL: it is taken */
	} cases[] = {
		{"a/../b", '0', "", "leads out"},
		{"..", '5', "", "leads out"},
		{"/etc/passwd", '0', "", NULL},
		{"...", '0', "", NULL},
		{"a/..b", '0', "", NULL},
		{"h", '1', "../x", "hard link"},
		{"h", '1', "a/../../x", "hard link"},
		{"h", '1', "/", "hard link"},
		{"h", '1', "/a", NULL},
		{"s", '2', "/etc/passwd", NULL},
		{"s", '2', "../../x", NULL},
		{"dev/null", '3', "", NULL},
		{"./dev/disk/sda", '4', "", NULL},
		{"dev", '3', "", "device node"},
		{"devil/sda", '4', "", "device node"},
		{"srv/dev/sda", '4', "", "device node"},
		{"pipe", '6', "", NULL},
		{".wh.x", '0', "", NULL},
		{".wh..wh..opq", '0', "", NULL},
		{".wh.", '0', "", "removes a whole folder"},
		{".wh..", '0', "", "removes a whole folder"},
		{"a/.wh...", '0', "", "removes a whole folder"},
		{".wh...", '5', "", "removes a whole folder"},
		{".wh..../", '5', "", NULL},
		{"./", '5', "", NULL},
		{"./", '0', "", "replace the root"},
		{"/", '2', "x", "replace the root"},
		{".", '1', "x", "replace the root"},
		{"f", '9', "", "kind"},
		{"f", 'g', "", "kind"},
	};
	struct archive *a = fresh(state);
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		a->len = 0;
		add(a, cases[i].name, cases[i].type, cases[i].link, 0);
		expect(a, cases[i].sentence ? -EINVAL : 0, cases[i].sentence);
	}
}

static void sentences_are_printable(void **state)
{
	struct archive *a = fresh(state);

	add(a, "../\033[2J\n\xff", '0', "", 0);
	expect(a, -EINVAL, "'../?[2J?\?'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_and_bytes_are_counted),
		cmocka_unit_test(an_end_may_be_missing_but_nothing_may_be_cut),
		cmocka_unit_test(data_after_the_end_is_passed_over),
		cmocka_unit_test(one_block_of_zeros_is_damage),
		cmocka_unit_test(a_wrong_checksum_is_damage),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(sizes_in_base_256_are_read),
		cmocka_unit_test(all_of_several_names_are_judged),
		cmocka_unit_test(names_last_for_one_entry),
		cmocka_unit_test(the_prefix_belongs_to_the_name),
		cmocka_unit_test(links_have_no_data_whatever_their_size),
		cmocka_unit_test(sparse_files_count_as_large_as_they_unpack),
		cmocka_unit_test(malformed_pax_records_are_damage),
		cmocka_unit_test(what_images_do_not_have_is_refused),
		cmocka_unit_test(sentences_are_printable),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
