/*
 * A tree of ours as an archive: what the reader of archives makes of it, piece
 * by piece and unpacked again.
 */
#include "api/ctl/base/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/base/tar.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/base/untar.h"
#include "vmm/base/fd.h"

static char top[] = "/tmp/test-pack-XXXXXX";
static char long_name[201];
static int root; /* of top */

static void put_text(const char *name, const char *text)
{
	const int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int make_tree(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[256], file[260];
	int fd;

	(void)state;
	if (!mkdtemp(top))
		return -1;
	root = open(top, O_RDONLY | O_DIRECTORY);
	memset(long_name, 'n', sizeof(long_name) - 1);
	snprintf(path, sizeof(path), "d/%s", long_name);
	assert_int_equal(mkdirat(root, "d", 0750), 0);
	assert_int_equal(mkdirat(root, "out", 0755), 0);
	put_text("d/one", "one file of two names");
	assert_int_equal(linkat(root, "d/one", root, "d/two", 0), 0);
	assert_int_equal(mkdirat(root, path, 0755), 0);
	snprintf(file, sizeof(file), "%s/f", path);
	put_text(file, "deep");
	put_text("outside", "secret");
	assert_int_equal(symlinkat("../outside", root, "d/link"), 0);
	assert_int_equal(symlinkat("..", root, "d/up"), 0);
	assert_int_equal(symlinkat("d", root, "to-d"), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/d/sock", top);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	close(fd);
	return root < 0;
}

static int remove_all(void **state)
{
	(void)state;
	close(root);
	return tree_remove(AT_FDCWD, top, 0, NULL);
}

/* ---- what stands in it -----------------------------------------------------
 */

struct seen {
	struct tar tar;
	unsigned files, links, hard_links, folders;
	size_t bytes, most; /* most: ends it when so many have come */
	char hard[64], first[256];
};

static int take_entry(void *ctx, const struct tar_entry *entry, struct err *e)
{
	struct seen *s = ctx;
	const char *name = *entry->names[0] ? entry->names[0]
					    : entry->names[TAR_NAMES - 1];

	(void)e;
	if (!*s->first)
		snprintf(s->first, sizeof(s->first), "%s", name);
	s->files += entry->type == '0';
	s->links += entry->type == '2';
	s->folders += entry->type == '5';
	s->hard_links += entry->type == '1';
	if (entry->type == '1')
		snprintf(s->hard, sizeof(s->hard), "%s", entry->links[0]);
	return 0;
}

static int to_reader(void *ctx, const void *bytes, size_t len, struct err *e)
{
	struct seen *s = ctx;

	s->bytes += len;
	if (s->most && s->bytes > s->most)
		return err_set(e, -EPIPE, "enough");
	return tar_add(&s->tar, bytes, len, e);
}

static int read_tree(struct seen *s, const char *name, const char *as,
		     bool is_followed, struct err *e)
{
	static const struct tar_hooks hooks = {.entry = take_entry};
	const struct pack_sink sink = {to_reader, s};
	int rc;

	tar_init(&s->tar, "it", &hooks, s);
	rc = pack_tree(root, name, as, is_followed, &sink, e);
	if (!rc)
		rc = tar_end(&s->tar, e);
	tar_fini(&s->tar);
	return rc;
}

static void hard_links_stay(void **state)
{
	struct seen s = {0};
	struct err e = {0};

	(void)state;
	if (read_tree(&s, "d", "hard", false, &e))
		fail_msg("%s", e.text);
	assert_int_equal(s.files, 2);
	assert_int_equal(s.hard_links, 1);
	assert_int_equal(s.links, 2);
	assert_int_equal(s.folders, 2);
	/* By the name it has in the archive. */
	assert_int_equal(strncmp(s.hard, "hard/", 5), 0);
	assert_int_equal(s.bytes % TAR_BLOCK, 0);
}

static void links_are_followed_where_it_is_said(void **state)
{
	struct seen s = {0}, followed = {0}, outside = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(read_tree(&s, "to-d", "x", false, &e), 0);
	assert_true(s.links == 1 && !s.folders && !s.files);
	assert_int_equal(read_tree(&followed, "to-d", "x", true, &e), 0);
	assert_true(followed.links == 2 && followed.folders == 2);
	assert_int_equal(read_tree(&outside, "d/link", "x", true, &e), 0);
	assert_true(outside.files == 1 && !outside.links);
}

static void what_goes_wrong_is_said(void **state)
{
	struct seen s = {.most = 1024};
	struct err e = {0};

	(void)state;
	assert_int_equal(read_tree(&s, "none", "x", false, &e), -ENOENT);
	assert_int_equal(read_tree(&s, "d", "x", false, &e), -EPIPE);
	assert_string_equal(e.text, "enough");
}

/* Somebody puts links where folders were as soon as the walk has begun. */
static int swap(void *ctx, const void *bytes, size_t len, struct err *e)
{
	bool *is_done = ctx;

	(void)e;
	if (!*is_done) {
		*is_done = true;
		assert_int_equal(renameat(root, "race/sub", root, "away"), 0);
		assert_int_equal(symlinkat("../secret", root, "race/sub"), 0);
		assert_int_equal(unlinkat(root, "race/f", 0), 0);
		assert_int_equal(symlinkat("../secret/f", root, "race/f"), 0);
	}
	assert_null(memmem(bytes, len, "hidden", 6));
	return 0;
}

static void what_changes_is_not_followed(void **state)
{
	bool is_done = false;
	const struct pack_sink sink = {swap, &is_done};
	struct err e = {0};

	(void)state;
	assert_int_equal(mkdirat(root, "secret", 0755), 0);
	put_text("secret/f", "hidden");
	assert_int_equal(mkdirat(root, "race", 0755), 0);
	assert_int_equal(mkdirat(root, "race/sub", 0755), 0);
	put_text("race/f", "plain");
	assert_int_equal(pack_tree(root, "race", "x", false, &sink, &e), 0);
	assert_true(is_done);
	/* Said to be followed, it is only the one that was named. */
	assert_int_equal(pack_tree(root, "race", "x", true, &sink, &e), 0);
}

/* ---- and unpacked ---------------------------------------------------------
 */

static int to_untar(void *ctx, const void *bytes, size_t len, struct err *e)
{
	return untar_add(ctx, bytes, len, e);
}

static void unpacks_to_the_same(void **state)
{
	CLEAN_FD int out = openat(root, "out", O_RDONLY | O_DIRECTORY);
	const struct untar_rules rules = {.dirfd = out, .from = ".", .as = ""};
	struct err e = {0};
	struct untar *u = untar_new(&rules, &e);
	const struct pack_sink sink = {to_untar, u};
	struct stat one, two, deep;
	char path[256], text[16];
	int rc;

	(void)state;
	assert_non_null(u);
	rc = pack_tree(root, "d", ".", false, &sink, &e);
	if (!rc)
		rc = untar_end(u, &e);
	untar_free(u);
	if (rc)
		fail_msg("%s", e.text);
	assert_int_equal(fstatat(out, "one", &one, 0), 0);
	assert_int_equal(fstatat(out, "two", &two, 0), 0);
	assert_true(one.st_ino == two.st_ino && one.st_size == 21);
	assert_int_equal(one.st_mode & 0777, 0640);
	snprintf(path, sizeof(path), "%s/f", long_name);
	assert_int_equal(fstatat(out, path, &deep, 0), 0);
	assert_int_equal(deep.st_size, 4);
	assert_int_equal(readlinkat(out, "link", text, sizeof(text)), 10);
	assert_int_equal(faccessat(out, "sock", F_OK, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hard_links_stay),
		cmocka_unit_test(links_are_followed_where_it_is_said),
		cmocka_unit_test(what_goes_wrong_is_said),
		cmocka_unit_test(what_changes_is_not_followed),
		cmocka_unit_test(unpacks_to_the_same),
	};

	return cmocka_run_group_tests_name("pack", tests, make_tree,
					   remove_all);
}
