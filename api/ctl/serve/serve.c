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
	char prefix[LEFTOVER_PREFIX];
	unsigned made;
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
static void signals_ready(struct loop_watch *w, uint32_t events)
{
	struct host *h = container_of(w, struct host, signals);
	struct signalfd_siginfo info;
	unsigned i;

	(void)events;
	if (read(h->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (h->drain_until_ns) {
		loop_stop(&h->loop);
		return;
	}
	loop_delete(&h->loop, &h->listener);
	fd_close(&h->listen_fd);
	/* Nobody comes any more who would need one at once. */
	for (i = 0; i < h->front.function_count; i++)
		h->front.functions[i].plan.options.spare = 0;
	h->drain_until_ns = clock_now_ns() + h->plan->drain_ms * MS_NS;
	h->drain.fire = drain_fire;
	loop_arm(&h->loop, &h->drain, clock_now_ns());
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
		if (!interrupt_is_ignored(ending[i]))
			sigaddset(&set, ending[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	h->signals.ready = signals_ready;
	return loop_add_signals(&h->loop, &h->signals, &set, &h->signal_fd, e);
}

static int make_functions(struct host *h, struct err *e)
{
	const struct serve_plan *plan = h->plan;
	char place[PATH_MAX - 80];
	unsigned i;
	int rc = place_disk(place, sizeof(place), e);

	if (rc)
		return rc;
	h->front.functions =
		calloc(plan->function_count, sizeof(struct function));
	if (!h->front.functions)
		return err_set(e, -ENOMEM, "no memory for functions");
	for (i = 0; i < plan->function_count; i++) {
		struct function *f = &h->front.functions[i];

		f->plan = plan->functions[i];
		plan->functions[i] = (struct function_plan){0};
		f->loop = &h->loop;
		f->prefix = h->prefix;
		f->made = &h->made;
		if (f->plan.options.mode != FUNCTION_COLD)
			snprintf(f->folder, sizeof(f->folder), "%s/%s-%s",
				 place, h->prefix, f->plan.name);
		function_init(f);
	}
	h->front.function_count = plan->function_count;
	return 0;
}

static int begin(struct host *h, struct err *e)
{
	char where[160];
	unsigned i;
	int rc = loop_open(&h->loop, e);

	if (!rc)
		rc = h->listen_fd = listener_open(h->plan->listen, where, e);
	if (rc < 0)
		return rc;
	raise_limit();
	leftover_sweep();
	leftover_prefix(h->prefix);
	rc = watch_signals(h, e);
	rc = rc ? rc : make_functions(h, e);
	h->listener.ready = listener_ready;
	rc = rc ? rc
		: loop_add(&h->loop, &h->listener, h->listen_fd, EPOLLIN, e);
	if (rc)
		return rc;
	for (i = 0; i < h->front.function_count; i++)
		function_tend(&h->front.functions[i]);
	h->plan->listening(where);
	return 0;
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
	unsigned i;
	int rc;

	h.front.loop = &h.loop;
	h.front.calls = &call_calls;
	h.front.stdio = &stdio_calls;
	rc = begin(&h, e);
	rc = rc ? rc : loop_run(&h.loop, e);
	/* What a client lets go of now is not made anew. */
	for (i = 0; i < h.front.function_count; i++)
		h.front.functions[i].is_ended = true;
	client_free_all(&h.front);
	for (i = 0; i < h.front.function_count; i++)
		function_fini(&h.front.functions[i]);
	free(h.front.functions);
	loop_delete(&h.loop, &h.listener);
	loop_delete(&h.loop, &h.signals);
	fd_close(&h.listen_fd);
	fd_close(&h.signal_fd);
	loop_close(&h.loop);
	return rc;
}
