/*
 * A kubelet changes a volume by a new directory in it, and then one rename of
 * the link "..data" (Kubernetes, pkg/volume/util/atomic_writer.go). inotify
 * tells of it; when it has been quiet for a moment, all of the volume is packed
 * by a process of its own, for a disk may be slow, and if it is not what the
 * guest has, sent to the agent, which changes it as the kubelet does. One of
 * these is done at a time for each volume, however often it changes meanwhile.
 */
#include "api/ctl/containerd/share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/agent/ask.h"
#include "api/ctl/base/descriptors.h"
#include "api/ctl/base/pack.h"
#include "api/ctl/containerd/spec_mount.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

/*
 * It is looked at when it has been quiet for so long, or where it never is, so
 * long after the first change; after a failure once more, so long later.
 */
#define QUIET_NS  300000000ull
#define LATEST_NS 3000000000ull
#define RETRY_NS  10000000000ull

enum { EVENTS = 4096, LINK_MAX_LEN = 256 };

/* How the packing ends. */
enum { PACKED, FAILED, IN_CHANGE, GONE, TOO_LARGE };

struct share {
	struct share *next;
	struct shares *all; /* borrowed */
	char *path;	    /* owned */
	char name[sizeof(((struct session_mount *)0)->shared)];
	int wd; /* -1: it is not watched */
	struct loop_timer due;
	uint64_t changed_ns; /* when it first was; 0: it was not */
	/* While it is packed: */
	struct loop_watch packing;
	int said_fd, archive_fd; /* owned */
	pid_t pid;		 /* 0: it is not */
	/* While it is sent: */
	struct ask ask;
	uint8_t *archive; /* owned; NULL: it is not */
	uint8_t digest[SHA256_DIGEST_LENGTH], next_digest[SHA256_DIGEST_LENGTH];
	char said[256];
};

/* Once for each reason. */
static void complain(struct share *h, const char *why)
{
	if (!strncmp(h->said, why, sizeof(h->said) - 1))
		return;
	snprintf(h->said, sizeof(h->said), "%s", why);
	fprintf(stderr,
		"containerd-shim-mayfly-v1: %s: %s has changed, and its "
		"containers have it as it was before: %s\n",
		h->all->id, h->path, why);
}

static bool is_busy(const struct share *h)
{
	return h->pid || h->archive;
}

static void changed(struct share *h, uint64_t quiet_ns)
{
	const uint64_t now = clock_now_ns(), due = now + quiet_ns;
	uint64_t latest;

	h->changed_ns = h->changed_ns ? h->changed_ns : now;
	latest = h->changed_ns + LATEST_NS;
	if (!is_busy(h))
		loop_arm(h->all->loop, &h->due, due < latest ? due : latest);
}

/* It is neither packed nor sent any more; again_ns: it is to be once more. */
static void rest(struct share *h, uint64_t again_ns)
{
	free(h->archive);
	h->archive = NULL;
	/* Meanwhile. */
	if (h->changed_ns)
		changed(h, QUIET_NS);
	else if (again_ns)
		loop_arm(h->all->loop, &h->due, clock_now_ns() + again_ns);
}

/* ---- sending ------------------------------------------------------------ */

static void answered(struct ask *a, const struct session_frame *f,
		     const struct err *e)
{
	struct share *h = container_of(a, struct share, ask);

	if (f) {
		memcpy(h->digest, h->next_digest, sizeof(h->digest));
		h->said[0] = '\0';
	} else
		complain(h, e->text);
	ask_fini(a);
	rest(h, f ? 0 : RETRY_NS);
}

static void send_archive(struct share *h)
{
	const struct ask_whom whom = {.loop = h->all->loop,
				      .socket = h->all->socket};
	struct stat st = {0};
	struct err e = {0};
	SHA2_CTX sha;
	int rc = fstat(h->archive_fd, &st) ? -errno : 0;

	h->archive = rc ? NULL : malloc((size_t)st.st_size + 1);
	if (!rc)
		rc = h->archive ? fd_pread(h->archive_fd, h->archive,
					   (size_t)st.st_size, 0)
				: -ENOMEM;
	fd_close(&h->archive_fd);
	if (rc) {
		complain(h, strerror(-rc));
		rest(h, RETRY_NS);
		return;
	}
	SHA256Init(&sha);
	SHA256Update(&sha, h->archive, (size_t)st.st_size);
	SHA256Final(h->next_digest, &sha);
	if (!memcmp(h->digest, h->next_digest, sizeof(h->digest))) {
		rest(h, 0);
		return;
	}
	h->ask.answered = answered;
	if (ask_shared(&h->ask, &whom, h->name, h->archive, (size_t)st.st_size,
		       &e)) {
		complain(h, e.text);
		rest(h, RETRY_NS);
	}
}

