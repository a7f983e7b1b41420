/* Device nodes by mounts: open_tree() outside, move_mount() inside. */
#include "jailer/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static const struct {
	const char *dir; /* in the jail */
	const char *name;
	const char *host;
} devices[BIND_MAX] = {
	{"/dev", "kvm", "/dev/kvm"},
	{"/dev/net", "tun", "/dev/net/tun"},
	{"/dev", "urandom", "/dev/urandom"},
	{"/dev", "userfaultfd", "/dev/userfaultfd"},
};

int bind_take(struct bind *b, bool is_minimal, struct err *e)
{
	const unsigned count = is_minimal ? 2 : BIND_MAX;
	unsigned i;

	for (i = 0; i < count; i++) {
		if (faccessat(AT_FDCWD, devices[i].host, R_OK | W_OK,
			      AT_EACCESS)) {
			if (i)
				continue;
			return err_errno(e,
					 "uid %u may not use /dev/kvm; let it "
					 "(setfacl -m u:%u:rw /dev/kvm), or "
					 "pass it with --pass-fds",
					 geteuid(), geteuid());
		}
		b->trees[i] = (int)syscall(SYS_open_tree, AT_FDCWD,
					   devices[i].host,
					   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (b->trees[i] < 0)
			return err_errno(e, "cloning %s", devices[i].host);
	}
	return 0;
}

int bind_attach(struct bind *b, struct path_made *made, struct err *e)
{
	unsigned i;

	for (i = 0; i < BIND_MAX; i++) {
		CLEAN_FD int dir = -1;
		CLEAN_FD int fd = -1;

		if (b->trees[i] <= 0)
			continue;
		dir = path_open(AT_FDCWD, devices[i].dir,
				O_RDONLY | O_DIRECTORY, e);
		if (dir < 0)
			return dir;
		fd = path_make_file(made, dir, devices[i].name, 0600, e);
		if (fd < 0)
			return err_context(e, "in %s", devices[i].dir);
		if (syscall(SYS_move_mount, b->trees[i], "", fd, "",
			    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
			return err_errno(e, "mounting %s", devices[i].host);
		fd_close(&b->trees[i]);
	}
	return 0;
}
