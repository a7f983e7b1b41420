/*
 * RUN and EXEC as they are told: what the peer says is copied and judged here;
 * the child that is made of it may trust it.
 */
#include "guest/agent/plan.h"

#include "guest/proto_security.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_BYTES = 1 << 20, LOG_MIN = 4 << 10, LOG_MAX = 16 << 20 };

bool plan_id_is_good(const char *id, size_t len)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_.-";

	return len > 0 && len <= PROTO_ID_MAX && strspn(id, letters) == len &&
	       strcmp(id, ".") != 0 && strcmp(id, "..") != 0;
}

bool plan_process(struct spawn *sp, struct reader *r)
{
	const struct proto_process *head = reader_take(r, sizeof(*head));

	*sp = (struct spawn){.pidfd = -1,
			     .ipc_fd = -1,
			     .uts_fd = -1,
			     .pid_fd = -1,
			     .group_fd = -1,
			     .status = -1};
	if (!head)
		return false;
	sp->flags = proto_get32(&head->flags);
	sp->rows = proto_get16(&head->rows);
	sp->columns = proto_get16(&head->columns);
	sp->rights.sets.bounding = proto_get64(&head->capabilities);
	sp->rights.sets.ambient = proto_get64(&head->ambient);
	sp->rights.has_no_new_privs = sp->flags & PROTO_NO_NEW_PRIVS;
	sp->user = reader_copy(r);
	sp->cwd = reader_copy(r);
	sp->argv = reader_strings(r);
	sp->env = reader_strings(r);
	return !r->is_bad && sp->argv[0];
}

static bool owner_read(struct root_mount *m, struct reader *r)
{
	const struct proto_owner *owner = reader_take(r, sizeof(*owner));

	if (!owner)
		return false;
	m->uid = proto_get32(&owner->uid);
	m->gid = proto_get32(&owner->gid);
	return true;
}

static void mounts_read(struct root *root, struct reader *r)
{
	const uint32_t n = reader_count(r);

	if (n > ROOT_MOUNTS)
		r->is_bad = true;
	for (uint32_t i = 0; i < n && !r->is_bad; i++) {
		const struct proto_mount *head = reader_take(r, sizeof(*head));
		struct root_mount *m = &root->mounts[root->mounts_len];

		if (!head)
			return;
		root->mounts_len++;
		m->flags = proto_get32(&head->flags);
		m->mode = proto_get32(&head->mode);
		m->tmp_bytes = proto_get64(&head->tmp_bytes);
		if (m->flags & PROTO_MOUNT_OWNER && !owner_read(m, r))
			return;
		m->serial = reader_copy(r);
		m->path = reader_copy(r);
		if (!m->path || m->path[0] != '/' ||
		    (m->flags & PROTO_MOUNT_SHARED &&
		     (!m->serial ||
		      !plan_id_is_good(m->serial, strlen(m->serial)))))
			r->is_bad = true;
	}
}

static void limits_read(struct container *c, struct reader *r)
{
	const uint32_t n = reader_count(r);

	if (n > SPAWN_LIMITS)
		r->is_bad = true;
	for (uint32_t i = 0; i < n && !r->is_bad; i++) {
		const struct proto_limit *head = reader_take(r, sizeof(*head));

		if (!head)
			return;
		c->limits[c->limits_len++] = (struct spawn_limit){
			.resource = proto_get32(&head->resource),
			.soft = proto_get64(&head->soft),
			.hard = proto_get64(&head->hard),
		};
	}
}

/* Lines of /etc/hosts, each of which is one. */
static void hosts_read(struct root *root, struct reader *r)
{
	root->hosts = reader_strings(r);
	for (char **line = root->hosts; line && *line; line++)
		for (const char *p = *line; *p; p++)
			if ((unsigned char)*p < ' ')
				r->is_bad = true;
}

/* A string into @to, which has @size bytes. */
static void string_into(struct reader *r, char *to, size_t size)
{
	const struct bytes b = reader_string(r);

	if (b.len >= size) {
		r->is_bad = true;
		return;
	}
	memcpy(to, b.at, b.len);
	to[b.len] = '\0';
}

/* What an EXEC will want to know; moved out of @sp, which borrows it. */
static void container_keep(struct container *c, struct spawn *sp)
{
	c->user = sp->user;
	c->cwd = sp->cwd;
	c->argv = sp->argv;
	c->env = sp->env;
	c->own_network = sp->flags & PROTO_OWN_NETWORK;
	c->rights = sp->rights;
}

void plan_rights(struct spawn *sp, struct reader *r)
{
	if (sp->flags & PROTO_SECURITY && !rights_read(&sp->rights, r))
		r->is_bad = true;
}

/* Its process's rights first, as of EXEC. */
static void walls_plan(struct container *c, struct spawn *sp, struct root *root,
		       struct reader *r)
{
	struct reader again = *r;
	const struct proto_security *head = reader_take(&again, sizeof(*head));
	struct walls *w;

	plan_rights(sp, r);
	if (!head || r->is_bad)
		return;
	w = calloc(1, sizeof(*w));
	if (!w) {
		r->is_bad = true;
		return;
	}
	root->walls = w;
	w->is_sys_writable = proto_get32(&head->flags) & PROTO_SECURITY_SYS;
	w->is_group_writable = proto_get32(&head->flags) &
			       PROTO_SECURITY_GROUPS;
	sp->has_nodes = proto_get32(&head->flags) & PROTO_SECURITY_NODES;
	walls_read(w, &sp->rights, r);
	c->rights = sp->rights;
	/* Without rules it would have all devices, the disks as well. */
	if (sp->has_nodes && !w->devices.rules_len)
		r->is_bad = true;
}

void plan_container(struct container *c, struct spawn *sp, struct root *root,
		    struct reader *r)
{
	const struct proto_run *head;
	uint32_t bytes;

	if (!plan_process(sp, r))
		r->is_bad = true;
	container_keep(c, sp);
	head = reader_take(r, sizeof(*head));
	if (!head)
		return;
	c->stop_signal = proto_get32(&head->stop_signal);
	root->shm_bytes = proto_get64(&head->shm_bytes);
	bytes = proto_get32(&head->log_bytes);
	c->log.size = bytes ? bytes : LOG_BYTES;
	if (c->log.size < LOG_MIN)
		c->log.size = LOG_MIN;
	if (c->log.size > LOG_MAX)
		c->log.size = LOG_MAX;
	string_into(r, c->id, sizeof(c->id));
	string_into(r, c->image, sizeof(c->image));
	string_into(r, c->hostname, sizeof(c->hostname));
	mounts_read(root, r);
	limits_read(c, r);
	hosts_read(root, r);
	if (sp->flags & PROTO_SECURITY)
		walls_plan(c, sp, root, r);
	sp->limits = c->limits;
	sp->limits_len = c->limits_len;
	if (!reader_done(r) || c->stop_signal > 64 ||
	    !plan_id_is_good(c->id, strlen(c->id)))
		r->is_bad = true;
}
