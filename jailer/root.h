#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "jailer/path.h"
#include "vmm/base/err.h"

/*
 * The jail's root directory: BASE/PROGRAM/ID/root with a copy of the monitor,
 * its devices, and nothing else. The monitor is a static program, so it needs
 * no libraries. All of it runs as root.
 */

/* What path is in the end, links followed. A negative errno with a sentence. */
int root_find_program(const char *path, char found[PATH_MAX], struct err *e);

/* What the file system below it must be good for. */
enum root_holds { ROOT_NODES = 1, ROOT_PROGRAM = 2 };

/*
 * Opens the program that will be copied and checks what would only show once
 * it's too late to say so: that it is a regular file, executable, and static.
 * Returns an fd or a negative errno.
 */
int root_open_program(const char *path, struct err *e);

/*
 * Makes (or enters, where they exist) base, program, id and `root`. uid is who
 * may own them besides root; holds is of enum root_holds. Returns an fd of the
 * last, or a negative errno.
 */
int root_make(struct path_made *made, const char *base, const char *program,
	      const char *id, uid_t uid, unsigned holds, struct err *e);

/* Copies the program behind program_fd into the jail, for owner and group. */
int root_copy_program(struct path_made *made, int root_fd, int program_fd,
		      const char *name, uid_t uid, gid_t gid, struct err *e);

/*
 * Copies it into a sealed memory file instead, which leaves nothing in the jail
 * that could be executed. Returns an fd, which closes on exec, or a negative
 * errno.
 */
int root_load_program(int program_fd, const char *name, struct err *e);

/*
 * The minor number of the host's userfaultfd device, or -1 where it has none.
 * Reads /proc, so call it before root_enter().
 */
int root_userfaultfd(void);

/*
 * Makes a mount namespace, and returns an fd of the jail's directory as a mount
 * that can be moved in there, or a negative errno. What was mounted in the
 * jail's directory stays there. The namespace ends with the process, so nothing
 * is left on the host.
 */
int root_unshare(int root_fd, struct err *e);

/* The same by a user, uid and gid, who gets a user namespace as well. */
int root_unshare_user(int root_fd, int proc_fd, uid_t uid, gid_t gid,
		      struct err *e);

/* Makes that mount the only file system of this process's namespace. */
int root_enter(int tree, struct err *e);

/*
 * Gives /, /run and, where has_dev, /dev and /dev/net to uid and gid, mode
 * 0700. In the jail.
 */
int root_make_dirs(struct path_made *made, bool has_dev, uid_t uid, gid_t gid,
		   struct err *e);

/*
 * Makes /dev/net/tun, /dev/kvm and, unless is_minimal, /dev/urandom and, unless
 * userfaultfd is -1, /dev/userfaultfd with that minor number, for uid and gid.
 * In the jail.
 */
int root_make_devices(struct path_made *made, bool is_minimal, int userfaultfd,
		      uid_t uid, gid_t gid, struct err *e);

/* Writes pid into /PROGRAM.pid. In the jail. */
int root_write_pid(struct path_made *made, const char *program, pid_t pid,
		   struct err *e);
