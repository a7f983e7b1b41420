/* What containerd has mounted, or would have, as an image. */
#include "api/ctl/containerd/rootfs.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/base/process.h"
#include "tests/unit/own_dir.h"

/* Packs a directory of own_dir into an image of it; what the packer said. */
static const char *pack(const char *name, char image[128])
{
	static char said[256];
	struct rootfs r = {0};
	struct err e = {0};
	char path[128];
	ssize_t n;
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", own_dir, name);
	snprintf(image, 128, "%s/%s.erofs", own_dir, name);
	r.path = path;
	if (rootfs_pack(&r, image, &pid, &fd, &e))
		fail_msg("%s", e.text);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	n = read(fd, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	return said;
}

/* mkfs.erofs 1.5 would cut it by its last byte. */
static void keeps_long_names(void **state)
{
	char name[NAME_MAX + 1], path[512], image[128], *bytes = NULL;
	struct err e = {0};
	struct stat st;

	(void)state;
	/* It mounts. */
	if (geteuid())
		skip();
	memset(name, 'n', NAME_MAX - 1);
	memcpy(name + NAME_MAX - 1, "z", 2);
	snprintf(path, sizeof(path), "%s/tree", own_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/tree/%s", own_dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_string_equal(pack("tree", image), "");
	assert_int_equal(stat(image, &st), 0);
	assert_int_equal(process_read_file(image, 1 << 20, &bytes, &e), 0);
	assert_non_null(memmem(bytes, (size_t)st.st_size, name, NAME_MAX));
	free(bytes);
}

static void says_what_is_not_there(void **state)
{
	char image[128];

	(void)state;
	if (geteuid())
		skip();
	assert_non_null(strstr(pack("nothing", image), "mkfs.erofs failed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_long_names),
		cmocka_unit_test(says_what_is_not_there),
	};

	return cmocka_run_group_tests_name("rootfs", tests, make_dir,
					   remove_dir);
}
