/*
 * A container's tree: an overlay of the image and a directory of its own, and
 * then, once that is the root and nothing else can be reached, /proc, /sys,
 * /dev and volumes. The image may have symbolic links anywhere; they lead to
 * places in itself.
 */
#include "guest/agent/root.h"

#include "guest/agent/disk.h"
#include "guest/agent/join.h"
#include "guest/agent/network.h"
#include "guest/agent/volume.h"
#include "guest/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAILED = 125, PLACE = 512 };

void root_fini(struct root *root)
{
	for (size_t i = 0; i < root->mounts_len; i++) {
		free(root->mounts[i].serial);
		free(root->mounts[i].path);
	}
	root->mounts_len = 0;
	free(root->hosts);
	root->hosts = NULL;
	if (root->walls)
		walls_fini(root->walls);
	free(root->walls);
	root->walls = NULL;
}

/* ---- before the pivot -----------------------------------------------------
 */

/* A new file, instead of what an earlier container left there, which is not
 * followed. */
static int file_make(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) && errno == EISDIR)
		return -EISDIR;
	return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
}

/* The name alone is for us; the name that has a domain is looked up first, so
 * that it is what `hostname -f` says. */
static void hosts_line(int fd, const char *address, const char *hostname)
{
	const int len = (int)strcspn(hostname, ".");

	if (hostname[len])
		dprintf(fd, "%s\t%s %.*s\n", address, hostname, len, hostname);
	else
		dprintf(fd, "%s\t%s\n", address, hostname);
}

static void hosts_put(int etc, const char *hostname, const struct root *root)
{
	const int fd = file_make(etc, "hosts");

	if (fd < 0)
		return;
	dprintf(fd, "127.0.0.1\tlocalhost\n"
		    "::1\tlocalhost ip6-localhost ip6-loopback\n");
	for (size_t i = 0; i < 2; i++)
		if (*root->addresses[i])
			hosts_line(fd, root->addresses[i], hostname);
	if (!*root->addresses[0] && !*root->addresses[1])
		hosts_line(fd, "127.0.0.1", hostname);
	for (char **line = root->hosts; line && *line; line++)
		dprintf(fd, "%s\n", *line);
	close(fd);
}

static void text_put(int dir, const char *name, const char *text)
{
	const int fd = file_make(dir, name);

	if (fd < 0)
		return;
	dprintf(fd, "%s", text);
	close(fd);
}

/* An empty one is there to be filled, at a first boot. */
static bool has_machine_id(int dir)
{
	struct stat st;

	return !fstatat(dir, "etc/machine-id", &st, AT_SYMLINK_NOFOLLOW) &&
	       (st.st_size || !S_ISREG(st.st_mode));
}

/* What has none is a machine of its own each time that it runs. */
static void machine_id_put(int etc)
{
	char text[36] = "";
	uint8_t id[16];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return;
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(text + 2 * i, 4, "%02x\n", id[i]);
	text_put(etc, "machine-id", text);
}

/* An image whose /etc is no directory keeps what it has. */
static bool etc_make(const struct spawn *sp, int lower, int up)
{
	struct stat st;

	if (!fstatat(lower, "etc", &st, AT_SYMLINK_NOFOLLOW)) {
		if (!S_ISDIR(st.st_mode))
			return false;
	} else {
		st = (struct stat){.st_mode = 0755};
	}
	if (!mkdirat(up, "etc", 0700) &&
	    (fchownat(up, "etc", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) ||
	     fchmodat(up, "etc", st.st_mode & 07777, 0)))
		spawn_fail(sp, FAILED, errno, "cannot make /etc");
	return true;
}

/*
 * The files that docker puts into /etc, which is in @dir. Into the upper
 * directory is one step less for each than through the overlay; what the image
 * has is in @image.
 */
