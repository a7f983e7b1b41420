/* What drives have written to their overlays, saved, loaded and taken back. */
#include "api/snapshot_overlays.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "devices/block.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/mem/frozen.h"
#include "vmm/state/file.h"

enum { OVERLAYS_VERSION = 1 };

static const char section[] = "overlays";

/* Of a fork, whose file is made before anybody knows what is in it. */
static const char fork_section[] = "overlays of a fork";

/*
 * The file's first cluster; the rest is what drives' clusters hold. It says
 * whose it is: nobody but a monitor reads it, so it need not be a bare image.
 */
struct file_head {
	char mark[8];
	uint8_t id[STATE_ID_LEN];
};

static const char file_mark[8] = "mayflyov";

static struct block_overlay *overlay_of(const struct controller *c, uint32_t i)
{
	return c->config.drives[i].has_overlay
		       ? block_overlay_of(c->devices.drives[i])
		       : NULL;
}

static uint32_t count_overlays(const struct vm_config *config)
{
	uint32_t i, n = 0;

	for (i = 0; i < config->drive_count; i++)
		n += config->drives[i].has_overlay;
	return n;
}

void snapshot_overlays_mark(const struct controller *c)
{
	uint32_t i;

	for (i = 0; i < c->config.drive_count; i++)
		if (overlay_of(c, i))
			block_overlay_mark(overlay_of(c, i));
}

void snapshot_overlays_reset(const struct controller *c)
{
	uint32_t i;

	for (i = 0; i < c->config.drive_count; i++)
		if (overlay_of(c, i))
			block_overlay_reset(overlay_of(c, i));
}

/* The first of a file that has overlays; name is for the sentence. */
static int write_head(int fd, const char *name, struct state *s, struct err *e)
{
	struct file_head head;
	int rc;

	memcpy(head.mark, file_mark, sizeof(head.mark));
	memcpy(head.id, state_id(s), sizeof(head.id));
	rc = fd_pwrite(fd, &head, sizeof(head), 0);
	return rc ? err_set(e, rc, "can't write %s: %s", name, strerror(-rc))
		  : 0;
}

/* ---- saving ---------------------------------------------------------------
 */

/* Beside the state, where nobody named another. */
static int find_path(const char *given, const char *state_path,
		     char out[PATH_MAX], struct err *e)
{
	const int n = given && *given ? snprintf(out, PATH_MAX, "%s", given)
				      : snprintf(out, PATH_MAX, "%s.overlays",
						 state_path);

	return n < PATH_MAX ? 0
			    : err_set(e, -ENAMETOOLONG,
				      "the path of the overlays' file is too "
				      "long; name another as "
				      "overlay_file_path");
}

int snapshot_overlays_begin(const struct controller *c, struct part *p,
			    const struct snapshot_create *body,
			    const struct part *const *others, struct err *e)
{
	const uint8_t *id = others[0]->id;
	char path[PATH_MAX];
	bool is_other;
	int rc;

	memset(p, 0, sizeof(*p));
	if (!count_overlays(&c->config))
		return 0;
	rc = find_path(body->overlay_file_path, body->snapshot_path, path, e);
	rc = rc ? rc : state_beside_begin(p, path, body->snapshot_path, id, e);
	/* Beside the file that has the id already there can be no other. */
	is_other = rc == -EEXIST;
	for (; !rc && *others; others++)
		is_other |= part_is_same(p, *others);
	if (is_other)
		rc = err_set(e, -EINVAL,
			     "%s is another file of the snapshot; give its "
			     "overlays a name of their own as "
			     "overlay_file_path",
			     path);
	if (rc)
		part_fini(p);
	return rc;
}

/* Which drive it is; out has room for a loaded one. */
static void visit_id(struct visitor *v, char out[CONFIG_ID_MAX + 1])
{
	uint8_t len = (uint8_t)strnlen(out, CONFIG_ID_MAX);

	visit_u8(v, &len);
	if (!visit_check(v, len && len <= CONFIG_ID_MAX,
			 "a drive's id of %u bytes", len))
		return;
	visit_bytes(v, out, len);
	out[len] = '\0';
}

