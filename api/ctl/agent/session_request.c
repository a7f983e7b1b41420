/*
 * What mayctl asks of the agent: frames put together in memory, and sent as far
 * as the socket takes them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api/ctl/agent/frame.h"

enum { INPUT_CHUNK = 32 << 10, GIVE_BACK = PROTO_WINDOW / 2, ENTROPY = 64 };

/* Names count as well. */
_Static_assert(SESSION_FILES_MAX + (64 << 10) <= PROTO_FILES_MAX,
	       "as many files as the agent takes");

_Static_assert(SESSION_SPARE_BYTES == PROTO_SPARE_BYTES, "guest/proto.h");

/*
 * What root may do in a container, as docker's containers have it: chown,
 * dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
 * net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
 */
#define CAPABILITIES                                                   \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 |   \
	 1ull << 6 | 1ull << 7 | 1ull << 8 | 1ull << 10 | 1ull << 13 | \
	 1ull << 18 | 1ull << 27 | 1ull << 29 | 1ull << 31)

bool session_is_full(const struct session *s)
{
	return s->out_len > 0;
}

size_t session_room(const struct session *s)
{
	size_t room = SESSION_OUT_MAX / 4;

	if (s->fd < 0 || !session_is_heard(s) || s->is_input_over ||
	    s->out_len >= room)
		return 0;
	room -= s->out_len;
	if (room > s->input_room)
		room = (size_t)s->input_room;
	return room < INPUT_CHUNK ? room : INPUT_CHUNK;
}

void session_input(struct session *s, const uint8_t *bytes, size_t len)
{
	if (frame_send(s, PROTO_DATA, PROTO_STDIN, bytes, len))
		s->input_room -= len < s->input_room ? len : s->input_room;
}

void session_end_input(struct session *s)
{
	if (!s->is_input_over)
		(void)frame_send(s, PROTO_EOF, PROTO_STDIN, NULL, 0);
	s->is_input_over = true;
}

void session_signal(struct session *s, int signal)
{
	struct proto_signal number;

	proto_put32(&number.signal, (uint32_t)signal);
	(void)frame_send(s, PROTO_SIGNAL, 0, &number, sizeof(number));
}

void session_resize(struct session *s, struct terminal_size size)
{
	struct proto_resize both;

	proto_put16(&both.rows, size.rows);
	proto_put16(&both.columns, size.columns);
	(void)frame_send(s, PROTO_RESIZE, 0, &both, sizeof(both));
}

void session_used(struct session *s, int stream, size_t n)
{
	struct proto_credit credit;

	if (stream != PROTO_STDOUT && stream != PROTO_STDERR)
		return;
	s->used[stream] += (uint32_t)n;
	if (s->used[stream] < GIVE_BACK)
		return;
	proto_put32(&credit.bytes, s->used[stream]);
	if (frame_send(s, PROTO_CREDIT, (uint8_t)stream, &credit,
		       sizeof(credit)))
		s->used[stream] = 0;
}

/* ---- requests ----------------------------------------------------------- */

static void put_resolver(struct payload *p, const struct session_plan *plan)
{
	const struct session_network *n = plan->network;
	char text[32];
	const char *const one[] = {text, NULL};

	if (!plan->dns && n && n->dns[0]) {
		snprintf(text, sizeof(text), "%u.%u.%u.%u", n->dns[0],
			 n->dns[1], n->dns[2], n->dns[3]);
		frame_list(p, one);
	} else {
		frame_list(p, plan->dns);
	}
	frame_list(p, plan->search);
	frame_list(p, plan->dns_options);
}

int frame_renew(struct session *s, const struct session_identity *who,
		struct err *e)
{
	struct proto_renew head = {0};
	uint8_t entropy[ENTROPY];
	struct timespec now;
	struct payload p;

