/*
 * The wall around umoci and the other tools, from inside. What the kernel does
 * not have can't be tested, and is skipped by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/image/wall.h"

struct place {
	char outer[40];	 /* a folder */
	char inner[192]; /* one in it: the import's */
	int fd;
};

static int setup(void **state)
{
	static struct place place;
	static char outer[] = "/tmp/mayfly-wall.XXXXXX";
	struct place *p = &place;
	char path[256];
	int fd;

	memcpy(outer + sizeof(outer) - 7, "XXXXXX", 6);
	if (!mkdtemp(outer))
		return -1;
	memcpy(p->outer, outer, sizeof(outer));
	snprintf(p->inner, sizeof(p->inner), "%s/inner", outer);
	snprintf(path, sizeof(path), "%s/file", p->outer);
	fd = open(path, O_WRONLY | O_CREAT, 0666);
	if (fd < 0 || close(fd) || mkdir(p->inner, 0777))
		return -1;
	p->fd = open(p->inner, O_RDONLY | O_DIRECTORY);
	*state = p;
	return p->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[80];
	int r;

	close(p->fd);
	snprintf(command, sizeof(command), "rm -rf %s", p->outer);
	r = system(command);
	return r;
}

/* What body returns, behind the wall: a positive errno or 0. */
static int behind(struct place *p, unsigned kinds, int (*body)(struct place *))
{
	int status = 0;
	const pid_t pid = fork();

	if (pid == 0)
		_exit(image_wall_enter(kinds, p->fd) ? 255 : body(p));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 255);
	return WEXITSTATUS(status);
}

static int result(int r)
{
	return r < 0 ? errno : 0;
}

static int write_inside(struct place *p)
{
	const int fd = openat(p->fd, "new", O_WRONLY | O_CREAT, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 0))
		return errno;
	if (mkdirat(p->fd, "folder", 0700))
		return errno;
	return result(renameat(p->fd, "new", p->fd, "folder/moved"));
}

static int make_outside(struct place *p)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/new", p->outer);
	return result(open(path, O_WRONLY | O_CREAT, 0600));
}

static int write_outside(struct place *p)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/file", p->outer);
	return result(open(path, O_WRONLY));
}

static int remove_outside(struct place *p)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/file", p->outer);
	return result(unlink(path));
}

static int truncate_outside(struct place *p)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/file", p->outer);
	return result(truncate(path, 10));
}

static int link_outside(struct place *p)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/linked", p->outer);
	if (symlinkat(p->outer, p->fd, "way-out"))
		return errno;
	if (openat(p->fd, "way-out/new", O_WRONLY | O_CREAT, 0600) >= 0)
		return 0;
	return result(symlink("x", path));
}

static int read_outside(struct place *p)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/file", p->outer);
	return result(open(path, O_RDONLY));
}

static int make_node(struct place *p)
{
	return result(mknodat(p->fd, "null", S_IFCHR | 0666, makedev(1, 3)));
}

static int set_host_name(struct place *p)
{
	(void)p;
	return result(sethostname("mayfly-wall", 11));
}

static int own_files(struct place *p)
{
	struct stat st;

	if (mkdirat(p->fd, "owned", 0700) ||
	    fchownat(p->fd, "owned", 33, 34, 0) ||
	    fstatat(p->fd, "owned", &st, 0))
		return errno;
	return st.st_uid == 33 && st.st_gid == 34 ? 0 : 254;
}

static void the_folder_is_the_only_place_to_write(void **state)
{
	struct place *p = *state;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0,
		    LANDLOCK_CREATE_RULESET_VERSION) < 3)
		skip();
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, write_inside), 0);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, read_outside), 0);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, make_outside), EACCES);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, write_outside), EACCES);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, truncate_outside),
			 EACCES);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, link_outside), EACCES);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, remove_outside), EACCES);
	assert_int_equal(behind(p, IMAGE_WALL_WRITES, make_node), EACCES);
	/* The proof that it is the wall that said so. */
	assert_int_equal(make_outside(p), 0);
}

static int try_namespace(struct place *p)
{
	(void)p;
	return result(unshare(CLONE_NEWUSER));
}

static void root_behind_it_is_root_of_nothing_else(void **state)
{
	struct place *p = *state;

	if (geteuid() || behind(p, 0, try_namespace))
		skip();
	assert_int_equal(behind(p, IMAGE_WALL_USER, own_files), 0);
	assert_int_equal(behind(p, IMAGE_WALL_USER, make_node), EPERM);
	assert_int_equal(behind(p, IMAGE_WALL_USER, set_host_name), EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_folder_is_the_only_place_to_write, setup, teardown),
		cmocka_unit_test_setup_teardown(
			root_behind_it_is_root_of_nothing_else, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