static void save_id(struct visitor *v, const struct config_drive *drive)
{
	char id[CONFIG_ID_MAX + 1];

	snprintf(id, sizeof(id), "%s", drive->drive_id);
	visit_id(v, id);
}

int snapshot_overlays_save(const struct controller *c, struct state *s,
			   const struct part *p, struct err *e)
{
	uint32_t count = count_overlays(&c->config), i;
	struct visitor v;
	uint64_t at = 1;
	int rc;

	if (!count)
		return 0;
	rc = write_head(p->fd, p->name, s, e);
	if (rc)
		return rc;
	visitor_save(&v, OVERLAYS_VERSION, e);
	visit_u32(&v, &count);
	for (i = 0; i < c->config.drive_count; i++) {
		if (!overlay_of(c, i))
			continue;
		save_id(&v, &c->config.drives[i]);
		block_overlay_save(overlay_of(c, i), p->fd, &at, &v);
	}
	return state_add(s, section, &v, e);
}

int snapshot_overlays_sync(struct part *p, bool want_sync, struct err *e)
{
	return p->fd > 0 && want_sync ? state_beside_sync(p, e) : 0;
}

int snapshot_overlays_commit(struct part *p, bool want_sync, int rc,
			     struct err *e)
{
	if (p->fd <= 0)
		return rc;
	if (!rc)
		return state_beside_commit(p, "overlays' file", want_sync, e);
	/* Perhaps the state has its name already, and asks for it. */
	part_keep(p);
	return rc;
}

/* ---- a fork's -------------------------------------------------------------
 */

/* Its first cluster is the head's, as in every such file. */
int snapshot_overlays_fork_begin(const struct controller *c, int *fd,
				 struct err *e)
{
	uint64_t clusters = 1, at = 1;
	uint32_t i;
	int rc = 0;

	*fd = -1;
	if (!count_overlays(&c->config))
		return 0;
	for (i = 0; i < c->config.drive_count; i++)
		if (overlay_of(c, i))
			clusters += block_overlay_clusters(overlay_of(c, i));
	if (clusters > OVERLAY_PLACE)
		return err_set(e, -EFBIG,
			       "the drives with overlays have more than 2 TiB "
			       "together; a snapshot can have them");
	*fd = frozen_new("overlays", clusters * OVERLAY_CLUSTER, e);
	if (*fd < 0)
		return *fd;
	for (i = 0; i < c->config.drive_count && !rc; i++) {
		if (!overlay_of(c, i))
			continue;
		rc = block_overlay_fork_begin(overlay_of(c, i), *fd, at, e);
		at += block_overlay_clusters(overlay_of(c, i));
	}
	return rc;
}

/* Each gets its share of the time. */
int snapshot_overlays_fork_step(const struct controller *c, uint64_t for_ns,
				struct overlay_fork_look *look, struct err *e)
{
	const uint32_t count = count_overlays(&c->config);
	uint32_t i, few = 0;
	int rc = 0;

	for (i = 0; i < c->config.drive_count && rc >= 0; i++) {
		if (!overlay_of(c, i))
			continue;
		rc = block_overlay_fork_step(overlay_of(c, i),
					     clock_now_ns() + for_ns / count,
					     look, e);
		few += rc == 1;
	}
	return rc < 0 ? rc : few == count;
}

void snapshot_overlays_fork_again(const struct controller *c)
{
	uint32_t i;

	for (i = 0; i < c->config.drive_count; i++)
		if (overlay_of(c, i))
			block_overlay_fork_again(overlay_of(c, i));
}

int snapshot_overlays_fork_save(const struct controller *c, struct state *s,
				int fd, struct err *e)
{
	uint32_t count = count_overlays(&c->config), i;
	struct visitor v;
	uint64_t at = 1;
	int rc;

	if (!count)
		return 0;
	rc = write_head(fd, "the overlays", s, e);
	for (i = 0; i < c->config.drive_count && !rc; i++)
		if (overlay_of(c, i))
			rc = block_overlay_fork_rest(overlay_of(c, i), e);
	if (rc)
		return rc;
	visitor_save(&v, OVERLAYS_VERSION, e);
	visit_u32(&v, &count);
	for (i = 0; i < c->config.drive_count; i++) {
		if (!overlay_of(c, i))
			continue;
		save_id(&v, &c->config.drives[i]);
		block_overlay_fork_save(overlay_of(c, i), at, &v);
		at += block_overlay_clusters(overlay_of(c, i));
	}
	return state_add(s, fork_section, &v, e);
}

