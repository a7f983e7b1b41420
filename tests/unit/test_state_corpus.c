/*
 * State files of releases, tests/corpus/state/NAME: each is read, and has the
 * sections that NAME.sections tells. With a file as its word this prints them.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/state_bytes.h"

static const char folder[] = "tests/corpus/state";
/* Of files whose name ends in .sealed. */
static const struct state_key key = {.bytes = "a key of the corpus", .len = 19};

static bool ends_in(const char *text, const char *end)
{
	const size_t len = strlen(text);

	return len >= strlen(end) && !strcmp(text + len - strlen(end), end);
}

static uint8_t *read_whole(const char *path, size_t *len)
{
	FILE *file = fopen(path, "re");
	uint8_t *data = malloc((1 << 20) + 1);

	if (!file || !data) {
		perror(path);
		abort();
	}
	*len = fread(data, 1, 1 << 20, file);
	data[*len] = '\0';
	(void)fclose(file);
	return data;
}

/* Name, version, length and sum of each section, a line each. */
static char *describe(const char *path)
{
	char *text = calloc(1, 1 << 16);
	struct err e = {0};
	struct visitor v;
	struct state *s;
	size_t len;
	size_t at = 0;
	uint8_t *data = read_whole(path, &len);

	if (!text)
		abort();
	if (state_decode(&s, data, len, ends_in(path, ".sealed") ? &key : NULL,
			 &e)) {
		snprintf(text, 1 << 16, "%s: %s\n", path, e.text);
		free(data);
		return text;
	}
	for (unsigned i = 0; state_name(s, i); i++) {
		if (state_section(s, state_name(s, i), UINT32_MAX, &v, &e))
			abort();
		at += (size_t)snprintf(text + at, (1 << 16) - at,
				       "%s, version %u, %zu bytes, %08x\n",
				       state_name(s, i), v.version, v.len,
				       state_bytes_sum(0, v.data, v.len));
		visitor_fini(&v);
	}
	state_free(s);
	free(data);
	return text;
}

static void files_of_each_release_are_read(void **state)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	unsigned count = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[512];
		char *is;
		char *want;
		size_t len;

		if (entry->d_name[0] == '.' ||
		    ends_in(entry->d_name, ".sections") ||
		    ends_in(entry->d_name, ".md"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		is = describe(path);
		snprintf(path, sizeof(path), "%s/%s.sections", folder,
			 entry->d_name);
		want = (char *)read_whole(path, &len);
		assert_string_equal(is, want);
		free(is);
		free(want);
		count++;
	}
	closedir(dir);
	/* The first release's two are there for good. */
	assert_true(count >= 2);
}

/* --make: what the first files were made by. */
static int make(const char *path)
{
	size_t len;
	uint8_t *data =
		state_bytes_file(ends_in(path, ".sealed") ? &key : NULL, &len);
	FILE *file = fopen(path, "wxe");

	if (!file || fwrite(data, 1, len, file) != len || fclose(file)) {
		perror(path);
		return 1;
	}
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_of_each_release_are_read),
	};
	char *text;

	if (argc == 3 && !strcmp(argv[1], "--make"))
		return make(argv[2]);
	if (argc != 2)
		return cmocka_run_group_tests(tests, NULL, NULL);
	text = describe(argv[1]);
	(void)fputs(text, stdout);
	free(text);
	return 0;
}
