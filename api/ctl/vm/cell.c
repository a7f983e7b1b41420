#include "api/ctl/vm/cell.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "api/ctl/vm/cell_clone.h"
#include "vmm/base/fd.h"

enum { BACKLOG = 4096, JAILER_FILES = 2048 };

const char *cell_warning(int kind)
{
	switch (kind) {
	case CELL_NONE:
		return "--no-jail: a guest that takes its monitor over has all "
		       "that you have";
	case CELL_FILTERS:
		return "this host lets you make no user namespace (sysctl "
		       "kernel.unprivileged_userns_clone, "
		       "kernel.apparmor_restrict_unprivileged_userns, "
		       "user.max_user_namespaces): the monitor is held by "
		       "system call filters and Landlock alone";
	default:
		return NULL;
	}
}

int cell_choose(struct cell *c, bool is_wanted, const char *jailer,
		struct err *e)
{
	*c = (struct cell){
		.root_fd = -1,
		.claim.fd = -1,
		.cgroups.clone_fd = -1,
	};
	if (!is_wanted)
		return 0;
	if (geteuid() == 0)
		c->kind = CELL_UID;
	else
		c->kind = cell_clone_try() ? CELL_FILTERS : CELL_USERNS;
	if (c->kind != CELL_FILTERS && !*jailer)
		return err_set(e, -ENOENT,
			       "there is no mayfly-jailer beside mayctl nor "
			       "beside mayfly; install it, or use --no-jail");
	return c->kind == CELL_UID ? uids_claim(&c->claim, e) : 0;
}

/* ---- its place ---------------------------------------------------------- */

static int make_dir(int *at, const char *name, struct err *e)
{
	int fd;

	if (mkdirat(*at, name, 0700) && errno != EEXIST)
		return err_errno(e, "can't make %s", name);
	fd = openat(*at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "can't open %s", name);
	fd_close(at);
	*at = fd;
	return 0;
}

int cell_make(struct cell *c, const char *dir, const char *program,
	      const char *id, const struct cgroups_limits *limits,
	      struct err *e)
{
	const char *slash = strrchr(program, '/');
	const char *const names[] = {"jail", slash ? slash + 1 : program, id,
				     "root"};
	CLEAN_FD int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char real[PATH_MAX], group[96];
	unsigned i;
	int rc = 0;

	if (at < 0 || !realpath(dir, real))
		return err_errno(e, "can't open %s", dir);
	if (snprintf(c->base, sizeof(c->base), "%.120s/jail", real) >=
	    (int)sizeof(c->base))
		return err_set(e, -ENAMETOOLONG, "%s is too long", real);
	for (i = 0; i < 4 && !rc && c->kind != CELL_NONE; i++)
		rc = make_dir(&at, names[i], e);
	if (rc)
		return rc;
	c->root_fd = fd_steal(&at);
	if (c->kind == CELL_UID) {
		snprintf(group, sizeof(group), "%.64s.%u", id, c->claim.uid);
		cgroups_make(&c->cgroups, group, limits);
	}
	return 0;
}

/* The name of the only folder in one of ours: a monitor's program. */
static int find_program(int fd, char name[NAME_MAX + 1])
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	int rc = -ENOENT;

	if (!dir) {
		fd_close(&copy);
		return rc;
	}
	while (rc && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
		rc = 0;
	}
	closedir(dir);
	return rc;
}

int cell_open(const char *dir, int kind, const char *id, struct err *e)
{
	CLEAN_FD int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char program[NAME_MAX + 1] = "";
	const char *const names[] = {"jail", program, id, "root"};
	unsigned i;

	for (i = 0; i < 4 && at >= 0 && kind != CELL_NONE; i++) {
		int next;

		if (i == 1 && find_program(at, program))
			break;
		next = openat(at, names[i],
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		fd_close(&at);
		at = next;
	}
	if (at < 0 || (kind != CELL_NONE && i < 4))
		return err_errno(e, "can't open the jail in %s", dir);
	return fd_steal(&at);
}

int cell_listen_at(int dir_fd, const char *name, struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEAN_FD int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* A path of any length, and none that anybody else can turn. */
	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/proc/self/fd/%d/%s", dir_fd, name);
	/* Before there is a file: it gets the mode. */
	if (fd < 0 || fchmod(fd, 0660) ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, BACKLOG))
		return err_errno(e, "can't listen at %s", name);
	return fd_steal(&fd);
}

