/*
 * Saving, in this order: freeze, pause, save in the jail, copy the disks that
 * can be written to, go on, thaw. The rest is done beside a guest that runs.
 *
 * A fork is prepared before its guest is frozen, and comes as two descriptors.
 *
 * What lies in the jail is its monitor's, which may mean ill: the files are
 * opened there by names that lead nowhere else, judged by their descriptors,
 * and copied, for who has written them can write on. So are a fork's files,
 * which would count as the parent's for as long as a child has them.
 */
#include "api/ctl/vm/saving.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/cgroups.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/end.h"
#include "api/ctl/vm/manifest.h"
#include "api/ctl/vm/seal.h"
#include "api/ctl/vm/still.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

/* In the monitor's directory; its own, and gone when all is copied. */
#define ROOM "snapshot"

struct saving {
	const struct saving_how *how; /* borrowed */
	struct folder *folder;	      /* borrowed */
	struct vm vm;
	struct still still;
	struct manifest manifest;
	char *paths[VM_DEVICES_MAX]; /* owned; of disks */
	int cell_fd;		     /* owned; the monitor's directory */
	int room_fd;		     /* owned; ROOM in there */
	struct client_files files;   /* of a fork: state, memory */
	bool is_lent;
};

/* ---- its room in the jail ----------------------------------------------- */

static void remove_room(const struct saving *s)
{
	if (s->cell_fd < 0)
		return;
	(void)tree_remove(s->cell_fd, ROOM, 0, NULL);
}

static int make_room(struct saving *s, struct err *e)
{
	const uid_t uid = s->vm.state.uid;
	char id[VM_ID_SIZE];

	s->cell_fd = cell_open(s->vm.dir, s->vm.state.jail,
			       vm_monitor_id(s->vm.state.name, id), e);
	if (s->cell_fd < 0)
		return s->cell_fd;
	/* What one before us has left, or the monitor has put there. */
	remove_room(s);
	if (mkdirat(s->cell_fd, ROOM, 0700))
		return err_errno(e, "can't make room in the jail");
	s->room_fd = openat(s->cell_fd, ROOM,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->room_fd < 0)
		return err_errno(e, "can't open the room in the jail");
	return uid && fchown(s->room_fd, uid, uid)
		       ? err_errno(e, "can't give the room to the jail")
		       : 0;
}

/* What is written in there may be memory, and counts as the monitor's. */
static int lend(struct saving *s, struct err *e)
{
	const int64_t mib = (int64_t)s->vm.state.memory_mib;
	int rc = s->vm.state.uid ? cgroups_lend(s->vm.state.uid, mib, e) : 0;

	s->is_lent = s->vm.state.uid && !rc;
	return rc;
}

static void take_back(struct saving *s)
{
	if (s->is_lent)
		(void)cgroups_lend(s->vm.state.uid,
				   -(int64_t)s->vm.state.memory_mib, NULL);
	s->is_lent = false;
}

static int write_state(struct saving *s, struct err *e)
{
	return client_order(s->still.api, "PUT", "/snapshot/create",
			    "{\"snapshot_path\": \"" ROOM "/" MANIFEST_STATE
			    "\", \"mem_file_path\": \"" ROOM "/" MANIFEST_MEMORY
			    "\", \"sync\": false}",
			    CLIENT_SAVE_S, e);
}

/* ---- a fork ------------------------------------------------------------- */

static int order_fork(struct saving *s, const char *body, struct err *e)
{
	client_files_fini(&s->files);
	return client_take(s->still.api, "PUT", "/snapshot/fork", body,
			   CLIENT_SAVE_S, &s->files, e);
}

static int prepare_fork(struct saving *s, struct err *e)
{
	return order_fork(s, "{\"prepare\": true}", e);
}

static bool has_written_disks(const struct saving *s)
{
	const struct manifest_drive *list = s->manifest.drives.items;
	uint32_t i;

	for (i = 0; i < s->manifest.drives.count; i++)
		if (!list[i].is_read_only)
			return true;
	return false;
}

