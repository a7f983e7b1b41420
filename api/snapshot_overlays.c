/* What drives have written to their overlays, saved, loaded and taken back. */
#include "api/snapshot_overlays.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "devices/block.h"
#include "vmm/base/fd.h"
#include "vmm/state/file.h"

enum { OVERLAYS_VERSION = 1 };

static const char section[] = "overlays";

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

int snapshot_overlays_save(const struct controller *c, struct state *s,
			   const struct part *p, struct err *e)
{
	uint32_t count = count_overlays(&c->config), i;
	char id[CONFIG_ID_MAX + 1];
	struct file_head head;
	struct visitor v;
	uint64_t at = 1;
	int rc;

	if (!count)
		return 0;
	memcpy(head.mark, file_mark, sizeof(head.mark));
	memcpy(head.id, state_id(s), sizeof(head.id));
	rc = fd_pwrite(p->fd, &head, sizeof(head), 0);
	if (rc)
		return err_set(e, rc, "can't write %s: %s", p->name,
			       strerror(-rc));
	visitor_save(&v, OVERLAYS_VERSION, e);
	visit_u32(&v, &count);
	for (i = 0; i < c->config.drive_count; i++) {
		if (!overlay_of(c, i))
			continue;
		snprintf(id, sizeof(id), "%s", c->config.drives[i].drive_id);
		visit_id(&v, id);
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

/* ---- loading --------------------------------------------------------------
 */

void snapshot_overlays_note(const struct vm_config *config,
			    bool had[CONFIG_DRIVES_MAX])
{
	uint32_t i;

	for (i = 0; i < CONFIG_DRIVES_MAX; i++)
		had[i] = i < config->drive_count &&
			 config->drives[i].has_overlay;
}

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

/* One drive's; left[] are those that are still to come. */
static void load_one(const struct controller *c, struct state *s,
		     const char *path, struct visitor *v, uint64_t *at,
		     bool left[CONFIG_DRIVES_MAX])
{
	char id[CONFIG_ID_MAX + 1] = "";
	struct err why;
	int i, fd;

	visit_id(v, id);
	if (v->rc)
		return;
	i = config_find_drive(&c->config, id, NULL);
	if (!visit_check(v, i >= 0 && left[i] && overlay_of(c, (uint32_t)i),
			 "the overlay of '%s', which is no drive that had one",
			 id))
		return;
	left[i] = false;
	fd = open_file(path, s, &why);
	if (fd < 0)
		visit_fail(v, fd, "%s", why.text);
	else
		block_overlay_load(overlay_of(c, (uint32_t)i), fd, at, v);
}

static int load_section(const struct controller *c, struct state *s,
			const char *path, bool left[CONFIG_DRIVES_MAX],
			struct err *e)
{
	struct visitor v;
	uint32_t count = 0, i;
	uint64_t at = 1;
	int rc = state_section(s, section, OVERLAYS_VERSION, &v, e);

	if (rc)
		return rc;
	visit_u32(&v, &count);
	for (i = 0; i < count && !v.rc; i++)
		load_one(c, s, path, &v, &at, left);
	rc = visitor_end(&v);
	return rc ? err_context(e, "the state's section '%s'", section) : 0;
}

int snapshot_overlays_load(const struct controller *c, struct state *s,
			   const struct snapshot_load *body,
			   const bool had[CONFIG_DRIVES_MAX], struct err *e)
{
	bool left[CONFIG_DRIVES_MAX], any = false;
	char path[PATH_MAX];
	uint32_t i;
	int rc;

	memcpy(left, had, sizeof(left));
	for (i = 0; i < CONFIG_DRIVES_MAX; i++)
		any |= left[i];
	if (!any)
		return 0;
	rc = find_path(body->overlay_file_path, body->snapshot_path, path, e);
	rc = rc ? rc : load_section(c, s, path, left, e);
	for (i = 0; i < CONFIG_DRIVES_MAX && !rc; i++)
		if (left[i])
			rc = err_set(e, -EINVAL,
				     "the state lacks what the overlay of the "
				     "drive %s holds",
				     c->config.drives[i].drive_id);
	return rc;
}
