/*
 * mayfly-jailer: builds a jail around a monitor, step by step, and becomes it.
 * The table of steps below is the whole program: their order is what clients
 * of Firecracker's jailer rely on, and each row says what the step leaves
 * behind and what takes that back when a later one fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jailer/bind.h"
#include "jailer/caps.h"
#include "jailer/cgroup.h"
#include "jailer/fds.h"
#include "jailer/landlock.h"
#include "jailer/ns.h"
#include "jailer/options.h"
#include "jailer/path.h"
#include "jailer/rlimit.h"
#include "jailer/root.h"
#include "jailer/userns.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/relro.h"

struct jail {
	int argc;
	char **argv;
	struct jail_options options;
	struct path_made made;
	struct ns ns;
	char program[PATH_MAX]; /* its name, without links */
	int program_fd;		/* owned; the monitor outside */
	int memory_fd; /* owned; its copy, where there is none in the jail */
	int root_fd;   /* owned; the jail's directory seen from outside */
	int null_fd;   /* owned; /dev/null, which the jail has not */
	int proc_fd;   /* owned; /proc, where there is to be a user namespace */
	bool is_user;  /* the caller is not root */
	struct bind devices; /* of the host, where is_user */
	int userfaultfd;
	uint64_t start_us; /* of clock_now_ns() */
	uint64_t cpu_us;   /* CPU time of the first process, where it forked */
	unsigned left;	   /* of what was made, could not be taken back */
};

/*
 * What a step says besides success (0) and failure (a negative errno): this
 * process has done its part and ends well.
 */
enum { STEP_DONE = 1 };

/* Closes descriptors from 3 on but those that are to be passed. */
static int close_others(const struct jail_options *o, struct err *e)
{
	unsigned from = 3, i;

	for (i = 0; i <= o->fd_count; i++) {
		const unsigned to = i < o->fd_count ? (unsigned)o->fds[i]
						    : UINT32_MAX;

		if (from < to && syscall(SYS_close_range, from,
					 i < o->fd_count ? to - 1 : to, 0))
			return err_errno(e, "close_range() (the jailer needs "
					    "Linux 5.9)");
		from = to + 1;
	}
	return 0;
}

/*
 * Descriptors 0 to 2 are taken before anything else is opened; all others are
 * closed. SIGXFSZ would end the jailer without a word under a small fsize.
 */
