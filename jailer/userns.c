/*
 * user_namespaces(7): a process may map its own uid and gid without any
 * privilege, the gid only once setgroups() is denied.
 */
#include "jailer/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static int write_file(int proc_fd, const char *path, const char *text,
		      struct err *e)
{
	CLEAN_FD int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return err_errno(e, "writing '%s' into /proc/%s", text, path);
	return 0;
}

static int unshare_error(struct err *e)
{
	if (errno == EPERM || errno == EACCES)
		return err_errno(
			e, "this host lets users make no user namespaces "
			   "(sysctl kernel.unprivileged_userns_clone, "
			   "kernel.apparmor_restrict_unprivileged_userns)");
	if (errno == ENOSPC || errno == EUSERS)
		return err_errno(e, "no more user namespaces; see sysctl "
				    "user.max_user_namespaces");
	return err_errno(e, "making a user namespace");
}

int userns_enter(int proc_fd, int flags, uid_t uid, gid_t gid, struct err *e)
{
	char text[64];
	int rc;

	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC | flags))
		return unshare_error(e);
	rc = write_file(proc_fd, "self/setgroups", "deny", e);
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	if (!rc)
		rc = write_file(proc_fd, "self/uid_map", text, e);
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	if (!rc)
		rc = write_file(proc_fd, "self/gid_map", text, e);
	/*
	 * The way by which users get capabilities to attack the kernel with is
	 * a namespace below this one: there shall be none.
	 */
	if (!rc)
		rc = write_file(proc_fd, "sys/user/max_user_namespaces", "0",
				e);
	return rc;
}