/* Paused where there are disks to copy. */
static int fork_now(struct saving *s, struct err *e)
{
	const bool is_held = has_written_disks(s);
	int rc;

	/* Said before: an answer can be lost, and the pause would last. */
	s->still.is_paused = is_held;
	rc = order_fork(s, is_held ? "{\"resume_vm\": false}" : "{}", e);
	if (!rc && s->files.count != 2)
		return err_set(e, -EBADMSG,
			       "the monitor has sent %u files for a fork",
			       s->files.count);
	return rc;
}

/* ---- copies ------------------------------------------------------------- */

static int settle(const struct saving *s, int fd, const char *what,
		  struct err *e)
{
	if (!s->how->is_unsynced && fsync(fd))
		return err_errno(e, "can't write %s", what);
	return 0;
}

/* Returns the copy. */
static int copy_into(int from, int dir, const char *name, uint64_t size,
		     uint64_t least, uint64_t most, struct err *e)
{
	CLEAN_FD int to = -1;
	int rc;

	if (size < least || size > most)
		return err_set(e, -EINVAL,
			       "%s has %llu bytes, which no %s of this microVM "
			       "has",
			       name, (unsigned long long)size, name);
	to = copy_make(dir, name, e);
	if (to < 0)
		return to;
	rc = copy_file(from, to, size, name, e);
	return rc ? rc : fd_steal(&to);
}

/* Files in memory that can't be changed, and nothing that is waited for. */
int saving_take_sent(int from, int dir, const char *name, uint64_t least,
		     uint64_t most, struct err *e)
{
	const int seals = fcntl(from, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(from, &st))
		return err_set(e, -EPERM, "%s is no sealed file in memory",
			       name);
	return copy_into(from, dir, name, (uint64_t)st.st_size, least, most, e);
}

static int take_file(const struct saving *s, const char *name, uint64_t least,
		     uint64_t most, struct err *e)
{
	const uid_t uid = s->vm.state.uid, owner = uid ? uid : geteuid();
	uint64_t size = 0;
	CLEAN_FD int from = copy_open(s->room_fd, name, &size, e);
	struct stat st;

	if (from < 0)
		return from;
	/* Not one that it could only find, and give a second name here. */
	if (fstat(from, &st) || st.st_nlink != 1 || st.st_uid != owner)
		return err_set(e, -EPERM, "%s is somebody else's", name);
	return copy_into(from, s->folder->fd, name, size, least, most, e);
}

static int take(const struct saving *s, unsigned i, const char *name,
		uint64_t least, uint64_t most, struct err *e)
{
	CLEAN_FD int to = s->how->is_fork
				  ? saving_take_sent(s->files.fds[i],
						     s->folder->fd, name, least,
						     most, e)
				  : take_file(s, name, least, most, e);

	return to < 0 ? to : settle(s, to, name, e);
}

static int take_pair(struct saving *s, struct err *e)
{
	const uint64_t memory = s->vm.state.memory_mib << 20;
	int rc = take(s, 0, MANIFEST_STATE, 1, MANIFEST_STATE_MAX, e);

	rc = rc ? rc : take(s, 1, MANIFEST_MEMORY, memory, memory, e);
	client_files_fini(&s->files);
	return rc ? err_context(e, "what the monitor saved") : 0;
}

static int take_disk(const struct saving *s, const struct manifest_drive *d,
		     const char *path, struct err *e)
{
	/* A FIFO in its place must not keep us waiting. */
	CLEAN_FD int from =
		open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	CLEAN_FD int to = -1;
	char name[MANIFEST_NAME_MAX];
	off_t size;
	int rc;

	if (from < 0)
		return err_errno(e, "can't open the disk %s", path);
	size = lseek(from, 0, SEEK_END);
	if (size < 0)
		return err_errno(e, "can't ask for the size of %s", path);
	to = copy_make(s->folder->fd, manifest_file(d, name), e);
	if (to < 0)
		return to;
	rc = copy_file(from, to, (uint64_t)size, path, e);
	return rc ? rc : settle(s, to, path, e);
}