/* ---- packing, in a process of its own ----------------------------------- */

struct sink {
	int fd;
	size_t len;
};

static int write_archive(void *ctx, const void *bytes, size_t len,
			 struct err *e)
{
	struct sink *to = ctx;
	int rc;

	if (len > SPEC_COPY_MAX - to->len)
		return err_set(e, -EFBIG, "it has more than %d MiB",
			       SPEC_COPY_MAX >> 20);
	rc = fd_write(to->fd, bytes, len);
	to->len += len;
	return rc ? err_set(e, rc, "no memory for it: %s", strerror(-rc)) : 0;
}

/* Where the volume's link leads; "" for what is no kubelet's. */
static void read_data_link(const char *path, char link[static LINK_MAX_LEN])
{
	char whole[PATH_MAX];
	ssize_t n;

	snprintf(whole, sizeof(whole), "%s/..data", path);
	n = readlink(whole, link, LINK_MAX_LEN - 1);
	link[n > 0 ? n : 0] = '\0';
}

/* Where the link has changed meanwhile, half of what it leads to may be. */
static int pack(const char *path, int archive_fd, int said_fd)
{
	char before[LINK_MAX_LEN], after[LINK_MAX_LEN];
	struct sink to = {.fd = archive_fd};
	const struct pack_sink sink = {write_archive, &to};
	struct err e = {0};
	int rc;

	read_data_link(path, before);
	rc = pack_tree(AT_FDCWD, path, ".", true, &sink, &e);
	read_data_link(path, after);
	if (access(path, F_OK))
		return GONE;
	if (strcmp(before, after) != 0)
		return IN_CHANGE;
	if (rc)
		(void)fd_write(said_fd, e.text, strlen(e.text));
	if (rc == -EFBIG)
		return TOO_LARGE;
	return rc ? FAILED : PACKED;
}

