/* Making a snapshot: both files under other names, then in their places. */
#include "api/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/snapshot_config.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/state/file.h"

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

/*
 * What is at the path already, if it can be this memory's base: a diff's pages
 * go over it, and the older file stays as it is until the commit. -1 for none.
 */
static int open_base(const struct controller *c, const char *path)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != machine_memory(c->machine))
		return -1;
	return fd_steal(&fd);
}

static int write_memory(struct controller *c,
			const struct snapshot_create *body, int fd,
			struct image_figures *figures, struct err *e)
{
	const bool is_diff = body->type == SNAPSHOT_DIFF;
	CLEAN_FD int base = is_diff ? open_base(c, body->mem_file_path) : -1;
	int rc = 0;

	if (ftruncate(fd, (off_t)machine_memory(c->machine)))
		return err_errno(e, "can't make the memory file %s",
				 body->mem_file_path);
	if (base >= 0)
		rc = image_copy(base, fd, machine_memory(c->machine), e);
	if (rc)
		return rc;
	return machine_write_image(
		c->machine, is_diff ? MACHINE_IMAGE_DIFF : MACHINE_IMAGE_FULL,
		fd, 0, figures, e);
}

/* All that is no memory, as the bytes of a state file. */
static int encode(struct controller *c, const uint8_t id[STATE_ID_LEN],
		  uint8_t **data, size_t *len, struct err *e)
{
	struct state *s = state_new();
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the state");
	memcpy(state_id(s), id, STATE_ID_LEN);
	rc = snapshot_config_save(c, false, s, e);
	rc = rc ? rc : machine_save(c->machine, s, e);
	rc = rc ? rc : state_encode(s, NULL, data, len, e);
	state_free(s);
	return rc;
}

static int write_pair(struct controller *c, const struct snapshot_create *body,
		      struct image_figures *figures, struct err *e)
{
	const bool want_sync = !body->has_sync || body->sync;
	struct state_pair pair;
	uint8_t *data = NULL;
	size_t len = 0;
	int rc = state_pair_begin(&pair, body->snapshot_path,
				  body->mem_file_path, e);

	if (rc)
		return rc;
	rc = encode(c, pair.mem.id, &data, &len, e);
	rc = rc ? rc : write_memory(c, body, pair.mem.fd, figures, e);
	rc = rc ? rc : state_pair_commit(&pair, data, len, want_sync, e);
	free(data);
	state_pair_fini(&pair);
	return rc;
}

int snapshot_create(struct controller *c, const struct snapshot_create *body,
		    struct err *e)
{
	const uint64_t begin_ns = clock_now_ns();
	struct image_figures figures = {0};
	int rc = check(c, body, e);

	rc = rc ? rc : machine_quiet(c->machine, e);
	if (rc)
		return rc;
	rc = write_pair(c, body, &figures, e);
	if (!rc)
		machine_image_kept(c->machine);
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
