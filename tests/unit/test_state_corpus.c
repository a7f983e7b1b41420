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
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block_overlay.h"
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

/*
 * The disk that each of them had. What their clusters held was in a file of its
 * own, which an empty one stands in for: it is not looked at before it is read.
 */
enum { OVERLAY_DISK = 240 * 2560 + 1536, OVERLAY_FILE = 1 << 20 };

static int file_of(off_t size)
{
	const int fd = memfd_create("corpus", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, size))
		abort();
	return fd;
}

/* How many clusters of a drive are of which kind, and where they lie. */
static size_t describe_overlay(struct visitor *v, uint64_t *at, char *out,
			       size_t room)
{
	const struct block_overlay_config config = {.is_wanted = true};
	struct block_file base = {.fd = file_of(OVERLAY_DISK),
				  .size = OVERLAY_DISK};
	unsigned saved = 0, zero = 0, i;
	uint32_t sum = 0, entry;
	struct block_overlay *o;
	uint8_t len = 0;
	char id[256] = "";
	struct err e;
	size_t n;

	visit_u8(v, &len);
	visit_bytes(v, id, len);
	if (block_overlay_new(&o, &base, &config, &e))
		abort();
	block_overlay_load(o, file_of(OVERLAY_FILE), at, v);
	for (i = 0; i < o->clusters; i++) {
		entry = o->map[i];
		saved += !!(entry & OVERLAY_SAVED);
		zero += !!(entry & OVERLAY_ZERO);
		sum = state_bytes_sum(sum, (const uint8_t *)&entry,
				      sizeof(entry));
	}
	n = (size_t)snprintf(out, room,
			     "overlay of %s: %u clusters, %u of zeroes, %08x\n",
			     id, saved, zero, sum);
	block_overlay_free(o);
	block_file_close(&base);
	return n;
}

static size_t describe_overlays(struct visitor *v, char *out, size_t room)
{
	uint32_t count = 0;
	uint64_t at = 0;
	size_t n = 0;

	visit_u32(v, &count);
	while (count-- && !v->rc)
		n += describe_overlay(v, &at, out + n, room - n);
	return n;
}

/*
 * Name, version, length and sum of each section, a line each, and more of those
 * of overlays.
 */
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
		if (!strcmp(state_name(s, i), "overlays"))
			at += describe_overlays(&v, text + at, (1 << 16) - at);
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
	/* The first release's three are there for good. */
	assert_true(count >= 3);
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