static int step_inherited(struct jail *j, struct err *e)
{
	int fd, rc = close_others(&j->options, e);

	if (rc)
		return rc;
	for (fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return err_errno(e, "/dev/null");
	if (clearenv())
		return err_set(e, -ENOMEM, "clearing the environment");
	signal(SIGXFSZ, SIG_IGN);
	return fds_check(j->options.fds, j->options.fd_count, e);
}

static int step_arguments(struct jail *j, struct err *e)
{
	struct jail_options *o = &j->options;
	int rc = jail_options_parse(o, j->argc, j->argv, e);

	if (rc)
		return rc;
	if (o->help)
		jail_options_help(stdout);
	else if (o->version)
		jail_options_version(stdout);
	return o->help || o->version ? STEP_DONE : 0;
}

static int step_caller(struct jail *j, struct err *e)
{
	struct jail_options *o = &j->options;
	int rc;

	j->is_user = geteuid() != 0;
	if (j->is_user && !o->userns)
		return err_set(e, -EPERM,
			       "needs to be started as root, or with --userns");
	if (j->is_user && (o->uid != geteuid() || o->gid != getegid()))
		return err_set(e, -EPERM,
			       "without root the jail's user can only be the "
			       "caller: --uid %u --gid %u",
			       geteuid(), getegid());
	if (o->userns)
		j->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (o->userns && j->proc_fd < 0)
		return err_errno(e, "/proc");
	if (o->daemonize)
		j->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (o->daemonize && j->null_fd < 0)
		return err_errno(e, "/dev/null");
	j->userfaultfd = root_userfaultfd();
	/* A link is the caller's word for another file, by whose name all goes.
	 */
	rc = root_find_program(o->exec_file, j->program, e);
	rc = rc ? rc : jail_options_exec_file(o, j->program, e);
	if (rc)
		return rc;
	j->program_fd = root_open_program(o->exec_file, e);
	return j->program_fd < 0 ? j->program_fd : 0;
}

static int step_directory(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;

	const unsigned holds = (!j->is_user && !o->fd_count ? ROOT_NODES : 0) |
			       (o->memory_exec ? 0 : ROOT_PROGRAM);

	j->root_fd = root_make(&j->made, o->chroot_base_dir, o->exec_name,
			       o->id, o->uid, holds, e);
	return j->root_fd < 0 ? j->root_fd : 0;
}

static int step_program(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;

	if (o->memory_exec) {
		j->memory_fd =
			root_load_program(j->program_fd, o->exec_name, e);
		return j->memory_fd < 0 ? j->memory_fd : 0;
	}
	return root_copy_program(&j->made, j->root_fd, j->program_fd,
				 o->exec_name, o->uid, o->gid, e);
}

static int step_netns(struct jail *j, struct err *e)
{
	return j->options.netns ? ns_join_net(j->options.netns, e) : 0;
}

static int step_rlimits(struct jail *j, struct err *e)
{
	return rlimit_set(&j->options, e);
}

static int step_cgroups(struct jail *j, struct err *e)
{
	int rc = cgroup_enter(&j->made, j->root_fd, &j->options, e);
	struct err why = *e;

	if (!j->is_user || (rc != -EACCES && rc != -EPERM))
		return rc;
	return err_set(e, rc,
		       "%.256s; without root --cgroup needs a --parent-cgroup "
		       "that was delegated to uid %u",
		       why.text, geteuid());
}

static int step_root(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;
	CLEAN_FD int tree = -1;
	int rc = 0;

	tree = j->is_user ? root_unshare_user(j->root_fd, j->proc_fd, o->uid,
					      o->gid, e)
			  : root_unshare(j->root_fd, e);
	if (tree < 0)
		return tree;
	if (j->is_user && !o->fd_count)
		rc = bind_take(&j->devices, o->minimal_dev, e);
	return rc ? rc : root_enter(tree, e);
}

static int step_directories(struct jail *j, struct err *e)
{
	return root_make_dirs(&j->made, !j->options.fd_count, j->options.uid,
			      j->options.gid, e);
}

static int step_devices(struct jail *j, struct err *e)
{
	if (j->options.fd_count)
		return 0;
	if (j->is_user)
		return bind_attach(&j->devices, &j->made, e);
	return root_make_devices(&j->made, j->options.minimal_dev,
				 j->userfaultfd, j->options.uid, j->options.gid,
				 e);
}

/* The first process sees it through: PID file, then the other's success. */
static int watch_child(struct jail *j, pid_t child, struct err *e)
{
	int rc = root_write_pid(&j->made, j->options.exec_name, child, e);

	if (!rc)
		rc = ns_release(&j->ns, e);
	if (rc) {
		ns_abandon(&j->ns);
		return rc;
	}
	rc = ns_wait_exec(&j->ns, e);
	return rc ? rc : STEP_DONE;
}

static int step_process(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;
	int rc;

	if (!o->daemonize && !o->new_pid_ns)
		return root_write_pid(&j->made, o->exec_name, getpid(), e);
	j->cpu_us = clock_cpu_ns() / 1000;
	rc = ns_fork(&j->ns, o->new_pid_ns, e);
	if (rc > 0)
		return watch_child(j, rc, e);
	if (!rc)
		rc = ns_wait_release(&j->ns, e);
	if (!rc && o->daemonize)
		rc = ns_daemonize(j->null_fd, e);
	return rc;
}

/*
 * A user namespace for what root has made ready. The maps are written by the
 * user, whose own /proc has to belong to it for that; so others of the same uid
 * can look at this process, and must find no descriptor of the host's.
 */
static int become_user(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;
	int rc = caps_become(o->uid, o->gid, e);

	if (rc)
		return rc;
	fd_close(&j->root_fd);
	fd_close(&j->program_fd);
	path_forget(&j->made);
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		return err_errno(e, "making this process the user's own");
	return userns_enter(j->proc_fd, 0, o->uid, o->gid, e);
}

static int step_privileges(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;
	const bool late = o->userns && !j->is_user;
	int rc = late ? become_user(j, e) : 0;

	fd_close(&j->proc_fd);
	if (!rc)
		rc = caps_drop(o->uid, o->gid, o->userns, e);
	/* Another user forgets it, so it comes after that. */
	if (!rc && o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL))
		rc = err_errno(e, "asking for an end with the parent");
	return rc;
}

static int step_landlock(struct jail *j, struct err *e)
{
	return landlock_enter(j->options.exec_name, e);
}