/* Those that can be written to, while nobody writes; the others later. */
static int take_disks(const struct saving *s, bool is_read_only, struct err *e)
{
	const struct manifest_drive *list = s->manifest.drives.items;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < s->manifest.drives.count && !rc; i++)
		if (!manifest_is_image(&list[i]) &&
		    list[i].is_read_only == is_read_only)
			rc = take_disk(s, &list[i], s->paths[i], e);
	return rc;
}

/* ---- when it is over, or has failed -------------------------------------- */

static void clear_jail(struct saving *s)
{
	remove_room(s);
	take_back(s);
}

/* The guard's, after our death: all of it may have been done, or nothing. */
static void undo(void *context)
{
	struct saving *s = context;
	struct folder rest = *s->folder;

	clear_jail(s);
	folder_fini(&rest);
}

/* ---- all of it ---------------------------------------------------------- */

static int write_all(struct saving *s, struct err *e)
{
	const bool is_synced = !s->how->is_unsynced;
	int rc = take_pair(s, e);

	rc = rc ? rc : take_disks(s, true, e);
	rc = rc ? rc
		: manifest_write(&s->manifest, s->folder->fd, is_synced, e);
	if (!rc && s->how->key->len)
		rc = seal_write(s->folder->fd, s->how->key, is_synced, e);
	if (!rc && !s->how->is_part)
		rc = folder_commit(s->folder, is_synced, e);
	return rc;
}

static int take_written_disks(struct saving *s, struct err *e)
{
	return take_disks(s, false, e);
}

static int begin_guard(struct saving *s, struct err *e)
{
	return still_guard(&s->still, undo, s, e);
}

static int freeze(struct saving *s, struct err *e)
{
	return still_freeze(&s->still, e);
}

static int stand_still(struct saving *s, struct err *e)
{
	return still_pause(&s->still, e);
}

static int go_on(struct saving *s, struct err *e)
{
	return s->how->is_ended ? 0 : still_go_on(&s->still, e);
}

typedef int step(struct saving *s, struct err *e);

static step *const forks[] = {
	lend,	  begin_guard,	      prepare_fork, freeze,
	fork_now, take_written_disks, go_on,	    write_all,
};

static step *const saves[] = {
	make_room,   lend,	  begin_guard,	      freeze,
	stand_still, write_state, take_written_disks, go_on,
	write_all,
};

static int save(struct saving *s, struct err *e)
{
	const bool is_fork = s->how->is_fork;
	step *const *steps = is_fork ? forks : saves;
	const unsigned count = is_fork ? sizeof(forks) / sizeof(forks[0])
				       : sizeof(saves) / sizeof(saves[0]);
	unsigned i;
	int rc = 0;

	for (i = 0; i < count && !rc; i++) {
		if (interrupt_pending())
			rc = err_set(e, -EINTR, "interrupted");
		else
			rc = steps[i](s, e);
	}
	return rc;
}

/* Its life goes on elsewhere; what it would still write is not to be. */
static int end_original(const struct saving *s, struct err *e)
{
	const int rc = end_stop(s->vm.state.name, 0, 0, e);

	return rc < 0 ? rc : 0;
}

int saving_make(const char *name, const struct saving_how *how,
		struct folder *f, struct err *e)
{
	struct saving s = {
		.how = how,
		.folder = f,
		.cell_fd = -1,
		.room_fd = -1,
	};
	unsigned i;
	int rc = still_find(&s.still, &s.vm, name, e);

	rc = rc ? rc : manifest_of(&s.manifest, &s.vm, s.paths, e);
	rc = rc ? rc : save(&s, e);
	if (rc)
		still_let_go(&s.still);
	client_files_fini(&s.files);
	clear_jail(&s);
	if (!rc && how->is_ended)
		rc = end_original(&s, e);
	still_fini(&s.still);
	for (i = 0; i < VM_DEVICES_MAX; i++)
		free(s.paths[i]);
	fd_close(&s.room_fd);
	fd_close(&s.cell_fd);
	manifest_fini(&s.manifest);
	vm_fini(&s.vm);
	return rc;
}
