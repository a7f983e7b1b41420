/* Making a snapshot: its files under other names, then in their places. */
#include "api/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/snapshot_config.h"
#include "api/snapshot_overlays.h"
#include "api/working_set.h"
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

static bool is_one_file(const struct snapshot_create *body)
{
	return !strcmp(body->snapshot_path, body->mem_file_path);
}

/*
 * What is at the path already, if it can be this memory's base: a diff's pages
 * go over it, and the older file stays as it is until the commit. It is a
 * memory file, or a state with memory behind it. fd -1 for none.
 */
static struct image_place open_base(const struct controller *c,
				    const struct snapshot_create *body)
{
	CLEAN_FD int fd = openat(AT_FDCWD, body->mem_file_path,
				 O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct image_place base = {.fd = -1};
	uint8_t head[STATE_HEAD_LEN];
	struct state_peek peek;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return base;
	if (is_one_file(body)) {
		if (fd_pread(fd, head, sizeof(head), 0) ||
		    !state_peek(head, &peek) || !peek.has_memory ||
		    peek.len > STATE_BYTES_MAX)
			return base;
		base.at = state_memory_at((size_t)peek.len);
	}
	if ((uint64_t)st.st_size == base.at + machine_memory(c->machine))
		base.fd = fd_steal(&fd);
	return base;
}

static int write_memory(struct controller *c,
			const struct snapshot_create *body,
			struct image_place to, struct image_figures *figures,
			struct err *e)
{
	const bool is_diff = body->type == SNAPSHOT_DIFF;
	const uint64_t size = machine_memory(c->machine);
	struct image_place base = {.fd = -1};
	int rc = 0;

	if (ftruncate(to.fd, (off_t)(to.at + size)))
		return err_errno(e, "can't make the memory file %s",
				 body->mem_file_path);
	if (is_diff)
		base = open_base(c, body);
	if (base.fd >= 0) {
		rc = image_copy(base, to, size, e);
		close(base.fd);
	}
	if (rc)
		return rc;
	return machine_write_image(
		c->machine, is_diff ? MACHINE_IMAGE_DIFF : MACHINE_IMAGE_FULL,
		to.fd, to.at, figures, e);
}

/* All that is no memory, as the bytes of a state file. */
struct encoded {
	uint8_t *data; /* owned */
	size_t len;
};

static int encode(struct controller *c, const uint8_t id[STATE_ID_LEN],
		  bool has_memory, const struct part *overlays,
		  struct encoded *out, struct err *e)
{
	struct state *s = state_new();
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the state");
	memcpy(state_id(s), id, STATE_ID_LEN);
	*state_has_memory(s) = has_memory;
	rc = snapshot_config_save(c, false, s, e);
	rc = rc ? rc : machine_save(c->machine, s, e);
	rc = rc ? rc : snapshot_overlays_save(c, s, overlays, e);
	rc = rc ? rc
		: state_encode(s, &c->snapshot_key, &out->data, &out->len, e);
	state_free(s);
	return rc;
}

static int write_pair(struct controller *c, const struct snapshot_create *body,
		      struct image_figures *figures, struct err *e)
{
	const bool want_sync = !body->has_sync || body->sync;
	const struct part *parts[3];
	struct encoded state = {0};
	struct state_pair pair;
	struct part overlays;
	int rc = state_pair_begin(&pair, body->snapshot_path,
				  body->mem_file_path, e);

	if (rc)
		return rc;
	parts[0] = &pair.mem;
	parts[1] = &pair.state;
	parts[2] = NULL;
	rc = snapshot_overlays_begin(c, &overlays, body, parts, e);
	rc = rc ? rc : encode(c, pair.mem.id, false, &overlays, &state, e);
	rc = rc ? rc
		: write_memory(c, body, (struct image_place){.fd = pair.mem.fd},
			       figures, e);
	rc = rc ? rc : snapshot_overlays_sync(&overlays, want_sync, e);
	if (!rc) {
		rc = state_pair_commit(&pair, state.data, state.len, want_sync,
				       e);
		rc = snapshot_overlays_commit(&overlays, want_sync, rc, e);
	}
	free(state.data);
	part_fini(&overlays);
	state_pair_fini(&pair);
	return rc;
}

/* State and memory in one file, which needs no ties between them. */
static int write_one(struct controller *c, const struct snapshot_create *body,
		     struct image_figures *figures, struct err *e)
{
	const bool want_sync = !body->has_sync || body->sync;
	struct encoded state = {0};
	const struct part *parts[2];
	struct image_place memory;
	struct part part, overlays;
	int rc = part_make(&part, body->snapshot_path, NULL, e);

	if (rc)
		return rc;
	parts[0] = &part;
	parts[1] = NULL;
	rc = snapshot_overlays_begin(c, &overlays, body, parts, e);
	rc = rc ? rc : encode(c, part.id, true, &overlays, &state, e);
	memory.fd = part.fd;
	memory.at = state_memory_at(state.len);
	rc = rc ? rc : write_memory(c, body, memory, figures, e);
	rc = rc ? rc : snapshot_overlays_sync(&overlays, want_sync, e);
	if (!rc) {
		rc = state_file_commit(&part, state.data, state.len, want_sync,
				       e);
		rc = snapshot_overlays_commit(&overlays, want_sync, rc, e);
	}
	free(state.data);
	part_fini(&overlays);
	part_fini(&part);
	return rc;
}

int snapshot_create(struct controller *c, const struct snapshot_create *body,
		    struct err *e)
{
	const uint64_t begin_ns = clock_now_ns();
	struct image_figures figures = {0};
	int rc = check(c, body, e);

	if (rc)
		return rc;
	working_set_end(c->working);
	rc = machine_quiet(c->machine, e);
	if (rc)
		return rc;
	rc = is_one_file(body) ? write_one(c, body, &figures, e)
			       : write_pair(c, body, &figures, e);
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