/* The arguments end with those behind `--`. Returns only where it fails. */
static int step_exec(struct jail *j, struct err *e)
{
	const struct jail_options *o = &j->options;
	char start[24], cpu[24], parent[24], path[JAIL_NAME_MAX + 2];
	const char *own[] = {path,  "--id",
			     o->id, "--start-time-us",
			     start, "--start-time-cpu-us",
			     cpu,   "--parent-cpu-time-us",
			     parent};
	enum { OWN = sizeof(own) / sizeof(own[0]) };
	char *none[] = {NULL};
	const uint64_t cpu_us = clock_cpu_ns() / 1000;
	char **argv = calloc((size_t)o->extra_count + OWN + 1, sizeof(*argv));

	if (!argv)
		return err_set(e, -ENOMEM, "no memory for the arguments");
	snprintf(path, sizeof(path), "/%s", o->exec_name);
	snprintf(start, sizeof(start), "%" PRIu64, j->start_us);
	snprintf(cpu, sizeof(cpu), "%" PRIu64, cpu_us);
	snprintf(parent, sizeof(parent), "%" PRIu64, j->cpu_us + cpu_us);
	memcpy(argv, own, sizeof(own));
	if (o->extra_count)
		memcpy(argv + OWN, o->extra,
		       (size_t)o->extra_count * sizeof(*argv));
	signal(SIGXFSZ, SIG_DFL);
	if (o->memory_exec)
		syscall(SYS_execveat, j->memory_fd, "", argv, none,
			AT_EMPTY_PATH);
	else
		execve(path, argv, none);
	free(argv);
	return err_errno(e, "%s", path);
}

static void undo_made(struct jail *j)
{
	j->left = path_undo(&j->made);
}

static void undo_cgroups(struct jail *j)
{
	(void)j;
	cgroup_leave();
}

static const struct step {
	const char *name;
	int (*run)(struct jail *j, struct err *e);
	void (*undo)(struct jail *j); /* NULL: it dies with the process */
} steps[] = {
	/* what to do */
	{"arguments", step_arguments, NULL},
	/* no environment, no descriptors but 0 to 2 and those to be passed */
	{"inherited state", step_inherited, NULL},
	/* the open program */
	{"exec-file", step_caller, NULL},
	/* BASE/PROGRAM/ID/root; the undo is that of everything that is made */
	{"directory", step_directory, undo_made},
	/* PROGRAM in it, or in memory */
	{"program", step_program, NULL},
	/* this process in another network */
	{"network namespace", step_netns, NULL},
	/* limits of this process */
	{"resource limits", step_rlimits, NULL},
	/* cgroups, a list of them, and this process in them */
	{"cgroups", step_cgroups, undo_cgroups},
	/* a mount namespace with nothing but the jail */
	{"root file system", step_root, NULL},
	/* /dev, /dev/net, /run; with / they belong to the user */
	{"directories", step_directories, NULL},
	/* nodes in /dev */
	{"devices", step_devices, NULL},
	/* PROGRAM.pid, and where asked for a second process in a session or PID
	   namespace of its own, which takes the steps that follow */
	{"process", step_process, NULL},
	/* a process that can do no harm */
	{"privileges", step_privileges, NULL},
	/* one that can use the jail's files only, where the kernel can do that
	 */
	{"landlock", step_landlock, NULL},
	/* the monitor in its place */
	{"exec", step_exec, NULL},
};

enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/*
 * Takes back steps failed, failed - 1, … 0. The step that failed is among them:
 * it may have got half-way.
 */
static void undo(struct jail *j, unsigned failed)
{
	unsigned i;

	for (i = failed + 1; i-- > 0;)
		if (steps[i].undo)
			steps[i].undo(j);
}

int main(int argc, char **argv)
{
	static struct jail jail = {
		.ns = NS_INIT,
		.program_fd = -1,
		.memory_fd = -1,
		.root_fd = -1,
		.null_fd = -1,
		.proc_fd = -1,
	};
	struct err e = {0};
	unsigned i;
	int rc = 0;

	jail.start_us = clock_now_ns() / 1000;
	relro_protect();
	jail.argc = argc;
	jail.argv = argv;
	for (i = 0; i < STEPS; i++) {
		rc = steps[i].run(&jail, &e);
		if (rc)
			break;
	}
	if (rc == STEP_DONE)
		return 0;
	if (!jail.ns.reported)
		err_context(&e, "%s", steps[i].name);
	/* The second process leaves it to the first, which is still root. */
	if (jail.ns.is_second) {
		ns_report(&jail.ns, &e);
		return 1;
	}
	undo(&jail, i);
	dprintf(STDERR_FILENO, "mayfly-jailer: %s%s\n", e.text,
		jail.left ? "; not all that was made could be removed" : "");
	return 1;
}