static void etc_put(const struct spawn *sp, const struct root *root, int dir,
		    int image)
{
	const int etc = openat(dir, "etc",
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char text[80];

	if (etc < 0)
		return;
	snprintf(text, sizeof(text), "%s\n", sp->hostname);
	text_put(etc, "hostname", text);
	hosts_put(etc, sp->hostname, root);
	if (root->resolv && *root->resolv)
		text_put(etc, "resolv.conf", root->resolv);
	if (!has_machine_id(image))
		machine_id_put(etc);
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
	fd = disk_mount(root->image, MOUNT_ATTR_RDONLY);
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

/*
 * Leaves the overlay as the working directory. Where there is a name already
 * /etc has what depends on it.
 */
static void overlay_mount(const struct spawn *sp, const struct root *root,
			  char dir[static PLACE])
{
	char lower[PLACE + 8], options[4 * PLACE];
	int fd, up, low;

	if (snprintf(dir, PLACE, "%s/%s", root->base, root->id) >= PLACE - 16)
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
	if (etc_make(sp, low, up) && *sp->hostname)
		etc_put(sp, root, up, low);
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

/* ---- after it -------------------------------------------------------------
 */

static void mount_at(const struct spawn *sp, const char *type, const char *path,
		     unsigned long flags, const char *options)
{
	struct stat st;

	if (mkdir(path, 0755) && errno != EEXIST)
		spawn_fail(sp, FAILED, errno, "cannot make %s", path);
	/* By a link of the image's it would be elsewhere, and nothing masked.
	 */
	if (lstat(path, &st) || !S_ISDIR(st.st_mode))
		spawn_fail(sp, FAILED, ENOTDIR,
			   "%s of the image is no directory", path);
	if (mount(type, path, type, flags, options))
		spawn_fail(sp, FAILED, errno, "cannot mount %s", path);
}

/* Of a container that shares another's IPC namespace it is the other's. */
static void shm_mount(const struct spawn *sp, uint64_t bytes, int shared)
{
	char options[48] = "mode=1777";
	int rc;

	if (bytes)
		snprintf(options, sizeof(options), "mode=1777,size=%llu",
			 (unsigned long long)bytes);
	if (shared < 0) {
		mount_at(sp, "tmpfs", "/dev/shm",
			 MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
		return;
	}
	mkdir("/dev/shm", 0755);
	rc = mount_attach(shared, AT_FDCWD, "/dev/shm");
	if (rc)
		spawn_fail(sp, FAILED, -rc, "cannot share /dev/shm");
	close(shared);
}

static void dev_make(const struct spawn *sp, const struct root *root,
		     bool is_open, int shm)
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
	devices_make(sp, root->walls ? &root->walls->devices : NULL, is_open);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i][0], links[i][1]))
			spawn_fail(sp, FAILED, errno, "cannot make %s",
				   links[i][1]);
	mount_at(sp, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
		 "newinstance,ptmxmode=0666,mode=0620,gid=5");
	shm_mount(sp, root->shm_bytes, shm);
	/* A kernel without POSIX message queues is as good. */
	mkdir("/dev/mqueue", 0755);
	mount("mqueue", "/dev/mqueue", "mqueue",
	      MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	umask(022);
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

/* What is mounted from here on is nobody else's; leaves @dir. */
static void root_make(const struct spawn *sp, const struct root *root,
		      char dir[static PLACE])
{
	umask(022);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		spawn_fail(sp, FAILED, errno, "cannot take mounts apart");
	overlay_mount(sp, root, dir);
}

/* The overlay is the root, and has what a kernel has to say. */
static void root_move(const struct spawn *sp, const struct root *root, int shm)
{
	const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	const bool open = sp->flags & PROTO_UNMASKED;
	const bool is_sys_writable =
		open || (root->walls && root->walls->is_sys_writable);

	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    chdir("/"))
		spawn_fail(sp, FAILED, errno, "cannot change the root");
	mount_at(sp, "proc", "/proc", safe, NULL);
	dev_make(sp, root, open || sp->has_nodes, shm);
	mount_at(sp, "sysfs", "/sys", safe | (is_sys_writable ? 0 : MS_RDONLY),
		 NULL);
}

static void root_name(const struct spawn *sp)
{
	const bool open = sp->flags & PROTO_UNMASKED || sp->has_nodes;
	const unsigned long flags = sp->flags & PROTO_READ_ONLY ? MS_RDONLY : 0;

	if (sp->uts_fd < 0 && sethostname(sp->hostname, strlen(sp->hostname)))
		spawn_fail(sp, FAILED, errno, "cannot set the hostname");
	if ((flags || !open) &&
	    mount(NULL, "/", NULL,
		  MS_BIND | MS_REMOUNT | flags | (open ? 0 : MS_NODEV), NULL))
		spawn_fail(sp, FAILED, errno, "cannot fix the root");
}

void root_enter(const struct spawn *sp, const struct root *root)
{
	int fds[ROOT_MOUNTS];
	char dir[PLACE];
	int shm = -1;

	if (root->walls)
		devices_check(sp, &root->walls->devices);
	if (sp->ipc_fd >= 0)
		shm = join_shm(sp);
	root_make(sp, root, dir);
	volumes_open(sp, root, dir, fds);
	root_move(sp, root, shm);
	volumes_attach(sp, root, fds);
	if (sp->flags & PROTO_OWN_NETWORK) {
		loopback_up();
		network_permit();
	}
	/* First, for what is fixed is as the mount that it is on. */
	root_name(sp);
	if (!(sp->flags & PROTO_UNMASKED))
		walls_raise(sp, root->walls);
	walls_propagate(sp, root->walls);
}

void root_begin(const struct spawn *sp, const struct root *root)
{
	char dir[PLACE];

	root_make(sp, root, dir);
	root_move(sp, root, -1);
	walls_raise(sp, NULL);
}

void root_finish(const struct spawn *sp, const struct root *root)
{
	const int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fds[ROOT_MOUNTS];

	if (dir < 0)
		spawn_fail(sp, FAILED, errno, "cannot open the root");
	etc_put(sp, root, dir, dir);
	close(dir);
	volumes_open(sp, root, "/", fds);
	volumes_attach(sp, root, fds);
	root_name(sp);
}
