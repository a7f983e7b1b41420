/*
 * virtio-vsock on the host's side. A process that wants a port of the guest
 * connects to our socket and says "CONNECT PORT\n"; once the guest has accepted
 * it is told "OK HOST_PORT\n", and from then on bytes pass. What the guest
 * connects to, port P of the host, is the socket of our path with "_P" behind
 * it.
 *
 * Processes of the host are not hostile but may be slow or mistaken: how long
 * and how many of them may be half-open is bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/vsock_device.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum {
	GREETING_BYTES = 32, /* "CONNECT 4294967295\n" and then some */
	ACCEPT_TURN = 32,
	BACKLOG = 4096,
};

#define CONNECT_NS 2000000000ULL
#define NO_FDS_NS  100000000ULL

/* ---- the socket --------------------------------------------------------- */

static int set_path(struct vsock *vs, const char *path, struct err *e)
{
	vs->address.sun_family = AF_UNIX;
	if (!*path || strlen(path) >= sizeof(vs->address.sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "vsock: a socket's path has 1 to %zu bytes, "
			       "\"%s\" does not; choose another uds_path",
			       sizeof(vs->address.sun_path) - 1, path);
	memcpy(vs->address.sun_path, path, strlen(path));
	return 0;
}

int vsock_host_listen(struct vsock *vs, const char *path, struct err *e)
{
	CLEAN_FD int fd = -1;
	struct stat st;
	int rc = set_path(vs, path, e);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "vsock: socket");
	if (bind(fd, (struct sockaddr *)&vs->address, sizeof(vs->address))) {
		if (errno != EADDRINUSE)
			return err_errno(e, "vsock: can't make the socket %s",
					 path);
		return err_set(e, -EADDRINUSE,
			       "vsock: %s exists; remove it if no other "
			       "microVM uses it, or choose another uds_path",
			       path);
	}
	/* Only what we made is removed in the end. */
	if (lstat(path, &st) || listen(fd, BACKLOG)) {
		err_errno(e, "vsock: can't listen on %s", path);
		unlink(path);
		return e->code;
	}
	vs->address_dev = st.st_dev;
	vs->address_ino = st.st_ino;
	vs->listen_fd = fd_steal(&fd);
	return 0;
}

int vsock_host_adopt(struct vsock *vs, const char *path, int fd, struct err *e)
{
	int rc = set_path(vs, path, e);

	if (rc)
		return rc;
	/* Its own stays open, for another try after a start that failed. */
	vs->listen_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return vs->listen_fd < 0 ? err_errno(e, "vsock: descriptor %d", fd) : 0;
}

void vsock_host_close(struct vsock *vs)
{
	const char *path = vs->address.sun_path;
	struct stat st;

	if (vs->listen_fd < 0)
		return;
	fd_close(&vs->listen_fd);
	/* No file of ours has inode 0: of one we took there is none. */
	if (vs->address_ino && !lstat(path, &st) &&
	    st.st_dev == vs->address_dev && st.st_ino == vs->address_ino)
		unlink(path);
}

/* ---- processes that connect --------------------------------------------- */

static void accept_less(struct vsock *vs)
{
	vs->is_accepting = false;
	loop_change(vs->virtio.device.host->loop, &vs->listen_watch, 0);
}

/* No descriptors or memory: those who connect wait in the backlog. */
static void accept_later(struct vsock *vs)
{
	log_warn_limited("%s: can't accept a connection: %s; raise the limit "
			 "of open files (RLIMIT_NOFILE), %d connections are "
			 "possible",
			 vs->id, strerror(errno), VSOCK_CONNS_MAX);
	accept_less(vs);
	vs->accept_again_ns = clock_now_ns() + NO_FDS_NS;
	vsock_set_timer(vs);
}

/* A process that just connected; it gets two seconds to say what it wants. */
static void take_in(struct vsock *vs, int fd)
{
	struct vsock_conn *c;

	/* Without a driver there is nobody to ask: it sees an end of file. */
	if (!vsock_is_up(vs)) {
		close(fd);
		return;
	}
	c = vsock_table_add(&vs->table, VSOCK_GREETING);
	if (!c) {
		log_warn_limited("%s: %u connections are open, one more is "
				 "refused",
				 vs->id, vs->table.count);
		close(fd);
		return;
	}
	c->fd = fd;
	vs->counters.conns_added++;
	if (vsock_watch(vs, c)) {
		vsock_drop(vs, c);
		return;
	}
	vsock_wait(vs, c, VSOCK_WAIT_GREETING);
	/* Most have said it already. */
	vsock_host_greet(vs, c);
}

void vsock_host_accept(struct vsock *vs)
{
	unsigned i;
	int fd;

	for (i = 0; i < ACCEPT_TURN; i++) {
		if (vs->table.greeting >= VSOCK_GREETING_MAX) {
			accept_less(vs);
			return;
		}
		fd = accept4(vs->listen_fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE ||
			       errno == ENOMEM || errno == ENOBUFS))
			accept_later(vs);
		if (fd < 0)
			return;
		take_in(vs, fd);
	}
}