	/* No clone may begin with what another has. */
	if (getrandom(entropy, sizeof(entropy), 0) != sizeof(entropy))
		return err_errno(e, "no random numbers");
	clock_gettime(CLOCK_REALTIME, &now);
	proto_put64(&head.time_ns,
		    (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	p = frame_begin(s);
	frame_put(&p, &head, sizeof(head));
	frame_string(&p, who->hostname);
	frame_number(&p, sizeof(entropy));
	frame_put(&p, entropy, sizeof(entropy));
	frame_number(&p, who->network ? 1 : 0);
	if (who->network)
		frame_interface(&p, who->network, who->mac);
	return frame_end(s, &p, PROTO_RENEW, 0) ? 0 : -E2BIG;
}

/* Before CONFIGURE, whose name and address are then its own. */
static int renew(struct session *s, const struct session_plan *plan,
		 struct err *e)
{
	const struct session_identity who = {
		.network = plan->network,
		.mac = plan->mac,
	};

	if (!plan->is_warm)
		return 0;
	s->done_due++;
	s->unsettled++;
	return frame_renew(s, &who, e);
}

/* The host's clock and some of its randomness come with it. */
static bool configure(struct session *s, const struct session_plan *plan)
{
	const struct session_network *n = plan->network;
	struct proto_configure c = {0};
	struct payload p = frame_begin(s);
	uint8_t entropy[ENTROPY];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	proto_put64(&c.time_ns,
		    (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	frame_put(&p, &c, sizeof(c));
	frame_string(&p, plan->hostname);
	frame_string(&p, SESSION_IMAGE_SERIAL);
	frame_string(&p, plan->has_upper ? SESSION_UPPER_SERIAL : "");
	if (getrandom(entropy, sizeof(entropy), 0) == sizeof(entropy)) {
		frame_number(&p, sizeof(entropy));
		frame_put(&p, entropy, sizeof(entropy));
	} else {
		frame_string(&p, "");
	}
	/* What RENEW has set up is there. */
	if (plan->is_warm)
		n = NULL;
	frame_number(&p, n ? 1 : 0);
	if (n)
		frame_interface(&p, n, NULL);
	put_resolver(&p, plan);
	s->done_due++;
	if (plan->is_warm)
		s->unsettled++;
	return frame_end(s, &p, PROTO_CONFIGURE, 0);
}

/* As docker has it: what is added counts even where ALL are dropped. */
static uint64_t capabilities_of(const struct session_plan *plan)
{
	if (plan->cap_add == UINT64_MAX)
		return ~plan->cap_drop;
	return (CAPABILITIES & ~plan->cap_drop) | plan->cap_add;
}

static void put_process(struct payload *p, const struct session_plan *plan)
{
	const struct session_security *security = plan->security;
	struct proto_process process = {0};

	proto_put32(&process.flags,
		    (plan->has_tty ? PROTO_TTY : 0u) |
			    (plan->has_stdin ? PROTO_INPUT : 0u) |
			    (plan->is_kept ? PROTO_KEEP : 0u) |
			    (plan->is_detached ? PROTO_DETACH : 0u) |
			    (plan->has_no_new_privs ? PROTO_NO_NEW_PRIVS : 0u) |
			    (plan->has_init ? PROTO_INIT : 0u) |
			    (plan->is_idle ? PROTO_IDLE : 0u) |
			    (plan->is_read_only ? PROTO_READ_ONLY : 0u) |
			    (security ? PROTO_SECURITY : 0u));
	if (plan->has_tty) {
		proto_put16(&process.rows, plan->size.rows);
		proto_put16(&process.columns, plan->size.columns);
	}
	if (security && security->has_sets) {
		proto_put64(&process.capabilities, security->bounding);
		proto_put64(&process.ambient, security->ambient);
	} else if (plan->kind == SESSION_RUN) {
		proto_put64(&process.capabilities, capabilities_of(plan));
	}
	frame_put(p, &process, sizeof(process));
	frame_string(p, plan->user);
	frame_string(p, plan->workdir);
	frame_list(p, plan->argv);
	frame_list(p, plan->env);
}

/* What a mount is of: a disk's serial, or a file's name. */
static void name_mount(const struct session_plan *plan, unsigned i,
		       char name[static 32])
{
	const struct session_mount *m = &plan->mounts[i];

	name[0] = '\0';
	if (m->kind == SESSION_DISK)
		snprintf(name, 32, SESSION_VOLUME_SERIAL, m->volume);
	else if (m->kind == SESSION_FILE)
		snprintf(name, 32, "%u", i);
	else if (m->kind == SESSION_SHARED)
		snprintf(name, 32, "%s", m->shared);
}

static bool has_file(const struct session_mount *m)
{
	return m->kind == SESSION_FILE ||
	       (m->kind == SESSION_SHARED && m->bytes);
}

/* What is in the files, before the RUN that has them; a file of nothing is one
 * FILE, too. */
static bool put_files(struct session *s, const struct session_plan *plan)
{
	bool fits = true;

	for (unsigned i = 0; i < plan->mount_count; i++) {
		const struct session_mount *m = &plan->mounts[i];
		struct proto_file head;
		char name[32];
		size_t done = 0;

		if (!has_file(m))
			continue;
		proto_put32(&head.mode, m->mode);
		proto_put32(&head.uid, m->uid);
		proto_put32(&head.gid, m->gid);
		name_mount(plan, i, name);
		do {
			const size_t left = m->len - done;
			const size_t len =
				left < PROTO_FILE_MAX ? left : PROTO_FILE_MAX;
			struct payload p = frame_begin(s);

			frame_put(&p, &head, sizeof(head));
			frame_string(&p, name);
			frame_number(&p, (uint32_t)len);
			frame_put(&p, (const uint8_t *)m->bytes + done, len);
			s->done_due++;
			fits = fits && frame_end(s, &p, PROTO_FILE, 0);
			done += len;
		} while (done < m->len);
	}
	return fits;
}

/* Room for the files beside what else is sent. */
static int make_room(struct session *s, const struct session_plan *plan,
		     struct err *e)
{
	size_t len = 0, frames = 0;
	uint8_t *out;

	for (unsigned i = 0; i < plan->mount_count; i++) {
		if (!has_file(&plan->mounts[i]))
			continue;
		if (plan->mounts[i].len > SESSION_FILES_MAX - len)
			return err_set(e, -E2BIG,
				       "the files for the container have more "
				       "than %d KiB; give their directory",
				       SESSION_FILES_MAX >> 10);
		len += plan->mounts[i].len;
		frames += 1 + plan->mounts[i].len / PROTO_FILE_MAX;
	}
	if (!frames)
		return 0;
	len += SESSION_OUT_MAX + 128 * frames;
	out = realloc(s->out, len);
	if (!out)
		return err_set(e, -ENOMEM, "no memory for the files");
	s->out = out;
	s->out_max = len;
	return 0;
}

static void put_mounts(struct payload *p, const struct session_plan *plan)
{
	frame_number(p, plan->mount_count);
	for (unsigned i = 0; i < plan->mount_count; i++) {
		const struct session_mount *m = &plan->mounts[i];
		const bool has_owner = (m->kind == SESSION_TMPFS ||
					m->kind == SESSION_SHARED) &&
				       (m->uid || m->gid);
		struct proto_mount mount = {0};
		struct proto_owner owner;
		char name[32];

		proto_put32(&mount.flags,
			    (m->is_read_only ? PROTO_MOUNT_READ_ONLY : 0u) |
				    (m->is_no_exec ? PROTO_MOUNT_NO_EXEC : 0u) |
				    (m->is_no_suid ? PROTO_MOUNT_NO_SUID : 0u) |
				    (m->kind == SESSION_FILE ? PROTO_MOUNT_FILE
							     : 0u) |
				    (m->kind == SESSION_SHARED
					     ? PROTO_MOUNT_SHARED
					     : 0u) |
				    (has_owner ? PROTO_MOUNT_OWNER : 0u));
		if (m->kind == SESSION_TMPFS || m->kind == SESSION_SHARED)
			proto_put32(&mount.mode, m->mode);
		proto_put64(&mount.tmp_bytes, m->tmp_bytes);
		frame_put(p, &mount, sizeof(mount));
		proto_put32(&owner.uid, m->uid);
		proto_put32(&owner.gid, m->gid);
		if (has_owner)
			frame_put(p, &owner, sizeof(owner));
		name_mount(plan, i, name);
		frame_string(p, name);
		frame_string(p, m->target);
	}
}

static bool put_group(struct session *s, const struct session_plan *plan)
{
	if (!plan->group)
		return true;
	s->done_due++;
	return frame_group(s, plan->id, plan->group);
}

static bool run(struct session *s, const struct session_plan *plan)
{
	struct payload p = frame_begin(s);
	struct proto_run r = {0};

	put_process(&p, plan);
	proto_put32(&r.stop_signal, (uint32_t)plan->stop_signal);
	proto_put64(&r.shm_bytes, plan->shm_bytes);
	frame_put(&p, &r, sizeof(r));
	frame_container(&p, plan->id);
	frame_string(&p, plan->image);
	frame_string(&p, plan->hostname);
	put_mounts(&p, plan);
	frame_number(&p, plan->limit_count);
	for (unsigned i = 0; i < plan->limit_count; i++) {
		const struct session_limit *l = &plan->limits[i];
		struct proto_limit limit;

		proto_put32(&limit.resource, (uint32_t)l->resource);
		proto_put64(&limit.soft, l->soft);
		proto_put64(&limit.hard, l->hard);
		frame_put(&p, &limit, sizeof(limit));
	}
	frame_list(&p, plan->hosts);
	if (plan->security) {
		frame_rights(&p, plan->security);
		frame_walls(&p, plan->security);
	}
	return frame_end(s, &p, PROTO_RUN, 0);
}

static bool exec(struct session *s, const struct session_plan *plan)
{
	struct payload p = frame_begin(s);

	put_process(&p, plan);
	frame_container(&p, plan->id);
	if (plan->security)
		frame_rights(&p, plan->security);
	return frame_end(s, &p, PROTO_EXEC, 0);
}

/* A request that is a struct, the container's name, and perhaps a string. */
static bool ask(struct session *s, uint8_t type, const void *head, size_t len,
		const char *path)
{
	struct payload p = frame_begin(s);

	frame_put(&p, head, len);
	frame_string(&p, SESSION_CONTAINER);
	if (path)
		frame_string(&p, path);
	return frame_end(s, &p, type, 0);
}

int session_start(struct session *s, const struct session_plan *plan,
		  struct err *e)
{
	bool fits = true;
	int rc = frame_greet(s, e);

	if (rc)
		return rc;
	if (plan->kind == SESSION_RUN) {
		rc = make_room(s, plan, e);
		rc = rc ? rc : renew(s, plan, e);
		if (rc)
			return rc;
		fits = (plan->is_another || configure(s, plan)) &&
		       put_group(s, plan) && put_files(s, plan) && run(s, plan);
	} else if (plan->kind == SESSION_EXEC)
		fits = exec(s, plan);
	else
		fits = ask(s, PROTO_ATTACH, NULL, 0, NULL);
	if (fits)
		return 0;
	return err_set(e, -E2BIG,
		       "the command and its environment have more than %d KiB",
		       PROTO_REQUEST_MAX >> 10);
}

static int copy(struct session *s, uint8_t type, uint32_t flags,
		const char *path, struct err *e)
{
	struct proto_copy head;
	int rc = frame_greet(s, e);

	proto_put32(&head.flags, flags);
	if (!rc && !ask(s, type, &head, sizeof(head), path))
		rc = err_set(e, -E2BIG, "%s is too long a path", path);
	return rc;
}

int session_copy_in(struct session *s, const char *path, bool has_owners,
		    struct err *e)
{
	return copy(s, PROTO_COPY_IN, has_owners ? 0 : PROTO_COPY_OWN, path, e);
}

int session_copy_out(struct session *s, const char *path, bool is_followed,
		     struct err *e)
{
	return copy(s, PROTO_COPY_OUT, is_followed ? PROTO_COPY_FOLLOW : 0,
		    path, e);
}

void session_sync(struct session *s)
{
	const struct proto_remove forced = {.force = {{1}}};

	/* Removing the container unmounts its disks; their journals are clean
	 * then. Should that fail, what was written is safe all the same. */
	s->done_due++;
	(void)frame_send(s, PROTO_SYNC, 0, NULL, 0);
	(void)ask(s, PROTO_REMOVE, &forced, sizeof(forced), NULL);
}
