/* Making a snapshot: both files under other names, then in their places. */
#include "api/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/snapshot_config.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/state/state.h"

static int check(const struct controller *c, const struct snapshot_create *body,
		 struct err *e)
{
	if (c->state != CONTROLLER_PAUSED)
		return err_set(e, -EPERM,
			       "Cannot create a snapshot: save/restore "
			       "unavailable while running; pause the microVM "
			       "first.");
	if (!*body->snapshot_path || !*body->mem_file_path)
		return err_set(e, -EINVAL, "a path of the snapshot is empty");
	return 0;
}

/* All that is no memory, as the bytes of a state file. */
static int encode(struct controller *c, uint8_t **data, size_t *len,
		  struct err *e)
{
	struct state *s = state_new();
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the state");
	rc = snapshot_config_save(c, s, e);
	rc = rc ? rc : machine_save(c->machine, s, e);
	rc = rc ? rc : state_encode(s, NULL, data, len, e);
	state_free(s);
	return rc;
}

/* A file under a name of its own beside the one that it is to have. */
struct draft {
	char *path; /* owned */
	int fd;	    /* owned */
};

static int draft_open(struct draft *d, const char *path, struct err *e)
{
	d->fd = -1;
	if (asprintf(&d->path, "%s.XXXXXX", path) < 0) {
		d->path = NULL;
		return err_set(e, -ENOMEM, "no memory for a path");
	}
	d->fd = mkostemp(d->path, O_CLOEXEC);
	if (d->fd < 0) {
		free(d->path);
		d->path = NULL;
		return err_errno(e, "can't make a file beside %s", path);
	}
	return 0;
}

static void draft_close(struct draft *d)
{
	if (d->path)
		unlink(d->path);
	free(d->path);
	d->path = NULL;
	fd_close(&d->fd);
}

static int draft_keep(struct draft *d, const char *path, struct err *e)
{
	if (rename(d->path, path))
		return err_errno(e, "can't give %s its name", path);
	free(d->path);
	d->path = NULL;
	return 0;
}

static int write_state(int fd, const uint8_t *data, size_t len, struct err *e)
{
	int rc = fd_write(fd, data, len);

	return rc ? err_set(e, rc, "can't write the snapshot: %s",
			    strerror(-rc))
		  : 0;
}

static int write_both(struct controller *c, const struct snapshot_create *body,
		      struct draft *state, struct draft *memory,
		      struct image_figures *figures, struct err *e)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int rc = encode(c, &data, &len, e);

	rc = rc ? rc : write_state(state->fd, data, len, e);
	free(data);
	if (!rc && ftruncate(memory->fd, (off_t)machine_memory(c->machine)))
		rc = err_errno(e, "can't make the memory file %s",
			       body->mem_file_path);
	if (!rc)
		rc = machine_write_image(c->machine,
					 body->type == SNAPSHOT_DIFF
						 ? MACHINE_IMAGE_DIFF
						 : MACHINE_IMAGE_FULL,
					 memory->fd, 0, figures, e);
	if (!rc && (!body->has_sync || body->sync) &&
	    (fdatasync(memory->fd) || fsync(state->fd)))
		rc = err_errno(e, "the disk did not take the snapshot");
	return rc;
}

int snapshot_create(struct controller *c, const struct snapshot_create *body,
		    struct err *e)
{
	struct draft state = {.fd = -1}, memory = {.fd = -1};
	const uint64_t begin_ns = clock_now_ns();
	struct image_figures figures = {0};
	int rc = check(c, body, e);

	rc = rc ? rc : machine_quiet(c->machine, e);
	if (rc)
		return rc;
	rc = draft_open(&state, body->snapshot_path, e);
	rc = rc ? rc : draft_open(&memory, body->mem_file_path, e);
	rc = rc ? rc : write_both(c, body, &state, &memory, &figures, e);
	rc = rc ? rc : draft_keep(&memory, body->mem_file_path, e);
	rc = rc ? rc : draft_keep(&state, body->snapshot_path, e);
	if (!rc)
		machine_image_kept(c->machine);
	draft_close(&state);
	draft_close(&memory);
	machine_unquiet(c->machine);
	if (!rc)
		log_info("a snapshot of %llu MiB took %llu ms, %llu KiB of "
			 "memory were written",
			 (unsigned long long)(machine_memory(c->machine) >> 20),
			 (unsigned long long)(clock_now_ns() - begin_ns) /
				 1000000,
			 (unsigned long long)figures.written >> 10);
	return rc;
}
