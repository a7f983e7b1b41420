/*
 * What the jail is made of. Everything belongs to root until the end of each
 * function, and is given away by descriptor: never by a name that its new
 * owner could already have pointed elsewhere.
 */
#include "jailer/root.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "jailer/mounts.h"
#include "jailer/userns.h"
#include "vmm/arch/host/host.h"
#include "vmm/base/fd.h"

/*
 * In the jail there is no interpreter, and execve() would call a program that
 * wants one "No such file or directory". The file may be anything, so each
 * header is copied and the count of them is 16 bits wide.
 */
static int check_static(int fd, const char *path, struct err *e)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	uint64_t at;
	unsigned i;

	if (fd_pread(fd, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_machine != HOST_ELF_MACHINE ||
	    header.e_phentsize != sizeof(segment))
		return err_set(e, -ENOEXEC,
			       "%.256s: not a 64-bit ELF program for this "
			       "machine",
			       path);
	at = header.e_phoff;
	for (i = 0; i < header.e_phnum; i++, at += sizeof(segment)) {
		if (at > INT64_MAX - sizeof(segment) ||
		    fd_pread(fd, &segment, sizeof(segment), at))
			return err_set(e, -ENOEXEC,
				       "%.256s: ELF program headers lie "
				       "outside of the file",
				       path);
		if (segment.p_type == PT_INTERP)
			return err_set(e, -ENOEXEC,
				       "%.256s: needs shared libraries, and "
				       "the jail has none; link it statically",
				       path);
	}
	return 0;
}

int root_find_program(const char *path, char found[PATH_MAX], struct err *e)
{
	if (!realpath(path, found))
		return err_errno(e, "%.256s", path);
	return 0;
}

int root_open_program(const char *path, struct err *e)
{
	CLEAN_FD int fd = -1;
	struct stat st;
	int rc;

	/* A FIFO or a device must not keep us waiting to learn what it is. */
	fd = path_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return err_errno(e, "%.256s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "%.256s: not a regular file; --exec-file needs "
			       "the monitor's program",
			       path);
	if (!(st.st_mode & 0111))
		return err_set(e, -EACCES,
			       "%.256s: not executable; chmod +x it", path);
	rc = check_static(fd, path, e);
	return rc ? rc : fd_steal(&fd);
}

/*
 * In a base that everybody may write to, somebody could have been there first
 * and could go on changing the jail.
 */
static int check_owner(int fd, const char *name, uid_t uid, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_errno(e, "%.128s", name);
	if (st.st_uid != 0 && st.st_uid != uid)
		return err_set(e, -EPERM,
			       "%.128s: belongs to uid %u, neither to root nor "
			       "to the jail's user; remove it",
			       name, st.st_uid);
	return 0;
}

/* A file system that knows no devices or programs makes a useless jail. */
static int check_mount(int fd, const char *base, unsigned holds, struct err *e)
{
	const unsigned long unfit = (holds & ROOT_NODES ? ST_NODEV : 0) |
				    (holds & ROOT_PROGRAM ? ST_NOEXEC : 0);
	struct statvfs vfs;

	if (fstatvfs(fd, &vfs))
		return err_errno(e, "%.256s", base);
	vfs.f_flag &= unfit;
	if (vfs.f_flag)
		return err_set(e, -EPERM,
			       "%.256s: is on a file system mounted %s; give "
			       "another --chroot-base-dir",
			       base,
			       vfs.f_flag & ST_NOEXEC ? "noexec" : "nodev");
	return 0;
}

int root_make(struct path_made *made, const char *base, const char *program,
	      const char *id, uid_t uid, unsigned holds, struct err *e)
{
	const char *names[] = {program, id, "root"};
	CLEAN_FD int dir = path_make_dirs(made, base, e);
	unsigned i;
	int fd, rc;

	if (dir < 0)
		return dir;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fd = path_make_dir(made, dir, names[i], e);
		if (fd < 0)
			return err_context(e, "below %.128s", base);
		fd_close(&dir);
		dir = fd;
		rc = check_owner(dir, names[i], uid, e);
		if (rc)
			return rc;
	}
	rc = check_mount(dir, base, holds, e);
	return rc ? rc : fd_steal(&dir);
}

