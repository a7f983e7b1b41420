/*
 * How a pair is replaced, of two files whose names can't change in one step:
 *
 *	M.mayfly-ID	is the new memory, whole and synced
 *	S.mayfly-…	is the new state, in which ID stands, likewise
 *	rename to S	the commit
 *	rename to M	for whoever knows nothing of M.mayfly-ID
 *
 * Who reads S looks for M.mayfly-ID first. It is there from before the commit
 * until it becomes M, so where it is not there, M is the one. Nothing has to be
 * known of M itself: it stays the bare image that others map, that may be
 *copied to another host with its state, and into which diffs may be merged.
 *
 * Others that belong to a state, of what drives' overlays hold, go the way of M
 * by the same ID.
 */
#include "vmm/state/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/passed.h"

_Static_assert(sizeof(((struct part *)0)->id) == STATE_ID_LEN,
	       "a file's id is its state's");

static int write_part(struct part *p, const void *bytes, size_t len,
		      bool want_sync, struct err *e)
{
	const int rc = fd_write(p->fd, bytes, len);

	if (rc)
		return err_set(e, rc, "can't write %s: %s", p->name,
			       strerror(-rc));
	return want_sync ? part_sync(p, e) : 0;
}

static int name_part(struct part *p, bool want_sync, struct err *e)
{
	const int rc = part_rename(p, e);

	return !rc && want_sync ? part_sync_names(p, e) : rc;
}

int state_file_write(const char *path, const void *bytes, size_t len,
		     bool want_sync, struct err *e)
{
	struct part p;
	int rc = part_make(&p, path, NULL, e);

	if (rc)
		return rc;
	rc = write_part(&p, bytes, len, want_sync, e);
	if (!rc)
		rc = name_part(&p, want_sync, e);
	part_fini(&p);
	return rc;
}

int state_file_commit(struct part *p, const void *state, size_t len,
		      bool want_sync, struct err *e)
{
	int rc = fd_pwrite(p->fd, state, len, 0);

	if (rc)
		return err_set(e, rc, "can't write %s: %s", p->name,
			       strerror(-rc));
	rc = want_sync ? part_sync(p, e) : 0;
	return rc ? rc : name_part(p, want_sync, e);
}

/* The bytes of the state: all, or those before the memory. */
static int measure(int fd, const char *path, off_t size, size_t *len,
		   struct err *e)
{
	uint8_t head[STATE_HEAD_LEN];
	struct state_peek peek;

	if (!fd_pread(fd, head, sizeof(head), 0) && state_peek(head, &peek) &&
	    peek.has_memory && peek.len < (uint64_t)size)
		size = (off_t)peek.len;
	if (size > STATE_BYTES_MAX)
		return err_set(e, -EFBIG,
			       "the snapshot %s has %lld bytes, which no state "
			       "file has; give the memory file as mem_backend",
			       path, (long long)size);
	*len = (size_t)size;
	return 0;
}

int state_file_read(const char *path, uint8_t **out, size_t *len, int *file,
		    struct err *e)
{
	struct stat st;
	CLEAN_FD int fd =
		fd_open_stat(path, O_RDONLY, FD_REGULAR, "snapshot", &st, e);
	int rc;

	*out = NULL;
	if (fd < 0)
		return fd;
	rc = measure(fd, path, st.st_size, len, e);
	if (rc)
		return rc;
	*out = malloc(*len + 1);
	if (!*out)
		return err_set(e, -ENOMEM, "no memory for the snapshot %s",
			       path);
	rc = fd_pread(fd, *out, *len, 0);
	if (!rc) {
		if (file)
			*file = fd_steal(&fd);
		return 0;
	}
	free(*out);
	*out = NULL;
	return err_set(e, rc, "can't read the snapshot %s: %s", path,
		       rc == -ENODATA ? "it has become shorter"
				      : strerror(-rc));
}

/* What the state that is there now says of itself, if one is. */
static bool peek(const char *path, struct state_peek *out)
{
	CLEAN_FD int fd = fd_open(path, O_RDONLY, FD_REGULAR, "snapshot", NULL);
	uint8_t head[STATE_HEAD_LEN];

	return fd > 0 && !fd_pread(fd, head, sizeof(head), 0) &&
	       state_peek(head, out);
}

int state_pair_begin(struct state_pair *p, const char *state_path,
		     const char *mem_path, struct err *e)
{
	struct state_peek now;
	int rc;

	memset(p, 0, sizeof(*p));
	/* A save that was killed after its commit is ended first. */
	rc = part_make(&p->mem, mem_path,
		       peek(state_path, &now) ? now.id : NULL, e);
	if (!rc)
		rc = part_make(&p->state, state_path, NULL, e);
	if (!rc && part_is_same(&p->state, &p->mem))
		rc = err_set(e, -EINVAL,
			     "%s can't be both the state and the memory under "
			     "two names; give the same name for both, or name "
			     "two files",
			     mem_path);
	if (rc)
		state_pair_fini(p);
	return rc;
}

/* Nothing of it has its name yet. */
static int write_pair(struct state_pair *p, const void *state, size_t len,
		      bool want_sync, struct err *e)
{
	const int rc = want_sync ? state_beside_sync(&p->mem, e) : 0;

	return rc ? rc : write_part(&p->state, state, len, want_sync, e);
}

int state_pair_commit(struct state_pair *p, const void *state, size_t len,
		      bool want_sync, struct err *e)
{
	int rc = write_pair(p, state, len, want_sync, e);

	if (!rc)
		rc = part_rename(&p->state, e);
	if (rc)
		return rc;
	/*
	 * From here on the state asks for this memory. Only when no loss of
	 * power can bring the older state back may the older memory go.
	 */
	if (want_sync)
		rc = part_sync_names(&p->state, e);
	if (rc)
		part_keep(&p->mem);
	return rc ? rc : state_beside_commit(&p->mem, "memory", want_sync, e);
}

void state_pair_fini(struct state_pair *p)
{
	part_fini(&p->state);
	part_fini(&p->mem);
}

int state_beside_begin(struct part *p, const char *path, const char *state_path,
		       const uint8_t id[STATE_ID_LEN], struct err *e)
{
	struct state_peek now;

	/* A save that was killed after its commit is ended first. */
	return part_make_as(p, path, peek(state_path, &now) ? now.id : NULL, id,
			    e);
}

int state_beside_sync(struct part *p, struct err *e)
{
	const int rc = part_sync(p, e);

	return rc ? rc : part_sync_names(p, e);
}

int state_beside_commit(struct part *p, const char *what, bool want_sync,
			struct err *e)
{
	char temporary[sizeof(p->temporary)];
	int rc;

	memcpy(temporary, p->temporary, sizeof(temporary));
	rc = part_rename(p, e);
	part_keep(p);
	if (rc)
		return err_context(e,
				   "the state was saved, and its %s is %s "
				   "beside its name",
				   what, temporary);
	return want_sync ? part_sync_names(p, e) : 0;
}

int state_beside_open(const char *path, const uint8_t id[STATE_ID_LEN],
		      int flags, const char *what, struct err *e)
{
	char temporary[PATH_MAX];
	int fd;

	if (!passed_has(path) && !part_path(path, id, temporary)) {
		fd = fd_open(temporary, flags, FD_REGULAR, what, e);
		if (fd != -ENOENT)
			return fd;
	}
	return fd_open(path, flags, FD_REGULAR, what, e);
}

int state_pair_memory(const char *mem_path, const uint8_t id[STATE_ID_LEN],
		      int flags, struct err *e)
{
	return state_beside_open(mem_path, id, flags, "memory file", e);
}