/* With SIGKILL it ends wherever it is; by itself it has. */
static int end_packing(struct share *h)
{
	int status = 0;

	loop_delete(h->all->loop, &h->packing);
	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		;
	h->pid = 0;
	fd_close(&h->said_fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

static void packing_ready(struct loop_watch *w, uint32_t events)
{
	struct share *h = container_of(w, struct share, packing);
	char why[256];
	ssize_t n = read(h->said_fd, why, sizeof(why) - 1);
	int how;

	(void)events;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	why[n > 0 ? n : 0] = '\0';
	how = end_packing(h);
	if (how == PACKED) {
		send_archive(h);
		return;
	}
	fd_close(&h->archive_fd);
	if (how == FAILED || how == TOO_LARGE)
		complain(h, why[0] ? why : "its packing was killed");
	/* What is too large is so until it changes. */
	if (how == IN_CHANGE)
		rest(h, QUIET_NS);
	else
		rest(h, how == FAILED ? RETRY_NS : 0);
}

static int begin_packing(struct share *h, struct err *e)
{
	int ends[2];

	h->archive_fd = memfd_create("volume", MFD_CLOEXEC);
	if (h->archive_fd < 0 || pipe2(ends, O_CLOEXEC))
		return err_errno(e, "no descriptor for it");
	h->pid = fork();
	if (!h->pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Who waits for the end of a stream must not wait for us. */
		descriptors_keep(h->archive_fd, ends[1]);
		_exit(pack(h->path, h->archive_fd, ends[1]));
	}
	close(ends[1]);
	h->said_fd = ends[0];
	if (h->pid > 0)
		return loop_add(h->all->loop, &h->packing, h->said_fd, EPOLLIN,
				e);
	h->pid = 0;
	fd_close(&h->said_fd);
	return err_errno(e, "can't fork");
}

static void due_fire(struct loop_timer *t)
{
	struct share *h = container_of(t, struct share, due);
	struct err e = {0};

	h->changed_ns = 0;
	if (!begin_packing(h, &e))
		return;
	if (h->pid) {
		kill(h->pid, SIGKILL);
		(void)end_packing(h);
	}
	fd_close(&h->archive_fd);
	complain(h, e.text);
	rest(h, RETRY_NS);
}

/* ---- watching ----------------------------------------------------------- */

static void events_ready(struct loop_watch *w, uint32_t events)
{
	struct shares *all = container_of(w, struct shares, watch);
	_Alignas(struct inotify_event) char buffer[EVENTS];
	const struct inotify_event *e;
	struct share *h;
	ssize_t n = read(all->fd, buffer, sizeof(buffer)), at;

	(void)events;
	for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
		e = (const struct inotify_event *)(const void *)(buffer + at);
		for (h = all->list; h; h = h->next) {
			/* Where events were lost it may be any of them. */
			if (h->wd != e->wd && !(e->mask & IN_Q_OVERFLOW))
				continue;
			/* The directory has gone, which is no error. */
			if (e->mask & IN_IGNORED)
				h->wd = -1;
			else
				changed(h, QUIET_NS);
		}
	}
}

static int watch(struct share *h, struct err *e)
{
	const uint32_t mask = IN_CREATE | IN_CLOSE_WRITE | IN_DELETE |
			      IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
	struct shares *all = h->all;
	int rc = 0;

	if (all->fd < 0) {
		all->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		all->watch =
			(struct loop_watch){.fd = -1, .ready = events_ready};
		rc = all->fd < 0 ? err_errno(e, "inotify")
				 : loop_add(all->loop, &all->watch, all->fd,
					    EPOLLIN, e);
		if (rc)
			fd_close(&all->fd);
	}
	if (!rc && h->wd < 0)
		h->wd = inotify_add_watch(all->fd, h->path, mask);
	if (!rc && h->wd < 0 && errno != ENOENT)
		rc = err_errno(e, "inotify");
	return rc;
}

static struct share *find(const struct shares *all, const char *name)
{
	struct share *h = all->list;

	while (h && strcmp(h->name, name) != 0)
		h = h->next;
	return h;
}

/* What the guest has is what the first container has brought. */
static struct share *add(struct shares *all, const char *path,
			 const struct session_mount *m)
{
	struct share *h = calloc(1, sizeof(*h));
	SHA2_CTX sha;

	if (!h || !(h->path = strdup(path))) {
		free(h);
		return NULL;
	}
	h->all = all;
	h->wd = h->said_fd = h->archive_fd = -1;
	h->due.fire = due_fire;
	h->packing = (struct loop_watch){.fd = -1, .ready = packing_ready};
	snprintf(h->name, sizeof(h->name), "%s", m->shared);
	SHA256Init(&sha);
	SHA256Update(&sha, m->bytes, m->len);
	SHA256Final(h->digest, &sha);
	h->next = all->list;
	all->list = h;
	return h;
}

void share_join(struct shares *all, const char *path,
		const struct session_mount *m)
{
	struct share *h = find(all, m->shared);
	struct err e = {0};

	h = h ? h : add(all, path, m);
	if (!h)
		return;
	if (watch(h, &e))
		fprintf(stderr,
			"containerd-shim-mayfly-v1: %s: changes of %s are not "
			"seen: %s; raise fs.inotify.max_user_instances and "
			"max_user_watches\n",
			all->id, path, e.text);
	changed(h, 0);
}

void share_doubt(struct shares *all, const char *path,
		 const struct session_mount *m)
{
	struct share *h = find(all, m->shared);

	h = h ? h : add(all, path, m);
	if (h)
		memset(h->digest, 0, sizeof(h->digest));
}

void shares_end(struct shares *all)
{
	while (all->list) {
		struct share *h = all->list;

		all->list = h->next;
		loop_disarm(all->loop, &h->due);
		if (h->pid) {
			kill(h->pid, SIGKILL);
			(void)end_packing(h);
		}
		ask_fini(&h->ask);
		fd_close(&h->archive_fd);
		free(h->archive);
		free(h->path);
		free(h);
	}
	if (all->fd >= 0)
		loop_delete(all->loop, &all->watch);
	fd_close(&all->fd);
}