/*
 * Copies up to len bytes. File systems that can share extents do, so that
 * nothing is written; but the page cache, through which one jail could time
 * another's, is never shared.
 */
static ssize_t copy_some(int to, int from, off_t *at, size_t len)
{
	ssize_t n = copy_file_range(from, at, to, NULL, len, 0);

	/* Between two file systems, or where the kernel can't copy a kind. */
	return n < 0 && errno != EINTR ? sendfile(to, from, at, len) : n;
}

static int copy_program(int fd, int program_fd, const char *name, struct err *e)
{
	struct stat st;
	off_t at = 0;
	ssize_t n;

	if (fstat(program_fd, &st))
		return err_errno(e, "%.128s", name);
	while (at < st.st_size) {
		n = copy_some(fd, program_fd, &at, (size_t)(st.st_size - at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "copying %.128s", name);
		if (n == 0)
			return err_set(e, -EIO,
				       "%.128s became shorter while it was "
				       "copied; start again",
				       name);
	}
	return 0;
}

int root_copy_program(struct path_made *made, int root_fd, int program_fd,
		      const char *name, uid_t uid, gid_t gid, struct err *e)
{
	CLEAN_FD int fd = path_make_file(made, root_fd, name, 0500, e);
	int rc = fd < 0 ? fd : copy_program(fd, program_fd, name, e);

	if (!rc && (fchown(fd, uid, gid) || fchmod(fd, 0500)))
		rc = err_errno(e, "owner of %.128s", name);
	return rc;
}

/* Linux before 6.3 knows no MFD_EXEC and has them all executable. */
static int make_memory(const char *name)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	const unsigned mfd_exec = 0x10;
	int fd = memfd_create(name, flags | mfd_exec);

	return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}

int root_load_program(int program_fd, const char *name, struct err *e)
{
	static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
				 F_SEAL_WRITE;
	CLEAN_FD int fd = make_memory(name);
	int rc;

	if (fd < 0)
		return err_errno(e,
				 "a memory file for %.128s (sysctl "
				 "vm.memfd_noexec has to be below 2)",
				 name);
	rc = copy_program(fd, program_fd, name, e);
	if (!rc && (fchmod(fd, 0555) || fcntl(fd, F_ADD_SEALS, seals)))
		rc = err_errno(e, "sealing %.128s", name);
	return rc ? rc : fd_steal(&fd);
}

int root_userfaultfd(void)
{
	FILE *misc = fopen("/proc/misc", "re");
	char line[128], name[64];
	int found = -1, number;

	if (!misc)
		return -1;
	while (found < 0 && fgets(line, sizeof(line), misc))
		if (sscanf(line, "%d %63s", &number, name) == 2 &&
		    !strcmp(name, "userfaultfd"))
			found = number;
	fclose(misc);
	return found;
}

static int clone_tree(int fd, const char *path, struct err *e)
{
	int tree = (int)syscall(SYS_open_tree, fd, path,
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
					AT_EMPTY_PATH | AT_RECURSIVE);

	return tree < 0 ? err_errno(e, "cloning the jail's mount") : tree;
}

int root_unshare(int root_fd, struct err *e)
{
	CLEAN_FD int tree = clone_tree(root_fd, "", e);

	if (tree < 0)
		return tree;
	(void)mounts_leave();
	if (unshare(CLONE_NEWNS))
		return err_errno(e, "making a mount namespace");
	return fd_steal(&tree);
}

int root_unshare_user(int root_fd, int proc_fd, uid_t uid, gid_t gid,
		      struct err *e)
{
	int rc;

	if (fchdir(root_fd))
		return err_errno(e, "entering the jail's directory");
	rc = userns_enter(proc_fd, CLONE_NEWNS, uid, gid, e);
	return rc ? rc : clone_tree(AT_FDCWD, ".", e);
}

/*
 * The jail's directory becomes a mount, and that the root of all. By
 * descriptor throughout: pivot_root(".", ".") stacks the old root on top of the
 * new one, from where it is detached. Slave comes first: what happens to mounts
 * in here must not be seen by the host.
 */
