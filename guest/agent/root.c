/*
 * A container's tree: an overlay of the image and a directory of its own, and
 * then, once that is the root and nothing else can be reached, /proc, /sys,
 * /dev and volumes. The image may have symbolic links anywhere; they lead to
 * places in itself.
 */
#include "guest/agent/root.h"

#include "guest/agent/disk.h"
#include "guest/proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { FAILED = 125, PLACE = 512 };

void root_fini(struct root *root)
{
	for (size_t i = 0; i < root->mounts_len; i++) {
		free(root->mounts[i].serial);
		free(root->mounts[i].path);
	}
	root->mounts_len = 0;
}

/* ---- before the pivot -----------------------------------------------------
 */

static int file_put(int dir, const char *name, const char *text)
{
	const size_t len = strlen(text);
	int fd, rc = 0;

	/* What an earlier container left there is not followed. */
	if (unlinkat(dir, name, 0) && errno == EISDIR)
		return -EISDIR;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		rc = -EIO;
	close(fd);
	return rc;
}

/*
 * The files that docker puts into /etc, into the upper directory: one step less
 * for each than through the overlay. An image whose /etc is no directory keeps
 * what it has.
 */
static void etc_put(const struct spawn *sp, const struct root *root, int lower,
		    int up)
{
	char text[320];
	struct stat st;
	int etc;

	if (!fstatat(lower, "etc", &st, AT_SYMLINK_NOFOLLOW)) {
		if (!S_ISDIR(st.st_mode))
			return;
	} else {
		st = (struct stat){.st_mode = 0755};
	}
	if (!mkdirat(up, "etc", 0700) &&
	    (fchownat(up, "etc", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) ||
	     fchmodat(up, "etc", st.st_mode & 07777, 0)))
		spawn_fail(sp, FAILED, errno, "cannot make /etc");
	etc = openat(up, "etc",
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (etc < 0)
		return;
	snprintf(text, sizeof(text), "%s\n", sp->hostname);
	file_put(etc, "hostname", text);
	snprintf(text, sizeof(text),
		 "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost\n",
		 sp->hostname);
	file_put(etc, "hosts", text);
	if (root->resolv && *root->resolv)
		file_put(etc, "resolv.conf", root->resolv);
	close(etc);
}

static int place_make(const struct spawn *sp, const char *dir, const char *name)
{
	char path[PLACE];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (mkdir(path, 0755) && errno != EEXIST)
		spawn_fail(sp, FAILED, errno, "cannot make %s", path);
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		spawn_fail(sp, FAILED, errno, "cannot open %s", path);
	return fd;
}

/* The image at @lower, by its serial or, in tests, from a directory. */
static void lower_mount(const struct spawn *sp, const struct root *root,
			const char *lower)
{
	int fd, rc;

	if (root->tree) {
		if (mount(root->tree, lower, NULL, MS_BIND, NULL))
			spawn_fail(sp, FAILED, errno, "cannot mount %s",
				   root->tree);
		return;
	}
	fd = disk_mount(root->image, true);
	if (fd == -ENXIO)
		spawn_fail(sp, FAILED, ENXIO,
			   "there is no block device with the serial '%s'; add "
			   "a drive with this drive_id",
			   root->image);
	rc = fd < 0 ? fd : mount_attach(fd, AT_FDCWD, lower);
	if (rc < 0)
		spawn_fail(sp, FAILED, -rc,
			   "cannot mount the image on '%s'; it should be "
			   "EROFS, squashfs or ext4",
			   root->image);
	close(fd);
}

/* Leaves the overlay as the working directory. */
static void overlay_mount(const struct spawn *sp, const struct root *root)
{
	char dir[PLACE], lower[PLACE + 8], options[4 * PLACE];
	int fd, up, low;

	if (snprintf(dir, sizeof(dir), "%s/%s", root->base, root->id) >=
	    PLACE - 16)
		spawn_fail(sp, FAILED, ENAMETOOLONG, "the path is too long");
	if (mkdir(dir, 0700) && errno != EEXIST)
		spawn_fail(sp, FAILED, errno, "cannot make %s", dir);
	close(place_make(sp, dir, "lower"));
	close(place_make(sp, dir, "work"));
	close(place_make(sp, dir, "root"));
	up = place_make(sp, dir, "up");
	snprintf(lower, sizeof(lower), "%s/lower", dir);
	lower_mount(sp, root, lower);
	low = open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (low < 0)
		spawn_fail(sp, FAILED, errno, "cannot open the image's root");
	etc_put(sp, root, low, up);
	close(low);
	close(up);
	snprintf(options, sizeof(options),
		 "lowerdir=%s/lower,upperdir=%s/up,workdir=%s/work", dir, dir,
		 dir);
	snprintf(lower, sizeof(lower), "%s/root", dir);
	if (mount("overlay", lower, "overlay", 0, options))
		spawn_fail(sp, FAILED, errno, "cannot mount the overlay");
	fd = open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchdir(fd))
		spawn_fail(sp, FAILED, errno, "cannot enter the overlay");
	close(fd);
}

