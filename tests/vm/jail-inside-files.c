/* Attempts at the host's files, mounts and processes. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/vm/jail-inside.h"

static int opens(const char *path)
{
	return done(open(path, O_RDONLY));
}

/* ---- files ----------------------------------------------------------------
 */

static int host_file(void)
{
	return opens("/etc/passwd");
}
static int dots(void)
{
	return opens("../../../../../../etc/passwd");
}
static int proc_root(void)
{
	return opens("/proc/1/root/etc/passwd");
}
static int proc_self(void)
{
	return opens("/proc/self/environ");
}
static int sys_files(void)
{
	return opens("/sys/kernel");
}
static int shared_memory(void)
{
	return opens("/dev/shm");
}
static int host_disk(void)
{
	return opens("/dev/vda");
}

static int walk_up(void)
{
	int i;

	for (i = 0; i < 64; i++)
		if (chdir(".."))
			return errno;
	return opens("etc/passwd");
}

static int leaked_fd(void)
{
	struct stat st;
	int fd;

	for (fd = 3; fd < 4096; fd++)
		if (!fstat(fd, &st))
			return 0;
	return EBADF;
}

/* Out of a root that chroot() made the next chroot() is a way. */
static int chroot_twice(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	if (chroot("/run") || fchdir(fd))
		return errno;
	return walk_up();
}

static int file_handle(void)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[128];
	} h = {.handle.handle_bytes = 128};
	int id, fd = open("/", O_RDONLY | O_DIRECTORY);

	if (name_to_handle_at(AT_FDCWD, "/", &h.handle, &id, 0))
		return errno;
	return done(open_by_handle_at(fd, &h.handle, O_RDONLY));
}

static int make_node(const char *path, mode_t mode, dev_t device)
{
	int rc = done(mknod(path, mode | 0600, device));

	unlink(path);
	return rc;
}
static int block_device(void)
{
	return make_node("run/b", S_IFBLK, makedev(254, 0));
}
static int char_device(void)
{
	return make_node("run/c", S_IFCHR, makedev(1, 1));
}
static int make_fifo(void)
{
	return make_node("run/f", S_IFIFO, 0);
}

static int make_symlink(void)
{
	int rc = done(symlink("/etc/passwd", "run/link"));

	unlink("run/link");
	return rc;
}

static int make_directory(void)
{
	int rc = done(mkdir("run/dir", 0700));

	rmdir("run/dir");
	return rc;
}

/* Between directories, for which the link's target counts as well. */
static int move_file(void)
{
	int rc;

	close(open("run/a", O_CREAT | O_WRONLY, 0600));
	rc = done(rename("run/a", "a"));
	unlink("run/a");
	unlink("a");
	return rc;
}

static int copy_to(int to)
{
	static char bytes[65536];
	int from = open(outside.self, O_RDONLY);
	ssize_t n;

	if (from < 0 || to < 0)
		return errno;
	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)n) != n)
			return errno;
	close(from);
	return 0;
}

/* exec succeeds by ending with status 0: main() sees "nothing". */
static int run_file(void)
{
	char *argv[] = {"x", "nothing", NULL}, *none[] = {NULL};
	int fd = open("run/x", O_CREAT | O_WRONLY | O_TRUNC, 0700);
	int rc = copy_to(fd);

	close(fd);
	if (rc)
		return rc;
	execve("run/x", argv, none);
	return errno;
}

static int run_memory(void)
{
	char *argv[] = {"x", "nothing", NULL}, *none[] = {NULL};
	int fd = memfd_create("x", MFD_CLOEXEC);
	int rc = copy_to(fd);

	if (rc)
		return rc;
	syscall(SYS_execveat, fd, "", argv, none, AT_EMPTY_PATH);
	return errno;
}

static int change_program(void)
{
	return done(open(outside.self, O_WRONLY));
}

/* ---- mounts ----------------------------------------------------------------
 */

static int mount_tmpfs(void)
{
	return done(mount("x", "/run", "tmpfs", 0, NULL));
}
static int mount_proc(void)
{
	return done(mount("x", "/run", "proc", 0, NULL));
}
static int mount_bind(void)
{
	return done(mount("/", "/run", NULL, MS_BIND, NULL));
}
static int remount(void)
{
	return done(mount(NULL, "/run", NULL, MS_REMOUNT | MS_BIND, NULL));
}
static int unmount(void)
{
	return done(umount2("/run", MNT_DETACH));
}
static int pivot(void)
{
	return unless_einval(syscall(SYS_pivot_root, "/run", "/none"));
}
static int open_tree_clone(void)
{
	return done(syscall(SYS_open_tree, AT_FDCWD, "/", 1));
}
static int fs_open(void)
{
	return done(syscall(SYS_fsopen, "tmpfs", 0));
}

/* ---- processes --------------------------------------------------------------
 */

static int send_signal(void)
{
	return done(kill(outside.process, SIGCONT));
}
static int see_process(void)
{
	return kill(outside.process, 0) && errno == ESRCH ? ESRCH : 0;
}
static int trace(void)
{
	int rc = done(ptrace(PTRACE_ATTACH, outside.process, 0, 0));

	if (!rc) {
		waitpid(outside.process, NULL, 0);
		ptrace(PTRACE_DETACH, outside.process, 0, 0);
	}
	return rc;
}

static int read_memory(void)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)outside.self, 1};

	/* A wrong address means that we would have been let. */
	if (process_vm_readv(outside.process, &here, 1, &there, 1, 0) >= 0 ||
	    errno == EFAULT)
		return 0;
	return errno;
}

static int share_memory(void)
{
	return shmat(outside.memory, NULL, 0) == (void *)-1 ? errno : 0;
}

static int take_fd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, outside.process, 0);

	return fd < 0 ? errno : done(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

const struct probe file_probes[] = {
	{"file:/etc/passwd", host_file},
	{"file:../../etc/passwd", dots},
	{"file:chdir-up", walk_up},
	{"file:/proc/1/root", proc_root},
	{"file:/proc", proc_self},
	{"file:/sys", sys_files},
	{"file:/dev/shm", shared_memory},
	{"file:/dev/vda", host_disk},
	{"file:leaked-fd", leaked_fd},
	{"file:chroot-twice", chroot_twice},
	{"file:handle", file_handle},
	{"make:block-device", block_device},
	{"make:char-device", char_device},
	{"make:fifo", make_fifo},
	{"make:symlink", make_symlink},
	{"make:directory", make_directory},
	{"make:move", move_file},
	{"exec:other-file", run_file},
	{"exec:memfd", run_memory},
	{"exec:change-program", change_program},
	{"mount:tmpfs", mount_tmpfs},
	{"mount:proc", mount_proc},
	{"mount:bind", mount_bind},
	{"mount:remount", remount},
	{"mount:umount", unmount},
	{"mount:pivot_root", pivot},
	{"mount:open_tree", open_tree_clone},
	{"mount:fsopen", fs_open},
	{"process:signal", send_signal},
	{"process:see", see_process},
	{"process:ptrace", trace},
	{"process:read-memory", read_memory},
	{"process:take-fd", take_fd},
	{"process:shared-memory", share_memory},
	{NULL, NULL},
};