void snapshot_overlays_fork_end(const struct controller *c)
{
	uint32_t i;

	for (i = 0; i < c->config.drive_count; i++)
		if (overlay_of(c, i))
			block_overlay_fork_end(overlay_of(c, i));
}

/* ---- loading --------------------------------------------------------------
 */

/* The file, if it is this state's; a negative errno with a sentence. */
static int open_file(const char *path, struct state *s, struct err *e)
{
	CLEAN_FD int fd = state_beside_open(path, state_id(s), O_RDONLY,
					    "overlays' file", e);
	struct file_head head;

	if (fd < 0)
		return fd;
	if (fd_pread(fd, &head, sizeof(head), 0) ||
	    memcmp(head.mark, file_mark, sizeof(head.mark)) != 0 ||
	    memcmp(head.id, state_id(s), sizeof(head.id)) != 0)
		return err_set(e, -EINVAL,
			       "the overlays' file %s is not this snapshot's; "
			       "name the one that is as overlay_file_path",
			       path);
	return fd_steal(&fd);
}

int snapshot_overlays_open(const struct controller *c, struct state *s,
			   const struct snapshot_load *body,
			   struct saved_overlays *o, struct err *e)
{
	char path[PATH_MAX];
	uint32_t i;
	int rc;

	for (i = 0; i < c->config.drive_count; i++)
		o->had[i] = c->config.drives[i].has_overlay;
	if (!count_overlays(&c->config))
		return 0;
	if (c->is_fork && !body->overlay_file_path)
		return err_set(e, -EINVAL,
			       "this is a fork of a microVM whose drives have "
			       "overlays; give its third descriptor as "
			       "overlay_file_path");
	rc = find_path(body->overlay_file_path, body->snapshot_path, path, e);
	if (rc)
		return rc;
	o->fd = open_file(path, s, e);
	return o->fd < 0 ? o->fd : 0;
}

/* One drive's, which has to be among those that are still to come. */
static void load_one(const struct controller *c, struct visitor *v,
		     uint64_t *at, struct saved_overlays *from)
{
	struct block_overlay *o;
	char id[CONFIG_ID_MAX + 1] = "";
	int i, fd;

	visit_id(v, id);
	if (v->rc)
		return;
	i = config_find_drive(&c->config, id, NULL);
	if (!visit_check(
		    v, i >= 0 && from->had[i] && overlay_of(c, (uint32_t)i),
		    "the overlay of '%s', which is no drive that had one", id))
		return;
	from->had[i] = false;
	o = overlay_of(c, (uint32_t)i);
	fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		visit_fail(v, -errno, "no descriptor of the overlays' file: %s",
			   strerror(errno));
	else if (c->is_fork)
		block_overlay_fork_load(o, fd, v);
	else
		block_overlay_load(o, fd, at, v);
}

static int load_section(const struct controller *c, struct state *s,
			struct saved_overlays *from, struct err *e)
{
	const char *name = c->is_fork ? fork_section : section;
	struct visitor v;
	uint32_t count = 0, i;
	uint64_t at = 1;
	int rc = state_section(s, name, OVERLAYS_VERSION, &v, e);

	if (rc)
		return rc;
	visit_u32(&v, &count);
	for (i = 0; i < count && !v.rc; i++)
		load_one(c, &v, &at, from);
	rc = visitor_end(&v);
	return rc ? err_context(e, "the state's section '%s'", name) : 0;
}

int snapshot_overlays_load(const struct controller *c, struct state *s,
			   struct saved_overlays *from, struct err *e)
{
	uint32_t i;
	int rc = from->fd < 0 ? 0 : load_section(c, s, from, e);

	for (i = 0; i < CONFIG_DRIVES_MAX && !rc; i++)
		if (from->had[i])
			rc = err_set(e, -EINVAL,
				     "the state lacks what the overlay of the "
				     "drive %s holds",
				     c->config.drives[i].drive_id);
	return rc;
}
