#include "api/ctl/containerd/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/base/descriptors.h"
#include "api/ctl/base/erofs.h"
#include "api/ctl/containerd/disk.h"
#include "api/ctl/containerd/key.h"
#include "api/ctl/image/kept.h"
#include "vmm/base/fd.h"
#include "vmm/base/rights.h"

/* Behind what is there, with a comma between; size is enough by its making. */
static void append(char *list, size_t size, const char *word)
{
	const size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s", len ? "," : "", word);
}

int rootfs_add(struct rootfs *r, const char *type, const char *source,
	       char *const *options, size_t option_count, struct err *e)
{
	struct rootfs_mount *all =
		realloc(r->mounts, (r->count + 1) * sizeof(*r->mounts));
	struct rootfs_mount *m;
	size_t len = 1, i;

	if (!all)
		return err_set(e, -ENOMEM, "no memory for mounts");
	r->mounts = all;
	m = &all[r->count++];
	for (i = 0; i < option_count; i++)
		len += strlen(options[i]) + 1;
	*m = (struct rootfs_mount){strdup(type), strdup(source),
				   calloc(1, len)};
	if (!m->type || !m->source || !m->options)
		return err_set(e, -ENOMEM, "no memory for mounts");
	for (i = 0; i < option_count; i++)
		append(m->options, len, options[i]);
	return 0;
}

void rootfs_fini(struct rootfs *r)
{
	for (unsigned i = 0; i < r->count; i++) {
		free(r->mounts[i].type);
		free(r->mounts[i].source);
		free(r->mounts[i].options);
	}
	free(r->mounts);
	*r = (struct rootfs){0};
}

/* ---- in a process of its own -------------------------------------------- */

/*
 * All is mounted to be read: what a container writes stays in its guest, and a
 * snapshot of containerd's is left as it is. "bind" and "ro" are flags and no
 * options; what else there is goes to the file system as it comes.
 */
static int mount_one(const struct rootfs_mount *m, const char *path,
		     struct err *e)
{
	const unsigned long usual = MS_RDONLY | MS_NODEV | MS_NOSUID;
	const size_t size = strlen(m->options) + 1;
	unsigned long flags = usual;
	char *rest = strdup(m->options), *data = calloc(1, size);
	char *save = NULL, *word;
	int rc = 0;

	for (word = rest ? strtok_r(rest, ",", &save) : NULL; word && data;
	     word = strtok_r(NULL, ",", &save)) {
		if (!strcmp(word, "bind") || !strcmp(word, "rbind"))
			flags |= MS_BIND | (*word == 'r' ? MS_REC : 0u);
		else if (strcmp(word, "loop") != 0 && strcmp(word, "ro") != 0 &&
			 strcmp(word, "rw") != 0)
			append(data, size, word);
	}
	/* mount(2) reads a page and cuts off what is behind: layers, here. */
	if (data && !(flags & MS_BIND) &&
	    strlen(data) >= (size_t)sysconf(_SC_PAGESIZE))
		rc = err_set(e, -E2BIG,
			     "the root file system has so many layers that "
			     "their names make %zu bytes, and mount takes %ld; "
			     "squash the image",
			     strlen(data), sysconf(_SC_PAGESIZE) - 1);
	else if (!rest || !data ||
		 mount(m->source, path, flags & MS_BIND ? NULL : m->type, flags,
		       flags & MS_BIND ? NULL : data) ||
		 /* Of a bind mount they are another call's. */
		 (flags & MS_BIND &&
		  mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | usual, NULL)))
		rc = errno == ENOTBLK
			     ? err_set(e, -ENOTBLK,
				       "%.200s is an image of type %.50s that "
				       "neither the guest nor this host's "
				       "mount can read; give the container "
				       "another snapshotter",
				       m->source, m->type)
			     : err_errno(e, "can't mount %.200s of type %.50s",
					 m->source, m->type);
	free(rest);
	free(data);
	return rc;
}

struct job {
	const struct rootfs *r;
	const char *image;
	char key[KEY_SIZE];
	bool is_mounted;
	int fd; /* gets what was found */
};

