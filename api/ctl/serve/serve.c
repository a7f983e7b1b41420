/*
 * One process, one loop. What waits is done by children (maker.h), and what
 * could wait for a client or a guest is non-blocking.
 */
#include "api/ctl/serve/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/serve/call.h"
#include "api/ctl/serve/client.h"
#include "api/ctl/serve/front.h"
#include "api/ctl/serve/leftover.h"
#include "api/ctl/serve/listener.h"
#include "api/ctl/serve/reload.h"
#include "api/ctl/serve/roster.h"
#include "api/ctl/serve/stdio.h"
#include "api/ctl/vm/place.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum {
	ACCEPT_TURN = 16,
	DRAIN_LOOK_NS = 20000000,
	REST_NS = 100000000,
	FILES_MAX = 65536,
	MS_NS = 1000000
};

struct host {
	const struct serve_plan *plan; /* borrowed */
	struct loop loop;
	struct loop_watch listener, signals;
	struct loop_timer drain;
	struct loop_timer again;  /* where no descriptor was left */
	int listen_fd, signal_fd; /* owned */
	struct front front;
	struct roster roster;
	struct reload reload;
	uint64_t drain_until_ns;
};

static void name_peer(const struct sockaddr_storage *at,
		      char out[INET6_ADDRSTRLEN])
{
	*out = '\0';
	if (at->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)at)->sin_addr,
			  out, INET6_ADDRSTRLEN);
	if (at->ss_family == AF_INET6)
		inet_ntop(AF_INET6,
			  &((const struct sockaddr_in6 *)at)->sin6_addr, out,
			  INET6_ADDRSTRLEN);
}

static void again_fire(struct loop_timer *t)
{
	struct host *h = container_of(t, struct host, again);

	if (h->listen_fd >= 0)
		loop_change(&h->loop, &h->listener, EPOLLIN);
}

/* Who waits would wake us again and again. */
static void rest(struct host *h)
{
	loop_change(&h->loop, &h->listener, 0);
	h->again.fire = again_fire;
	loop_arm(&h->loop, &h->again, clock_now_ns() + REST_NS);
}

static void listener_ready(struct loop_watch *w, uint32_t events)
{
	struct host *h = container_of(w, struct host, listener);
	const int one = 1;
	unsigned i;

	(void)events;
	for (i = 0; i < ACCEPT_TURN; i++) {
		struct sockaddr_storage at = {0};
		socklen_t len = sizeof(at);
		char peer[INET6_ADDRSTRLEN];
		const int fd = accept4(h->listen_fd, (struct sockaddr *)&at,
				       &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED &&
		    errno != EINTR)
			rest(h);
		if (fd < 0)
			return;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
				 sizeof(one));
		name_peer(&at, peer);
		client_new(&h->front, fd, peer);
	}
}

/* ---- the end ------------------------------------------------------------ */

static void drain_fire(struct loop_timer *t)
{
	struct host *h = container_of(t, struct host, drain);
	const uint64_t now = clock_now_ns();

	client_drain(&h->front);
	if (!h->front.client_count || now >= h->drain_until_ns)
		loop_stop(&h->loop);
	else
		loop_arm(&h->loop, &h->drain, now + DRAIN_LOOK_NS);
}

/* Who asks twice does not want to wait. */
static void begin_end(struct host *h)
{
	if (h->drain_until_ns) {
		loop_stop(&h->loop);
		return;
	}
	loop_delete(&h->loop, &h->listener);
	fd_close(&h->listen_fd);
	roster_leave(&h->roster);
	h->drain_until_ns = clock_now_ns() + h->plan->drain_ms * MS_NS;
	h->drain.fire = drain_fire;
	loop_arm(&h->loop, &h->drain, clock_now_ns());
}

static int reread(struct reload *r, struct err *e)
{
	struct function_plan list[FRONT_FUNCTIONS_MAX] = {0};
	struct host *h = container_of(r, struct host, reload);
	struct roster_change change = {0};
	unsigned count = 0, i;
	int rc;

	if (h->drain_until_ns)
		return 0;
	rc = h->plan->reread(list, &count, e);
	if (!rc)
		rc = roster_set(&h->roster, list, count, &change, e);
	for (i = 0; i < count; i++)
		function_plan_fini(&list[i]);
	if (!rc)
		h->plan->reloaded(&change);
	return rc;
}

static void signals_ready(struct loop_watch *w, uint32_t events)
{
	struct host *h = container_of(w, struct host, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(h->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP || !h->plan->trial)
		begin_end(h);
	else if (!h->drain_until_ns)
		reload_ask(&h->reload);
}

/* ---- begin -------------------------------------------------------------- */

/* A request has two descriptors, a microVM three. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= FILES_MAX)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max
						    : FILES_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int watch_signals(struct host *h, struct err *e)
{
	static const int ending[] = {SIGTERM, SIGINT, SIGHUP};
	sigset_t set;
	unsigned i;

	sigemptyset(&set);
	/* One that nohup has us ignore would come by the signalfd. */
	for (i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (!interrupt_is_ignored(ending[i]) ||
		    (ending[i] == SIGHUP && h->plan->trial))
			sigaddset(&set, ending[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	h->signals.ready = signals_ready;
	return loop_add_signals(&h->loop, &h->signals, &set, &h->signal_fd, e);
}

static int make_functions(struct host *h, struct err *e)
{
	struct roster_change change;
	const int rc = roster_init(&h->roster, &h->front, &h->loop, e);

	h->reload.loop = &h->loop;
	h->reload.words = h->plan->trial;
	h->reload.read = reread;
	return rc ? rc
		  : roster_set(&h->roster, h->plan->functions,
			       h->plan->function_count, &change, e);
}

static int begin(struct host *h, struct err *e)
{
	char where[160];
	int rc = loop_open(&h->loop, e);

	if (!rc)
		rc = h->listen_fd = listener_open(h->plan->listen, where, e);
	if (rc < 0)
		return rc;
	raise_limit();
	leftover_sweep();
	rc = watch_signals(h, e);
	rc = rc ? rc : make_functions(h, e);
	h->listener.ready = listener_ready;
	rc = rc ? rc
		: loop_add(&h->loop, &h->listener, h->listen_fd, EPOLLIN, e);
	if (!rc)
		h->plan->listening(where);
	return rc;
}

int serve_run(const struct serve_plan *plan, struct err *e)
{
	struct host h = {
		.plan = plan,
		.listener.fd = -1,
		.signals.fd = -1,
		.listen_fd = -1,
		.signal_fd = -1,
		.front.log_fd = plan->log_fd,
	};
	int rc;

	h.front.loop = &h.loop;
	h.front.calls = &call_calls;
	h.front.stdio = &stdio_calls;
	rc = begin(&h, e);
	rc = rc ? rc : loop_run(&h.loop, e);
	/* What a client lets go of now is not made anew. */
	reload_fini(&h.reload);
	roster_stop(&h.roster);
	client_free_all(&h.front);
	roster_fini(&h.roster);
	loop_delete(&h.loop, &h.listener);
	loop_delete(&h.loop, &h.signals);
	fd_close(&h.listen_fd);
	fd_close(&h.signal_fd);
	loop_close(&h.loop);
	return rc;
}