/* Volumes, opened while their devices can be seen. */
static void volumes_open(const struct spawn *sp, const struct root *root,
			 int fds[static ROOT_MOUNTS])
{
	for (size_t i = 0; i < root->mounts_len; i++) {
		const struct root_mount *m = &root->mounts[i];
		const bool ro = m->flags & PROTO_MOUNT_READ_ONLY;
		char size[40];

		snprintf(size, sizeof(size), "size=%llu",
			 (unsigned long long)m->tmp_bytes);
		fds[i] = *m->serial ? disk_mount(m->serial, ro)
				    : mount_detached("tmpfs", NULL,
						     m->tmp_bytes ? size : NULL,
						     ro);
		if (fds[i] < 0)
			spawn_fail(sp, FAILED, -fds[i],
				   "cannot mount '%s' for %.100s: %s",
				   m->serial, m->path, strerror(-fds[i]));
	}
}

/* ---- after it -------------------------------------------------------------
 */

/* mkdir -p; a symbolic link on the way is followed, in this root. */
static void path_make(const char *path)
{
	char copy[4096];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(copy, 0755);
		*p = '/';
	}
	mkdir(copy, 0755);
}

static void mount_at(const struct spawn *sp, const char *type, const char *path,
		     unsigned long flags, const char *options)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		spawn_fail(sp, FAILED, errno, "cannot make %s", path);
	if (mount(type, path, type, flags, options))
		spawn_fail(sp, FAILED, errno, "cannot mount %s", path);
}

static void device_make(const struct spawn *sp, const char *path,
			unsigned minor, unsigned major)
{
	if (mknod(path, S_IFCHR | 0666, makedev(major, minor)))
		spawn_fail(sp, FAILED, errno, "cannot make %s", path);
}

static void dev_make(const struct spawn *sp)
{
	static const char *const links[][2] = {
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
	};

	umask(0);
	mount_at(sp, "tmpfs", "/dev", MS_NOSUID, "mode=755,size=65536k");
	device_make(sp, "/dev/null", 3, 1);
	device_make(sp, "/dev/zero", 5, 1);
	device_make(sp, "/dev/full", 7, 1);
	device_make(sp, "/dev/random", 8, 1);
	device_make(sp, "/dev/urandom", 9, 1);
	device_make(sp, "/dev/tty", 0, 5);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i][0], links[i][1]))
			spawn_fail(sp, FAILED, errno, "cannot make %s",
				   links[i][1]);
	mount_at(sp, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
		 "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_at(sp, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		 "mode=1777");
	/* A kernel without POSIX message queues is as good. */
	mkdir("/dev/mqueue", 0755);
	mount("mqueue", "/dev/mqueue", "mqueue",
	      MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	umask(022);
}

/* What is not there needs no mask. */
static void mask(const struct spawn *sp)
{
	static const char *const hidden[] = {
		"/proc/acpi",	     "/proc/kcore",
		"/proc/keys",	     "/proc/latency_stats",
		"/proc/timer_list",  "/proc/timer_stats",
		"/proc/sched_debug", "/proc/scsi",
		"/sys/firmware",     "/sys/devices/virtual/powercap",
	};
	static const char *const fixed[] = {"/proc/bus", "/proc/fs",
					    "/proc/irq", "/proc/sys",
					    "/proc/sysrq-trigger"};
	struct stat st;

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		int rc = 0;

		if (lstat(hidden[i], &st))
			continue;
		if (S_ISDIR(st.st_mode))
			rc = mount("tmpfs", hidden[i], "tmpfs", MS_RDONLY,
				   "size=0");
		else
			rc = mount("/dev/null", hidden[i], NULL, MS_BIND, NULL);
		if (rc)
			spawn_fail(sp, FAILED, errno, "cannot hide %s",
				   hidden[i]);
	}
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (mount(fixed[i], fixed[i], NULL, MS_BIND | MS_REC, NULL)) {
			if (errno == ENOENT)
				continue;
			spawn_fail(sp, FAILED, errno, "cannot fix %s",
				   fixed[i]);
		}
		if (mount(NULL, fixed[i], NULL,
			  MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID |
				  MS_NODEV | MS_NOEXEC,
			  NULL))
			spawn_fail(sp, FAILED, errno, "cannot fix %s",
				   fixed[i]);
	}
}