int root_enter(int tree, struct err *e)
{
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
		return err_errno(e, "cutting mounts off from the host's");
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, "/",
		    MOVE_MOUNT_F_EMPTY_PATH))
		return err_errno(e, "mounting the jail's directory");
	/* From here on the directory is busy until the namespace lets go. */
	if (fchdir(tree) || syscall(SYS_pivot_root, ".", ".")) {
		int rc = err_errno(e, "pivot_root");

		umount2(".", MNT_DETACH);
		return rc;
	}
	if (umount2(".", MNT_DETACH))
		return err_errno(e, "detaching the host's files");
	if (chdir("/"))
		return err_errno(e, "entering the jail");
	return 0;
}

static int give_dir(int fd, const char *path, uid_t uid, gid_t gid,
		    struct err *e)
{
	if (fchmod(fd, 0700) || fchown(fd, uid, gid))
		return err_errno(e, "owner of %s", path);
	return 0;
}

/* The inner one first: what belongs to the user may change. */
static int make_dev(struct path_made *made, int root, uid_t uid, gid_t gid,
		    struct err *e)
{
	CLEAN_FD int dev = path_make_dir(made, root, "dev", e);
	CLEAN_FD int net = -1;
	int rc;

	if (dev < 0)
		return dev;
	net = path_make_dir(made, dev, "net", e);
	if (net < 0)
		return net;
	rc = give_dir(net, "/dev/net", uid, gid, e);
	return rc ? rc : give_dir(dev, "/dev", uid, gid, e);
}

int root_make_dirs(struct path_made *made, bool has_dev, uid_t uid, gid_t gid,
		   struct err *e)
{
	CLEAN_FD int root = -1;
	CLEAN_FD int run = -1;
	int rc;

	root = path_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, e);
	if (root < 0)
		return root;
	run = path_make_dir(made, root, "run", e);
	if (run < 0)
		return run;
	rc = has_dev ? make_dev(made, root, uid, gid, e) : 0;
	if (!rc)
		rc = give_dir(run, "/run", uid, gid, e);
	return rc ? rc : give_dir(root, "/", uid, gid, e);
}

static int make_device(struct path_made *made, const char *dir,
		       const char *name, dev_t device, uid_t uid, gid_t gid,
		       struct err *e)
{
	CLEAN_FD int dir_fd = -1;
	CLEAN_FD int fd = -1;

	dir_fd = path_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, e);
	if (dir_fd < 0)
		return dir_fd;
	fd = path_make_node(made, dir_fd, name, device, e);
	if (fd < 0)
		return err_context(e, "in %s", dir);
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH))
		return err_errno(e, "owner of %s/%s", dir, name);
	return 0;
}

int root_make_devices(struct path_made *made, bool is_minimal, int userfaultfd,
		      uid_t uid, gid_t gid, struct err *e)
{
	/* Documentation/admin-guide/devices.txt: misc is 10, memory is 1. */
	const struct {
		const char *dir;
		const char *name;
		unsigned major;
		unsigned minor;
	} devices[] = {
		{"/dev/net", "tun", 10, 200},
		{"/dev", "kvm", 10, 232},
		{"/dev", "urandom", 1, 9},
		{"/dev", "userfaultfd", 10, (unsigned)userfaultfd},
	};
	const unsigned all = userfaultfd < 0 ? 3 : 4;
	const unsigned count = is_minimal ? 2 : all;
	unsigned i;
	int rc = 0;

	for (i = 0; i < count && !rc; i++)
		rc = make_device(made, devices[i].dir, devices[i].name,
				 makedev(devices[i].major, devices[i].minor),
				 uid, gid, e);
	return rc;
}

int root_write_pid(struct path_made *made, const char *program, pid_t pid,
		   struct err *e)
{
	CLEAN_FD int root = -1;
	CLEAN_FD int fd = -1;
	char name[256], text[16];
	int rc;

	snprintf(name, sizeof(name), "%s.pid", program);
	snprintf(text, sizeof(text), "%d", pid);
	root = path_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, e);
	if (root < 0)
		return root;
	fd = path_make_file(made, root, name, 0644, e);
	if (fd < 0)
		return fd;
	rc = fd_pwrite(fd, text, strlen(text), 0);
	if (rc)
		return err_set(e, rc, "writing %.128s: %s", name,
			       strerror(-rc));
	return 0;
}