static int mount_all(struct job *j, struct err *e)
{
	const struct rootfs *r = j->r;
	unsigned i;
	int rc = 0;

	if (j->is_mounted)
		return 0;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return err_errno(e, "no mount namespace");
	if (r->count && mkdir(r->path, 0711) && errno != EEXIST)
		return err_errno(e, "can't make %.300s", r->path);
	for (i = 0; i < r->count && !rc; i++)
		rc = mount_one(&r->mounts[i], r->path, e);
	j->is_mounted = !rc;
	return rc;
}

/* What was packed is kept if all the while it was of what the key says. */
static int write_kept(void *ctx, const char *path, struct err *e)
{
	struct job *j = ctx;
	char key[KEY_SIZE];
	int rc = mount_all(j, e);

	if (!rc)
		rc = erofs_pack(j->r->path, path, e);
	if (!rc && (!key_of(j->r, key) || strcmp(key, j->key) != 0))
		rc = err_set(e, -ESTALE, "it has changed meanwhile");
	return rc;
}

static int hand(const struct job *j, const char *path, int fd, struct err *e)
{
	struct rootfs_found found = {0};
	ssize_t n;

	snprintf(found.path, sizeof(found.path), "%s", path);
	n = rights_send(j->fd, &found, sizeof(found), &fd, 1);
	return n == sizeof(found)
		       ? 0
		       : err_set(e, -EIO, "can't hand %.200s over", path);
}

static int copy(const struct job *j, const char *path, int fd, uint64_t bytes,
		struct err *e)
{
	CLEAN_FD int to = open(j->image, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (to < 0)
		return err_errno(e, "can't write %s", j->image);
	return copy_file(fd, to, bytes, path, e);
}

static int give_kept(struct job *j, struct err *e)
{
	const struct image_kept_maker how = {write_kept, j, j->r->kept_bytes};
	struct image_kept kept;
	struct stat st;
	int rc = image_kept_take(j->key, &how, &kept, e);

	if (rc)
		return rc;
	if (j->r->is_handed)
		rc = hand(j, kept.path, kept.fd, e);
	else if (fstat(kept.fd, &st))
		rc = err_errno(e, "can't look at %s", kept.path);
	else
		rc = copy(j, kept.path, kept.fd, (uint64_t)st.st_size, e);
	fd_close(&kept.fd);
	return rc;
}

/*
 * A block device is not copied: where it can't be handed, what is in it is
 * packed.
 */
static int give_disk(const struct job *j, struct err *e)
{
	const char *source = j->r->count ? j->r->mounts[0].source : "";
	struct disk d;
	int rc = disk_open(j->r, &d, e);

	if (rc > 0 && j->r->is_handed)
		rc = hand(j, source, d.fd, e) ?: 1;
	else if (rc > 0 && S_ISREG(d.st.st_mode))
		rc = copy(j, source, d.fd, d.bytes, e) ?: 1;
	else if (rc > 0)
		rc = 0;
	fd_close(&d.fd);
	return rc;
}

static int give(struct job *j, struct err *e)
{
	int rc = give_disk(j, e);

	if (rc)
		return rc < 0 ? rc : 0;
	/* Where nothing can be kept it works without, and if it does not work
	 * that says why. */
	if (j->r->kept_bytes && key_of(j->r, j->key) && !give_kept(j, e))
		return 0;
	*e = (struct err){0};
	rc = mount_all(j, e);
	return rc ? rc : erofs_pack(j->r->path, j->image, e);
}

int rootfs_pack(const struct rootfs *r, const char *image, pid_t *pid, int *fd,
		struct err *e)
{
	struct err why = {0};
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return err_errno(e, "can't make a socket");
	/*
	 * As the first of processes of its own, so that mkfs.erofs, and with it
	 * the last who has the mounts, ends where it is ended.
	 */
	*pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWNS | CLONE_NEWPID,
			      NULL, NULL, NULL, NULL);
	if (*pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_errno(e, "can't fork");
	}
	if (!*pid) {
		struct job j = {.r = r, .image = image, .fd = ends[1]};
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Who waits for the end of a stream must not wait for us. */
		descriptors_keep(ends[1], ends[1]);
		if (give(&j, &why))
			(void)fd_write(ends[1], why.text, strlen(why.text));
		_exit(0);
	}
	close(ends[1]);
	*fd = ends[0];
	return 0;
}