static void volumes_attach(const struct spawn *sp, const struct root *root,
			   const int fds[static ROOT_MOUNTS])
{
	for (size_t i = 0; i < root->mounts_len; i++) {
		const char *path = root->mounts[i].path;
		int rc;

		path_make(path);
		rc = mount_attach(fds[i], AT_FDCWD, path);
		if (rc)
			spawn_fail(sp, FAILED, -rc, "cannot mount at %.150s",
				   path);
		close(fds[i]);
	}
}

static void loopback_up(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	ioctl(fd, SIOCSIFFLAGS, &r);
	close(fd);
}

void root_enter(const struct spawn *sp, const struct root *root)
{
	const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	const bool open = sp->flags & PROTO_UNMASKED;
	int fds[ROOT_MOUNTS];

	umask(022);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		spawn_fail(sp, FAILED, errno, "cannot take mounts apart");
	volumes_open(sp, root, fds);
	overlay_mount(sp, root);
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    chdir("/"))
		spawn_fail(sp, FAILED, errno, "cannot change the root");
	mount_at(sp, "proc", "/proc", safe, NULL);
	dev_make(sp);
	mount_at(sp, "sysfs", "/sys", safe | (open ? 0 : MS_RDONLY), NULL);
	volumes_attach(sp, root, fds);
	if (!open)
		mask(sp);
	if (sp->flags & PROTO_OWN_NETWORK)
		loopback_up();
	if (sethostname(sp->hostname, strlen(sp->hostname)))
		spawn_fail(sp, FAILED, errno, "cannot set the hostname");
	if (sp->flags & PROTO_READ_ONLY &&
	    mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
		spawn_fail(sp, FAILED, errno, "cannot make the root read-only");
}

/* ---- the end of it --------------------------------------------------------
 */

/* Empties the directory @fd, which is closed. Depth costs descriptors and
 * stack, so a tree of more than 400 levels stays: ELOOP. */
static int empty(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *e;
	int error = 0;

	if (!dir) {
		close(fd);
		return errno;
	}
	while (!error && (e = readdir(dir))) {
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(fd, e->d_name, 0))
			continue;
		if (!unlinkat(fd, e->d_name, AT_REMOVEDIR))
			continue;
		sub = openat(fd, e->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0) {
			error = errno;
			break;
		}
		if (depth >= 400) {
			close(sub);
			error = ELOOP;
			break;
		}
		error = empty(sub, depth + 1);
		if (!error && unlinkat(fd, e->d_name, AT_REMOVEDIR))
			error = errno;
	}
	closedir(dir);
	return error;
}

int root_remove(const char *base, const char *id)
{
	char path[PLACE];
	int fd, error;

	if (snprintf(path, sizeof(path), "%s/%s", base, id) >=
	    (int)sizeof(path))
		return ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	error = empty(fd, 0);
	if (!error && rmdir(path))
		error = errno;
	return error;
}
