/*
 * A guest at rest, made. It boots in a jail as any other, with the image's disk
 * and with places where others have theirs; when its agent has called, it is
 * asked to make ready what every container needs, and forked. What comes of
 * that is a stranger's, for the guest has looked at the image: it is judged,
 * and copied.
 *
 * All that dies with us: the monitor is bound to this process, its place is
 * known to be of it, and the folder has another name until it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/copy.h"
#include "api/ctl/base/descriptors.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/folder.h"
#include "api/ctl/vm/manifest.h"
#include "api/ctl/vm/saving.h"
#include "api/ctl/vm/warm.h"
#include "vmm/base/fd.h"

enum {
	BOOT_MS = 120000,
	PREPARE_MS = 60000,
	REST_US = 200000,
	WAIT_US = 50000,
	NICE = 15
};

/* Nobody's: each guest that goes on from it gets its own. */
#define MAC "06:00:00:00:00:01"

struct making {
	const struct warm *warm; /* borrowed */
	struct monitor_plan plan;
	struct vm vm;
	struct cell cell;
	struct folder folder;
	char spare[VM_PATH_MAX];
	char tap[16];
	int ready_fd; /* owned */
	pid_t pid;
};

/* ---- what it is made of ---------------------------------------------------
 */

/* A disk that all have the place of, and a tap that leads nowhere. */
static int make_devices(struct making *m, struct err *e)
{
	CLEAN_FD int fd = -1;
	unsigned i;

	vm_path(&m->vm, "spare", m->spare);
	fd = open(m->spare, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SESSION_SPARE_BYTES))
		return err_errno(e, "can't make %s", m->spare);
	for (i = m->warm->is_bare ? 0 : 1; i < m->plan.drive_count; i++) {
		struct monitor_drive *d = &m->plan.drives[i];

		/* Nothing that somebody has open, nor waits to be told of. */
		*d = (struct monitor_drive){
			.path = m->spare,
			.id = d->id,
			.is_read_only = d->is_read_only,
		};
	}
	if (!m->plan.tap)
		return 0;
	snprintf(m->tap, sizeof(m->tap), "mayflyw%d", getpid());
	m->plan.tap = m->tap;
	m->plan.mac = MAC;
	return 0;
}

static int make_cell(struct making *m, bool has_jail, struct err *e)
{
	const struct cgroups_limits limits = {
		.vcpu_count = m->plan.vcpu_count,
		/* Of the guest, and of the copy that it sends. */
		.memory_mib = 2 * m->plan.memory_mib,
	};
	int rc = cell_choose(&m->cell, has_jail, m->plan.files->jailer, e);
	char id[VM_ID_SIZE];

	rc = rc ? rc : vm_make_place(&m->vm, e);
	if (rc)
		return rc;
	m->vm.state.name = strdup("warm");
	if (!m->vm.state.name)
		return err_set(e, -ENOMEM, "no memory for a microVM");
	rc = cell_make(&m->cell, m->vm.dir, m->plan.files->program,
		       vm_monitor_id(m->vm.state.name, id), &limits, e);
	m->plan.cell = &m->cell;
	return rc;
}

