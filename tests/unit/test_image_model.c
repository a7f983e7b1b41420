/* What has to make room for folders, layer by layer. */
#include "api/ctl/image/model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct image_model *model;
static struct err err;
static unsigned layer; /* from 0 */

static int set_up(void **state)
{
	(void)state;
	model = image_model_new(100000);
	layer = 0;
	if (model)
		image_model_next(model);
	return model ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	image_model_free(model);
	return 0;
}

static int add(char type, const char *path, const char *link)
{
	const struct tar_entry entry = {
		.names = {path, path, path},
		.links = {link, link, link},
		.type = type,
	};

	return image_model_add(model, &entry, &err);
}

static void next_layer(void)
{
	image_model_next(model);
	layer++;
}

/* Files "f", folders "d/", links "l@" in one word each. */
static void put(const char *const *entries)
{
	for (; *entries; entries++) {
		char path[300];
		size_t len = strlen(*entries);
		char type = '0';

		snprintf(path, sizeof(path), "%s", *entries);
		if (path[len - 1] == '/')
			type = '5';
		else if (path[len - 1] == '@')
			type = '2';
		if (type != '0')
			path[len - 1] = 0;
		assert_int_equal(add(type, path, "target"), 0);
	}
}

#define PUT(...) put((const char *const[]){__VA_ARGS__, NULL})

/* The places of the layer, in order, with blanks between them. */
static void expect(const char *want)
{
	char path[4097], all[8192] = "";
	size_t cursor = 0, len = 0;

	while (image_model_place(model, layer, &cursor, path)) {
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s",
					len ? " " : "", path);
		assert_true(len < sizeof(all));
	}
	assert_string_equal(all, want);
}

static void files_and_links_of_lower_layers_make_room(void **state)
{
	(void)state;
	PUT("file", "link@", "d/", "d/file", "d/link@", "kept", "also@");
	expect("");
	next_layer();
	PUT("file/b", "./link//new", "d/file/x/y", "d/link/", "file/c");
	expect("file link d/file d/link");
	next_layer();
	PUT("file/b/c", "link/new", "kept", "also@", "d/link/z");
	expect("file/b");
}

static void whiteouts_count_for_what_is_below(void **state)
{
	(void)state;
	PUT("link@", "other@", "third@", "d/l@", "e/l@", "target/x");
	next_layer();
	PUT("link/.wh..wh..opq", "other/.wh.x", ".wh.third", "third/new",
	    "d/.wh..wh..opq", "d/l/new", ".wh.e", "e/l/new");
	expect("link other");
}

static void what_is_hidden_needs_no_room(void **state)
{
	(void)state;
	PUT("a/b/c@", "r@");
	next_layer();
	PUT("a/.wh..wh..opq", "a/new");
	next_layer();
	PUT("a/b/c/d", ".wh..wh..opq", "r/new");
	expect("");
	next_layer();
	/* A file over a folder hides what was in it for good. */
	PUT("a");
	next_layer();
	PUT("a/new/d");
	expect("a");
	next_layer();
	PUT("a/b/c/d");
	expect("");
}

static void hard_links_are_what_they_are_to(void **state)
{
	(void)state;
	PUT("file", "link@");
	assert_int_equal(add('1', "h1", "file"), 0);
	assert_int_equal(add('1', "h2", "link"), 0);
	next_layer();
	PUT("h1/x", "h2/x");
	expect("h1 h2");
}

static void links_of_the_same_layer_are_not_replaced(void **state)
{
	(void)state;
	PUT("d/", "link@");
	next_layer();
	PUT("link@", "link/new", "link/deep/new");
	expect("");
	PUT("a");
	assert_int_equal(add('0', "a/b", ""), -EINVAL);
	assert_non_null(strstr(err.text, "a file, 'a'"));
}

static void places_are_of_their_layer(void **state)
{
	(void)state;
	PUT("a", "b");
	next_layer();
	PUT("a/x");
	next_layer();
	PUT("b/x");
	expect("b");
	layer = 1;
	expect("a");
	layer = 0;
	expect("");
}

static void nodes_are_bounded_and_many_are_found(void **state)
{
	char path[64];
	unsigned i;
	int r = 0;

	(void)state;
	for (i = 0; i < 50000; i++) {
		snprintf(path, sizeof(path), "d%u/f%u", i % 100, i);
		assert_int_equal(add('0', path, ""), 0);
	}
	next_layer();
	snprintf(path, sizeof(path), "d%u/f%u/x", 4321u % 100, 4321u);
	assert_int_equal(add('0', path, ""), 0);
	expect("d21/f4321");
	/* Folders that no layer names count, too. */
	for (i = 0; !r && i < 60000; i++) {
		snprintf(path, sizeof(path), "p%u/q/r", i);
		r = add('0', path, "");
	}
	assert_int_equal(r, -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(files_and_links_of_lower_layers_make_room),
		TEST(whiteouts_count_for_what_is_below),
		TEST(what_is_hidden_needs_no_room),
		TEST(hard_links_are_what_they_are_to),
		TEST(links_of_the_same_layer_are_not_replaced),
		TEST(places_are_of_their_layer),
		TEST(nodes_are_bounded_and_many_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
