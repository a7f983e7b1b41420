/*
 * Ports of the host that lead into the guest. A connection is a pair of
 * sockets: one that a client of the host opened, one to the guest's agent, who
 * first has to be told where it goes. After that, bytes are bytes.
 *
 * Each way has a buffer. It is read into when it is empty and written out of
 * before it is read into again, so a slow end slows the other and nobody else.
 */
#include "api/ctl/vm/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ctl/agent/dial.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { BACKLOG = 128, ACCEPT_TURN = 16 };

struct forward_port {
	struct loop_watch watch;
	struct forward *forward; /* borrowed */
	int fd;			 /* owned */
	uint16_t guest;
};

/* One end, and what was read from it and is still to be written. */
struct end {
	struct loop_watch watch;
	struct forward_pair *pair;
	int fd; /* owned */
	uint8_t *buffer;
	size_t at, len;
	bool is_eof;  /* nothing more comes from it */
	bool is_shut; /* nothing more goes to it */
};

struct forward_pair {
	struct forward *forward; /* borrowed */
	struct forward_pair *next;
	struct dial dial; /* until the guest has agreed */
	bool is_open;
	struct end host;
	struct end guest;
};

/* ---- listening ---------------------------------------------------------- */

static socklen_t make_address(const struct forward_rule *port,
			      struct sockaddr_storage *out)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	*out = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, port->address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port->host);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, port->address, &six->sin6_addr) != 1)
		return 0;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port->host);
	return sizeof(*six);
}

/* Binds as the rule says, of IPv6 to that alone unless is_dual. */
static int open_listener(const struct forward_rule *port, bool is_dual)
{
	struct sockaddr_storage address;
	socklen_t len = make_address(port, &address);
	const int one = 1, six_only = !is_dual;
	CLEAN_FD int fd = -1;

	if (!len)
		return -EINVAL;
	fd = socket(address.ss_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only,
		       sizeof(six_only)))
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, BACKLOG))
		return -errno;
	return fd_steal(&fd);
}

/* All addresses: of both families by one socket, where there is IPv6. */
static int listen_anywhere(struct forward_rule *port)
{
	int fd;

	memcpy(port->address, "::", sizeof("::"));
	fd = open_listener(port, true);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	memcpy(port->address, "0.0.0.0", sizeof("0.0.0.0"));
	return open_listener(port, false);
}

int forward_listen(struct forward_rule *port, struct err *e)
{
	CLEAN_FD int fd = *port->address ? open_listener(port, false)
					 : listen_anywhere(port);
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (fd < 0)
		return err_set(e, fd, "can't listen at %s, port %u: %s",
			       port->address, port->host, strerror(-fd));
	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return err_errno(e, "can't tell the port of -p");
	port->host =
		ntohs(address.ss_family == AF_INET
			      ? ((struct sockaddr_in *)&address)->sin_port
			      : ((struct sockaddr_in6 *)&address)->sin6_port);
	return fd_steal(&fd);
}

/* ---- a pair ------------------------------------------------------------- */

static void free_end(struct loop *loop, struct end *end)
{
	loop_delete(loop, &end->watch);
	fd_close(&end->fd);
	free(end->buffer);
}

static void free_pair(struct forward_pair *p)
{
	free_end(p->forward->loop, &p->host);
	free_end(p->forward->loop, &p->guest);
	p->forward->pair_count--;
	free(p);
}

static void end_pair(struct forward_pair *p)
{
	struct forward_pair **at = &p->forward->pairs;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	free_pair(p);
}

