#include "guest/agent/group.h"

#include "guest/agent/cgroup.h"
#include "guest/proto_group.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAILED = 125, VALUE_MAX = 256, PATH = CGROUP_NAME + 16 };

struct group {
	char id[PROTO_ID_MAX + 1];
	unsigned number;     /* its directory's name */
	int fd;		     /* its directory */
	struct watch events; /* memory.events */
	uint64_t kills;	     /* the last that was seen there */
	bool is_over;	     /* its container has ended */
	struct group *next;
};

static struct group *groups;
static unsigned groups_len;
static char top[CGROUP_NAME]; /* what all of them are in */

/* ---- finding and making ---------------------------------------------------
 */

static struct group *find(const char *id, size_t len)
{
	for (struct group *g = groups; g; g = g->next)
		if (strlen(g->id) == len && !memcmp(g->id, id, len))
			return g;
	return NULL;
}

int group_fd(const char *id)
{
	const struct group *g = find(id, strlen(id));

	return g ? g->fd : -1;
}

/* What a kernel has not, it says when a limit of it is set. */
static int top_make(void)
{
	static const char *const controllers[] = {
		"+cpu", "+cpuset", "+io", "+memory", "+pids", "+hugetlb",
	};
	char path[CGROUP_NAME + 32];
	int rc;

	if (*top)
		return 0;
	rc = cgroup_own("containers", top);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", top);
	for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers);
	     i++) {
		(void)cgroup_write(cgroup_root(), "cgroup.subtree_control",
				   controllers[i]);
		(void)cgroup_write(cgroup_root(), path, controllers[i]);
	}
	return 0;
}

static uint64_t kills_read(const struct group *g)
{
	char text[512];
	const char *at;

	/* From the file that is watched: reading it rests the watch. */
	const ssize_t n = g->events.fd < 0 ? -1
					   : pread(g->events.fd, text,
						   sizeof(text) - 1, 0);

	if (n < 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, "oom_kill ");
	return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

static void answer(struct session *s, uint64_t kills)
{
	struct proto_kills head;

	proto_put64(&head.kills, kills);
	s->group = NULL;
	if (s->is_ending)
		return;
	session_answer(s, PROTO_KILLS, &head, sizeof(head));
	session_idle(s);
}

static void answer_waiting(struct session *s, void *arg)
{
	const struct group *g = arg;

	if (s->group == g && (g->is_over || g->kills > s->seen))
		answer(s, g->kills);
}

static void events_ready(struct watch *w, uint32_t events)
{
	struct group *g = container_of(w, struct group, events);

	(void)events;
	g->kills = kills_read(g);
	sessions_each(answer_waiting, g);
}

/* By numbers, since one that is gone may still be held by what dies in it. */
static void place(unsigned number, char path[static PATH])
{
	snprintf(path, PATH, "%s/%u", top, number);
}

static int group_make(struct group *g)
{
	static unsigned count;
	const int root = cgroup_root();
	char path[PATH];
	int fd;

	g->number = ++count;
	place(g->number, path);
	if (mkdirat(root, path, 0755))
		return -errno;
	g->fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0)
		return -errno;
	/* Those that it makes itself have to be removed with it, one by one. */
	(void)cgroup_write(g->fd, "cgroup.max.depth", "16");
	(void)cgroup_write(g->fd, "cgroup.max.descendants", "1000");
	fd = openat(g->fd, "memory.events", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	watch_start(&g->events, fd, 0, events_ready);
	g->kills = kills_read(g);
	watch_set(&g->events, EPOLLPRI);
	return 0;
}

/* ---- the end --------------------------------------------------------------
 */

static void forget(struct session *s, void *arg)
{
	const struct group *g = arg;

	if (s->group == g)
		answer(s, g->kills);
}

/* What its last processes still hold goes with the next that is removed. */
static void sweep(unsigned number)
{
	static unsigned left[PROTO_CONTAINERS];
	char path[PATH];
	int rc;

	for (size_t i = 0; i < PROTO_CONTAINERS; i++) {
		if (!left[i]) {
			left[i] = number;
			number = 0;
		}
		place(left[i], path);
		rc = left[i] ? cgroup_remove(cgroup_root(), path) : 0;
		if (!rc || rc == -ENOENT)
			left[i] = 0;
	}
}

static void group_free(struct group *g)
{
	struct group **at = &groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	groups_len--;
	sessions_each(forget, g);
	watch_close(&g->events);
	if (g->fd >= 0)
		close(g->fd);
	sweep(g->number);
	free(g);
}

bool group_remove(struct bytes id)
{
	struct group *g = find(id.at, id.len);

	if (g)
		group_free(g);
	return g;
}

void group_ended(const char *id)
{
	struct group *g = find(id, strlen(id));

	if (!g)
		return;
	g->kills = kills_read(g);
	g->is_over = true;
	sessions_each(answer_waiting, g);
}

void groups_fini(void)
{
	while (groups)
		group_free(groups);
	if (!*top)
		return;
	sweep(0);
	unlinkat(cgroup_root(), top, AT_REMOVEDIR);
}

void group_kill(const char *id)
{
	const struct group *g = find(id, strlen(id));

	/* A kernel before 5.14 has none, and there they go on. */
	if (g)
		(void)cgroup_write(g->fd, "cgroup.kill", "1");
}

int group_enter(bool is_writable)
{
	static const char place[] = "/sys/fs/cgroup";
	struct stat st;

	if (unshare(CLONE_NEWCGROUP))
		return -errno;
	/* A kernel without has no such directory. */
	if (stat(place, &st))
		return 0;
	return mount("cgroup2", place, "cgroup2",
		     (is_writable ? 0 : MS_RDONLY) | MS_NOSUID | MS_NODEV |
			     MS_NOEXEC,
		     NULL)
		       ? -errno
		       : 0;
}

/* ---- requests -------------------------------------------------------------
 */

/* The group that a request's id names; answers if there is none. */
static struct group *named(struct session *s, struct reader *r)
{
	const struct bytes id = reader_string(r);
	struct group *g = reader_done(r) ? find(id.at, id.len) : NULL;

	if (r->is_bad || r->left)
		session_error(s, EPROTO, FAILED,
			      "this request is not as guest/proto.h has it");
	else if (!g)
		session_error(s, ENOENT, FAILED,
			      "there is no control group of %.*s",
			      (int)(id.len > 64 ? 64 : id.len), id.at);
	return g;
}

/* Of a controller, or the freezer, and in the group's own directory. */
static bool is_limit(const char *file)
{
	static const char *const controllers[] = {
		"cpu.", "cpuset.", "io.", "memory.", "pids.", "hugetlb.",
	};
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";

	if (!strcmp(file, "cgroup.freeze"))
		return true;
	if (strspn(file, letters) != strlen(file) ||
	    strlen(file) >= CGROUP_NAME)
		return false;
	for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers); i++)
		if (!strncmp(file, controllers[i], strlen(controllers[i])))
			return true;
	return false;
}