int cell_listen(const struct cell *c, const char *name, struct err *e)
{
	CLEAN_FD int fd = cell_listen_at(c->root_fd, name, e);

	if (fd < 0)
		return fd;
	/* The folder is ours until the jailer has it. */
	if (c->claim.uid && fchownat(c->root_fd, name, c->claim.uid,
				     c->claim.uid, AT_SYMLINK_NOFOLLOW))
		return err_errno(e, "can't give %s to the jail", name);
	return fd_steal(&fd);
}

void cell_close(struct cell *c)
{
	fd_close(&c->root_fd);
	fd_close(&c->claim.fd);
	cgroups_close(&c->cgroups);
}

void cell_remove(const char *dir, uid_t uid)
{
	CLEAN_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)tree_remove(fd, "jail", 0, NULL);
	if (uid)
		uids_release(uid, cgroups_remove);
}

void cell_sweep(void)
{
	if (geteuid() == 0)
		uids_sweep(cgroups_remove);
}

/* ---- its process -------------------------------------------------------- */

/* `3,4,7`, and numbers for the jailer. */
struct words {
	char fds[256];
	char uid[16];
	char gid[16];
	char limit[24];
	const char *argv[64];
	unsigned count;
};

static void put(struct words *w, const char *word)
{
	if (w->count + 1 < sizeof(w->argv) / sizeof(w->argv[0]))
		w->argv[w->count++] = word;
}

/* A user whose limit is below the jailer's keeps it. */
static void put_limit(struct words *w)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max >= JAILER_FILES)
		return;
	snprintf(w->limit, sizeof(w->limit), "no-file=%u",
		 (unsigned)limit.rlim_max);
	put(w, "--resource-limit");
	put(w, w->limit);
}

static void put_jailer(struct words *w, const struct cell *c,
		       const struct cell_monitor *m)
{
	const char *const own[] = {
		"mayfly-jailer", "--id",
		m->id,		 "--exec-file",
		m->program,	 "--uid",
		w->uid,		 "--gid",
		w->gid,		 "--chroot-base-dir",
		c->base,	 "--memory-exec",
		"--pass-fds",	 w->fds,
	};
	const uid_t uid = c->claim.uid;
	size_t len = 0;
	unsigned i;

	snprintf(w->uid, sizeof(w->uid), "%u", uid ? uid : geteuid());
	snprintf(w->gid, sizeof(w->gid), "%u", uid ? uid : getegid());
	for (i = 0; i < m->fd_count && len < sizeof(w->fds); i++)
		len += (size_t)snprintf(w->fds + len, sizeof(w->fds) - len,
					"%s%d", i ? "," : "", m->fds[i]);
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		put(w, own[i]);
	if (c->kind == CELL_USERNS) {
		put(w, "--userns");
		put_limit(w);
	}
	if (m->is_bound)
		put(w, "--die-with-parent");
	put(w, "--");
}

int cell_start(const struct cell *c, const struct cell_monitor *m, pid_t *pid,
	       struct err *e)
{
	const bool is_jailed = c->kind == CELL_UID || c->kind == CELL_USERNS;
	struct words w = {0};
	unsigned i;
	int rc;

	if (is_jailed) {
		put_jailer(&w, c, m);
	} else {
		put(&w, "mayfly");
		put(&w, "--id");
		put(&w, m->id);
	}
	for (i = 0; m->args[i]; i++)
		put(&w, m->args[i]);
	rc = cell_clone(c, m, is_jailed ? m->jailer : m->program, w.argv, pid);
	if (rc == -EPERM && c->kind != CELL_NONE)
		return err_set(e, rc,
			       "can't start %s: this host lets uid %u make no "
			       "PID and network namespaces; --no-jail goes "
			       "without",
			       m->program, geteuid());
	return rc < 0 ? err_set(e, rc, "can't start %s: %s", m->program,
				strerror(-rc))
		      : 0;
}