/* Reads from one end what there is room for. False where it is broken. */
static bool fill(struct end *from)
{
	ssize_t n;

	if (from->is_eof || from->len)
		return true;
	n = recv(from->fd, from->buffer, FORWARD_BUFFER, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	from->at = 0;
	from->len = (size_t)n;
	from->is_eof = n == 0;
	return true;
}

/* Writes what was read to the other end. False where it is broken. */
static bool drain(struct end *from, struct end *to)
{
	ssize_t n;

	while (from->len) {
		n = send(to->fd, from->buffer + from->at, from->len,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		from->at += (size_t)n;
		from->len -= (size_t)n;
	}
	if (from->is_eof && !to->is_shut) {
		to->is_shut = true;
		(void)shutdown(to->fd, SHUT_WR);
	}
	return true;
}

/* What an end waits for: room for what is there, or more to read. */
static uint32_t wants(const struct end *end, const struct end *other)
{
	return (!end->is_eof && !end->len ? (uint32_t)EPOLLIN : 0) |
	       (other->len ? (uint32_t)EPOLLOUT : 0);
}

/* False where it can't be watched. */
static bool watch_end(struct forward_pair *p, struct end *end,
		      const struct end *other)
{
	const uint32_t events = wants(end, other);

	if (end->watch.fd >= 0)
		loop_change(p->forward->loop, &end->watch, events);
	else if (events)
		return !loop_add(p->forward->loop, &end->watch, end->fd, events,
				 NULL);
	return true;
}

static void move_bytes(struct forward_pair *p)
{
	if (!fill(&p->host) || !fill(&p->guest) ||
	    !drain(&p->host, &p->guest) || !drain(&p->guest, &p->host) ||
	    (p->host.is_shut && p->guest.is_shut) ||
	    !watch_end(p, &p->host, &p->guest) ||
	    !watch_end(p, &p->guest, &p->host))
		end_pair(p);
}

static void end_ready(struct loop_watch *w, uint32_t events)
{
	struct end *end = container_of(w, struct end, watch);
	struct forward_pair *p = end->pair;
	int rc;

	/* Both ways are dead, whatever is still in a buffer. */
	if (events & EPOLLERR) {
		end_pair(p);
		return;
	}
	if (p->is_open) {
		/* A hang-up comes even when nothing is asked for, again and
		 * again. It says that both ways of this end were shut, and what
		 * the kernel and we still have of it is to arrive all the same:
		 * it is watched anew when it may be read. */
		if (events & EPOLLHUP &&
		    !wants(end, end == &p->host ? &p->guest : &p->host))
			loop_delete(p->forward->loop, w);
		else
			move_bytes(p);
		return;
	}
	/* A client that gives up before the guest has answered. */
	if (end == &p->host) {
		end_pair(p);
		return;
	}
	rc = dial_go_on(&p->dial, p->guest.fd);
	if (rc == -EAGAIN)
		return;
	if (rc) {
		log_warn_limited("-p: the guest takes no connection: %s",
				 strerror(-rc));
		end_pair(p);
		return;
	}
	p->is_open = true;
	move_bytes(p);
}

static int init_end(struct forward_pair *p, struct end *end, int fd,
		    uint32_t events, struct err *e)
{
	end->watch.ready = end_ready;
	end->pair = p;
	end->fd = fd;
	end->buffer = malloc(FORWARD_BUFFER);
	if (!end->buffer)
		return err_set(e, -ENOMEM, "no memory for a connection");
	return loop_add(p->forward->loop, &end->watch, fd, events, e);
}

/* Where its other end meant to connect to; 0 where that can't be told. */
static uint16_t dialled_port(int client)
{
	struct sockaddr_in address = {0};
	socklen_t len = sizeof(address);

	if (getsockname(client, (struct sockaddr *)&address, &len) ||
	    address.sin_family != AF_INET)
		return 0;
	return ntohs(address.sin_port);
}

static void connect_pair(struct forward_port *port, int client)
{
	struct forward *f = port->forward;
	struct forward_pair *p = calloc(1, sizeof(*p));
	CLEAN_FD int host = client;
	CLEAN_FD int guest = -1;
	const int one = 1;
	struct err e = {0};

	if (!p)
		return;
	p->forward = f;
	p->host.watch.fd = p->guest.watch.fd = -1;
	guest = dial_begin(&p->dial, f->socket,
			   port->guest ? port->guest : dialled_port(host), &e);
	if (guest < 0) {
		log_warn_limited("-p: %s", e.text);
		free(p);
		return;
	}
	(void)setsockopt(host, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p->next = f->pairs;
	f->pairs = p;
	f->pair_count++;
	if (init_end(p, &p->host, fd_steal(&host), 0, &e) ||
	    init_end(p, &p->guest, fd_steal(&guest), EPOLLIN, &e)) {
		log_warn_limited("-p: %s", e.text);
		end_pair(p);
	}
}

static void port_ready(struct loop_watch *w, uint32_t events)
{
	struct forward_port *port = container_of(w, struct forward_port, watch);
	unsigned i;
	int fd;

	(void)events;
	for (i = 0; i < ACCEPT_TURN; i++) {
		fd = accept4(port->fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		/* One more than can be served is refused, not kept waiting. */
		if (port->forward->pair_count >= FORWARD_MAX)
			close(fd);
		else
			connect_pair(port, fd);
	}
}

int forward_start(struct forward *f, struct loop *loop, const char *socket,
		  const struct forward_rule *ports, int *fds, unsigned count,
		  struct err *e)
{
	unsigned i;
	int rc;

	*f = (struct forward){.loop = loop, .socket = socket};
	f->ports = calloc(count ? count : 1, sizeof(*f->ports));
	if (!f->ports)
		return err_set(e, -ENOMEM, "no memory for -p");
	for (i = 0; i < count; i++) {
		struct forward_port *port = &f->ports[i];

		port->watch =
			(struct loop_watch){.fd = -1, .ready = port_ready};
		port->forward = f;
		port->fd = fd_steal(&fds[i]);
		port->guest = ports[i].guest;
		f->port_count++;
		rc = loop_add(loop, &port->watch, port->fd, EPOLLIN, e);
		if (rc)
			return rc;
	}
	return 0;
}

void forward_stop(struct forward *f)
{
	struct forward_pair *p, *next;
	unsigned i;

	for (p = f->pairs; p; p = next) {
		next = p->next;
		free_pair(p);
	}
	for (i = 0; i < f->port_count; i++) {
		loop_delete(f->loop, &f->ports[i].watch);
		fd_close(&f->ports[i].fd);
	}
	free(f->ports);
	*f = (struct forward){0};
}