static void unmake(struct making *m)
{
	const uid_t uid = m->cell.claim.uid;

	fd_close(&m->ready_fd);
	if (m->pid > 0)
		kill(m->pid, SIGKILL);
	while (m->pid > 0 && waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
	cell_close(&m->cell);
	if (*m->vm.dir) {
		cell_remove(m->vm.dir, uid);
		(void)vm_remove(&m->vm, NULL);
	}
	folder_fini(&m->folder);
	vm_fini(&m->vm);
}

/* ---- its boot, and its rest -----------------------------------------------
 */

static int await_call(const struct making *m, struct err *e)
{
	CLEAN_FD int end = process_open(m->pid);
	struct pollfd p[] = {{.fd = m->ready_fd, .events = POLLIN},
			     {.fd = end, .events = POLLIN}};
	int fd, n;

	do
		n = poll(p, 2, BOOT_MS);
	while (n < 0 && errno == EINTR);
	if (!n)
		return err_set(e, -ETIMEDOUT, "the guest does not come up");
	if (!p[0].revents)
		return err_set(e, -ECHILD, "its monitor ended");
	fd = accept4(m->ready_fd, NULL, NULL, SOCK_CLOEXEC);
	return fd < 0 ? err_errno(e, "no call from the guest") : fd;
}

/*
 * Of no image there is nothing to make ready. A question that changes nothing,
 * for who is to go on from here asks the next one.
 */
static int await_answer(const struct making *m, int fd, struct err *e)
{
	char socket[VM_PATH_MAX];

	close(fd);
	return session_thaw(vm_path(&m->vm, "vsock.sock", socket), e);
}

static int boot(struct making *m, struct err *e)
{
	int fd;

	m->ready_fd = cell_listen(&m->cell, SESSION_READY_SOCKET, e);
	if (m->ready_fd < 0)
		return m->ready_fd;
	fd = monitor_start(&m->vm, &m->plan, &m->pid, e);
	fd = fd ? fd : await_call(m, e);
	if (fd < 0)
		return fd;
	fd = m->warm->is_bare ? await_answer(m, fd, e)
			      : session_prepare(fd, PREPARE_MS, e);
	/* That the connection has ended is soon known there, too; what is left
	 * of it would end with the load. */
	usleep(REST_US);
	return fd;
}

/* ---- saving it ------------------------------------------------------------
 */

static int write_about(const struct making *m, struct err *e)
{
	CLEAN_FD int fd = copy_make(m->folder.fd, "about", e);

	if (fd < 0)
		return fd;
	return fd_write(fd, m->warm->about, strlen(m->warm->about))
		       ? err_errno(e, "can't write what it is about")
		       : 0;
}

static int take(const struct making *m, int from, const char *name,
		uint64_t least, uint64_t most, struct err *e)
{
	CLEAN_FD int to =
		saving_take_sent(from, m->folder.fd, name, least, most, e);

	return to < 0 ? to : 0;
}

static int save(struct making *m, struct err *e)
{
	const uint64_t memory = m->warm->memory_bytes;
	struct client_files files = {0};
	char api[VM_PATH_MAX];
	int rc;

	vm_path(&m->vm, "api.sock", api);
	rc = client_order(api, "PATCH", "/vm", "{\"state\": \"Paused\"}",
			  CLIENT_USUAL_S, e);
	rc = rc ? rc
		: client_take(api, "PUT", "/snapshot/fork",
			      "{\"resume_vm\": false}", CLIENT_SAVE_S, &files,
			      e);
	if (!rc && files.count != 2)
		rc = err_set(e, -EBADMSG, "the monitor has sent %u files",
			     files.count);
	rc = rc ? rc
		: take(m, files.fds[0], MANIFEST_STATE, 1, MANIFEST_STATE_MAX,
		       e);
	rc = rc ? rc
		: take(m, files.fds[1], MANIFEST_MEMORY, memory, memory, e);
	client_files_fini(&files);
	rc = rc ? rc : write_about(m, e);
	return rc ? rc : folder_commit(&m->folder, false, e);
}

/* ---- all of it ------------------------------------------------------------
 */

/* Everybody who makes one looks first whether it is made, under this lock. */
static int lock_folder(const char *folder, struct err *e)
{
	CLEAN_FD int fd = -1;

	if (mkdir(folder, 0700) && errno != EEXIST)
		return err_errno(e, "can't make %s", folder);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "can't open %s", folder);
	return flock(fd, LOCK_EX) ? err_errno(e, "can't lock %s", folder)
				  : fd_steal(&fd);
}

/* Begins the folder. 1 where it is there already, -EBUSY where it soon is. */
static int begin_folder(struct making *m, struct err *e)
{
	const struct warm *w = m->warm;
	CLEAN_FD int lock = lock_folder(w->folder, e);
	char path[PATH_MAX + WARM_KEY_SIZE];
	struct warm_report report = {0};

	if (lock < 0)
		return lock;
	if (!faccessat(lock, w->key, F_OK, 0))
		return 1;
	/* Those of the dead are gone then. */
	warm_sweep_folder(w->folder, &report);
	if (folder_is_begun(lock, w->key))
		return err_set(e, -EBUSY, "somebody makes it just now");
	snprintf(path, sizeof(path), "%s/%s", w->folder, w->key);
	return folder_begin(&m->folder, path, e);
}

int warm_make(const struct warm *w, const struct monitor_plan *plan,
	      bool has_jail, bool is_waiting, struct err *e)
{
	struct making m = {
		.warm = w,
		.plan = *plan,
		.cell = {.root_fd = -1, .claim.fd = -1, .cgroups.clone_fd = -1},
		.folder = {.parent_fd = -1, .fd = -1},
		.ready_fd = -1,
	};
	int rc;

	m.plan.state_fd = m.plan.memory_fd = 0;
	m.plan.order_fd = m.plan.tap_fd = NULL;
	m.plan.log_fd = 0;
	m.plan.is_bound = true;
	while ((rc = begin_folder(&m, e)) == -EBUSY && is_waiting)
		usleep(WAIT_US);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = make_cell(&m, has_jail, e);
	rc = rc ? rc : make_devices(&m, e);
	rc = rc ? rc : boot(&m, e);
	rc = rc ? rc : save(&m, e);
	unmake(&m);
	return rc;
}

void warm_let_go(const char *name, int fd, int other)
{
	setsid();
	process_leave_streams(-1);
	descriptors_keep(fd, other);
	prctl(PR_SET_NAME, name);
	(void)setpriority(PRIO_PROCESS, 0, NICE);
}