/* Answers if a limit is not to be had. */
static bool limits_set(struct session *s, const struct group *g,
		       char *const *limits)
{
	for (; limits[0] && limits[1]; limits += 2) {
		int rc = -EINVAL;

		if (is_limit(limits[0]) && strlen(limits[1]) < VALUE_MAX)
			rc = cgroup_write(g->fd, limits[0], limits[1]);
		if (!rc)
			continue;
		session_error(s, -rc, FAILED, "cannot set %.60s to %.60s: %s",
			      limits[0], limits[1],
			      rc == -ENOENT ? "the kernel has no such limit"
					    : strerror(-rc));
		return false;
	}
	return true;
}

static struct group *make(struct session *s, struct bytes id)
{
	struct group *g = NULL;
	int rc = groups_len < PROTO_CONTAINERS ? top_make() : -ENOSPC;

	if (!rc) {
		g = calloc(1, sizeof(*g));
		rc = g ? 0 : -ENOMEM;
	}
	if (!rc) {
		memcpy(g->id, id.at, id.len);
		g->fd = g->events.fd = -1;
		g->next = groups;
		groups = g;
		groups_len++;
		rc = group_make(g);
	}
	if (!rc)
		return g;
	session_error(s, -rc, FAILED, "cannot make a control group: %s",
		      strerror(-rc));
	if (g)
		group_free(g);
	return NULL;
}

void group_limit(struct session *s, struct reader *r)
{
	const struct bytes id = reader_string(r);
	char **limits = reader_strings(r);
	struct group *g, *is_there;
	size_t n = 0;

	while (limits && limits[n])
		n++;
	if (!limits || !reader_done(r) || n % 2 || id.len > PROTO_ID_MAX) {
		session_error(s, EPROTO, FAILED,
			      "GROUP is not as guest/proto.h has it");
		free(limits);
		return;
	}
	is_there = find(id.at, id.len);
	g = is_there ? is_there : make(s, id);
	if (g && limits_set(s, g, limits))
		session_done(s);
	else if (g && !is_there)
		group_free(g);
	free(limits);
}

static void put_file(struct session *s, const char *name, const char *text,
		     size_t len)
{
	writer_string(&s->tx, name, strlen(name));
	writer_string(&s->tx, text, len);
}

void group_stats(struct session *s, struct reader *r)
{
	static const char *const files[] = {
		"cpu.stat",	   "memory.current", "memory.max",
		"memory.stat",	   "memory.events",  "memory.swap.current",
		"memory.swap.max", "pids.current",   "pids.max",
		"io.stat",
	};
	const struct group *g = named(s, r);
	char text[PROTO_STAT_MAX + 1];
	struct proto_le32 count;
	uint32_t n = 0;
	size_t begin, at;

	if (!g)
		return;
	begin = frame_begin(&s->tx, PROTO_USAGE, 0);
	at = writer_len(&s->tx);
	proto_put32(&count, 0);
	writer_add(&s->tx, &count, sizeof(count));
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		const ssize_t len =
			cgroup_read(g->fd, files[i], text, sizeof(text));

		if (len < 0)
			continue;
		put_file(s, files[i], text, (size_t)len);
		n += 2;
	}
	proto_put32(&count, n);
	if (!s->tx.is_bad)
		memcpy(s->tx.buf + s->tx.from + at, &count, sizeof(count));
	frame_end(&s->tx, begin);
	session_idle(s);
}

void group_oom(struct session *s, struct reader *r)
{
	const struct proto_oom *head = reader_take(r, sizeof(*head));
	struct group *g = named(s, r);

	if (!g || !head)
		return;
	s->mode = SESSION_WAIT;
	s->group = g;
	s->seen = proto_get64(&head->seen);
	g->kills = kills_read(g);
	answer_waiting(s, g);
}