/* The port of "CONNECT PORT", in any case; false for anything else. */
static bool parse_greeting(const char *line, uint32_t *port)
{
	uint64_t value = 0;
	unsigned digits = 0;

	if (strncasecmp(line, "CONNECT ", 8) != 0)
		return false;
	line += 8;
	line += strspn(line, " ");
	for (; *line >= '0' && *line <= '9' && digits < 10; line++, digits++)
		value = value * 10 + (uint64_t)(*line - '0');
	line += strspn(line, " \r");
	*port = (uint32_t)value;
	return digits && !*line && value <= UINT32_MAX;
}

void vsock_host_greet(struct vsock *vs, struct vsock_conn *c)
{
	char line[GREETING_BYTES + 1];
	ssize_t n;
	char *end;

	/* Only looked at, so that what follows the line is left for later. */
	n = recv(c->fd, line, GREETING_BYTES, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
	if (!end && n > 0 && n < GREETING_BYTES && !c->is_hung_up)
		return;
	if (!end || recv(c->fd, line, (size_t)(end - line) + 1, MSG_DONTWAIT) !=
			    end - line + 1) {
		vsock_drop(vs, c);
		return;
	}
	*end = '\0';
	if (memchr(line, '\0', (size_t)(end - line)) ||
	    !parse_greeting(line, &c->guest_port)) {
		vsock_drop(vs, c);
		return;
	}
	c->host_port = vsock_table_port(&vs->table, c->guest_port);
	c->state = VSOCK_ASKED;
	c->owes = VSOCK_OWES_REQUEST;
	vs->table.greeting--;
	vsock_table_hash(&vs->table, c);
	vsock_wait(vs, c, VSOCK_WAIT_ANSWER);
	vsock_table_ready(&vs->table, c);
	vsock_resume(vs, clock_now_ns());
}

/* From now on both sides may speak. */
static void open_up(struct vsock *vs, struct vsock_conn *c)
{
	c->state = VSOCK_OPEN;
	vsock_table_unwait(c);
	/* Whatever edge there was has been forgotten. */
	c->is_readable = true;
	vsock_settle(vs, c);
}

void vsock_host_accepted(struct vsock *vs, struct vsock_conn *c)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "OK %" PRIu32 "\n", c->host_port);

	if (send(c->fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n) {
		vsock_kill(vs, c);
		return;
	}
	open_up(vs, c);
}

/* ---- connections of the guest ------------------------------------------- */

/* Where the guest's port of the host is; false where no path is so long. */
static bool address_of(const struct vsock *vs, uint32_t port,
		       struct sockaddr_un *a)
{
	int n;

	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(a->sun_path, sizeof(a->sun_path), "%s_%" PRIu32,
		     vs->address.sun_path, port);
	return n > 0 && (size_t)n < sizeof(a->sun_path);
}

/* 0, -EAGAIN where the backlog is full, or another negative errno. */
static int try_connect(struct vsock *vs, struct vsock_conn *c)
{
	CLEAN_FD int fd = -1;
	struct sockaddr_un a;

	if (!address_of(vs, c->host_port, &a))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		log_warn_limited("%s: can't make a socket for the guest: %s; "
				 "raise the limit of open files "
				 "(RLIMIT_NOFILE), %d connections are possible",
				 vs->id, strerror(errno), VSOCK_CONNS_MAX);
		return -EMFILE;
	}
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return errno == EAGAIN ? -EAGAIN : -ECONNREFUSED;
	c->fd = fd_steal(&fd);
	return vsock_watch(vs, c);
}

void vsock_host_retry(struct vsock *vs, struct vsock_conn *c)
{
	int rc = try_connect(vs, c);

	if (rc == -EAGAIN && clock_now_ns() < c->give_up_ns) {
		vsock_wait(vs, c, VSOCK_WAIT_RETRY);
		return;
	}
	if (rc) {
		vsock_kill(vs, c);
		return;
	}
	c->owes = VSOCK_OWES_RESPONSE;
	open_up(vs, c);
}

void vsock_host_request(struct vsock *vs, const struct vsock_packet *p)
{
	struct vsock_conn *c = vsock_table_add(&vs->table, VSOCK_CONNECTING);

	if (!c) {
		log_warn_limited("%s: %u connections are open, one more of the "
				 "guest is refused",
				 vs->id, vs->table.count);
		vsock_refuse(vs, p);
		return;
	}
	vs->counters.conns_added++;
	c->host_port = p->dst_port;
	c->guest_port = p->src_port;
	c->peer_buf_alloc = p->buf_alloc;
	vsock_table_hash(&vs->table, c);
	c->give_up_ns = clock_now_ns() + CONNECT_NS;
	vsock_host_retry(vs, c);
}
