/*
 * Giving up privileges. The order is forced: the bounding set needs
 * CAP_SETPCAP, groups need CAP_SETGID, and the user goes last because with
 * root goes everything. uid 0 is possible (--allow-root), and then it is the
 * empty bounding set that makes execve() give root nothing back
 * (capabilities(7)).
 */
#include "jailer/caps.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int drop_bounding(struct err *e)
{
	unsigned long cap = 0;

	while (!prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
		cap++;
	/* EINVAL: behind the last capability that the kernel knows. */
	if (errno != EINVAL || !cap)
		return err_errno(e, "dropping capability %lu", cap);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return err_errno(e, "clearing ambient capabilities");
	return 0;
}

static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	const struct __user_cap_data_struct none[2] = {{0}};

	if (syscall(SYS_capset, &header, none))
		return err_errno(e, "dropping all capabilities");
	return 0;
}

static int check_ids(uid_t uid, gid_t gid, bool has_groups, struct err *e)
{
	uid_t r, f, s;
	gid_t rg, fg, sg;

	if (getresuid(&r, &f, &s) || getresgid(&rg, &fg, &sg))
		return err_errno(e, "reading uid and gid");
	if (r != uid || f != uid || s != uid || rg != gid || fg != gid ||
	    sg != gid || (!has_groups && getgroups(0, NULL) != 0))
		return err_set(e, -EPERM,
			       "this process is still not only uid %u, gid %u",
			       uid, gid);
	return 0;
}

int caps_become(uid_t uid, gid_t gid, struct err *e)
{
	int rc = drop_bounding(e);

	if (rc)
		return rc;
	if (setgroups(0, NULL))
		return err_errno(e, "leaving all groups");
	if (setresgid(gid, gid, gid))
		return err_errno(e, "becoming gid %u", gid);
	if (setresuid(uid, uid, uid))
		return err_errno(e, "becoming uid %u", uid);
	return check_ids(uid, gid, false, e);
}

int caps_drop(uid_t uid, gid_t gid, bool is_user, struct err *e)
{
	int rc = is_user ? drop_bounding(e) : caps_become(uid, gid, e);

	if (!rc)
		rc = drop_capabilities(e);
	if (!rc && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = err_errno(e, "setting no_new_privs");
	return rc ? rc : check_ids(uid, gid, is_user, e);
}
