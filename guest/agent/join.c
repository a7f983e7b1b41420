#include "guest/agent/join.h"

#include "guest/agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 125 };

/* -1 for nobody; false where there is somebody who does not run. */
static bool find(const struct container *all, const char *id, int *fd)
{
	*fd = -1;
	if (!*id)
		return true;
	while (all && strcmp(all->id, id) != 0)
		all = all->next;
	if (!all || !all->init || !all->init->is_started)
		return false;
	*fd = all->pidfd;
	return *fd >= 0;
}

const char *join_plan(const struct container *all, struct spawn *sp,
		      const struct walls *w)
{
	if (!find(all, w->ipc, &sp->ipc_fd))
		return w->ipc;
	if (!find(all, w->uts, &sp->uts_fd))
		return w->uts;
	return find(all, w->pid, &sp->pid_fd) ? NULL : w->pid;
}

static void join(const struct spawn *sp, int fd, int what, const char *name)
{
	if (fd >= 0 && setns(fd, what))
		spawn_fail(sp, FAILED, errno,
			   "cannot share the %s namespace of another "
			   "container: %s",
			   name,
			   errno == ESRCH ? "it has ended" : strerror(errno));
}

void join_namespaces(const struct spawn *sp)
{
	join(sp, sp->ipc_fd, CLONE_NEWIPC, "IPC");
	join(sp, sp->uts_fd, CLONE_NEWUTS, "UTS");
}

/*
 * Only who is where a mount is can make another of it (open_tree(2)), so the
 * child goes there and comes back. What the other has at that path is its own
 * business, and all that is shared.
 */
int join_shm(const struct spawn *sp)
{
	const int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int fd;

	if (own < 0)
		spawn_fail(sp, FAILED, errno, "cannot open its own mounts");
	join(sp, sp->ipc_fd, CLONE_NEWNS, "mount");
	fd = mount_clone(AT_FDCWD, "/dev/shm",
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				 MOUNT_ATTR_NOEXEC);
	if (setns(own, CLONE_NEWNS))
		spawn_fail(sp, FAILED, errno, "cannot come back");
	close(own);
	if (fd < 0)
		spawn_fail(sp, FAILED, -fd,
			   "cannot share /dev/shm of another container: %s",
			   strerror(-fd));
	return fd;
}
