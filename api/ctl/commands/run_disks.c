/* The disks, files and tmpfs of a container: -v, --mount, --tmpfs, --disk. */
#include "api/ctl/commands/run_disks.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int run_disks_find(struct run_disks *d, const struct run_options *o,
		   struct err *e)
{
	const unsigned others = (o->net != RUN_NET_NONE) + (o->disk_bytes > 0);
	unsigned i, disks = 0;
	size_t bytes = 0;

	for (i = 0; i < o->volume_count; i++) {
		int rc = volume_find(&d->volumes[i], &o->volumes[i], e);

		if (rc)
			return rc;
		disks += d->volumes[i].kind != VOLUME_FILE;
		bytes += d->volumes[i].len;
	}
	if (disks > VM_VOLUMES_MAX - others)
		return err_set(e, -E2BIG,
			       "%u directories and disks are more than a "
			       "microVM has places for, which is %u with these "
			       "options; put some into one directory",
			       disks, VM_VOLUMES_MAX - others);
	if (bytes > SESSION_FILES_MAX)
		return err_set(e, -E2BIG,
			       "the files of -v have %zu KiB, and %d KiB are "
			       "the most; give the directory they are in",
			       bytes >> 10, SESSION_FILES_MAX >> 10);
	return 0;
}

static void add_drive(struct monitor_plan *m, const struct volume *v,
		      const char *id)
{
	m->drives[m->drive_count++] = (struct monitor_drive){
		.path = v->path,
		.id = id,
		.is_read_only = v->is_read_only,
		/* The monitor's copy keeps a disk's lock, whoever dies. */
		.fd = v->lock_fd > 0 ? v->lock_fd : 0,
	};
}

static void add_volume(struct monitor_plan *m, struct session_plan *s,
		       const struct volume *v, const char *target)
{
	struct session_mount *mount = &s->mounts[s->mount_count++];

	*mount = (struct session_mount){
		.target = target,
		.is_read_only = v->is_read_only,
	};
	if (v->kind == VOLUME_FILE) {
		mount->kind = SESSION_FILE;
		mount->bytes = v->bytes;
		mount->len = v->len;
		mount->mode = v->mode;
		mount->uid = v->uid;
		mount->gid = v->gid;
		return;
	}
	/* The image is the first. */
	mount->volume = m->drive_count - 1;
	add_drive(m, v, NULL);
	if (!v->is_read_only)
		s->is_synced = true;
}

int run_disks_add(struct run_disks *d, const struct run_options *o,
		  const struct vm *vm, struct monitor_plan *monitor,
		  struct session_plan *session, struct err *e)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < o->volume_count && !rc; i++) {
		rc = volume_make(&d->volumes[i], vm, i, e);
		if (!rc)
			add_volume(monitor, session, &d->volumes[i],
				   o->volumes[i].target);
	}
	for (i = 0; i < o->tmpfs_count; i++)
		session->mounts[session->mount_count++] = o->tmpfs[i];
	if (rc || !o->disk_bytes)
		return rc;
	rc = volume_make_scratch(&d->scratch, vm, o->disk_bytes, e);
	if (rc)
		return rc;
	/* Last, for volumes are counted. */
	add_drive(monitor, &d->scratch, SESSION_UPPER_SERIAL);
	session->has_upper = true;
	return 0;
}

/* An overlay does not say what it lies on. */
static bool is_in_memory(const char *path)
{
	struct statfs fs;

	return path && !statfs(path, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ||
		fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

uint64_t run_disks_memory(const struct run_disks *d,
			  const struct run_options *o, const char *dir)
{
	uint64_t bytes = is_in_memory(dir) ? o->disk_bytes : 0;
	struct stat st;
	unsigned i;

	for (i = 0; i < o->volume_count; i++) {
		const struct volume *v = &d->volumes[i];

		if (v->kind == VOLUME_DISK && !v->is_read_only &&
		    is_in_memory(v->path) && !stat(v->path, &st))
			bytes += (uint64_t)st.st_size;
	}
	return bytes;
}

void run_disks_fini(struct run_disks *d)
{
	unsigned i;

	for (i = 0; i < RUN_VOLUMES_MAX; i++)
		volume_fini(&d->volumes[i]);
}
