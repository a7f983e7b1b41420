#include "api/ctl/containerd/service.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/ctl/containerd/method.h"
#include "api/ctl/containerd/task.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

/* After Shutdown: so long events may be undelivered. */
enum { LAST_TRY_NS = 20000000, LAST_TRIES = 100 };

static void serve(struct ttrpc_server *server, struct ttrpc_call *c)
{
	struct service *s = container_of(server, struct service, server);

	method_serve(s, c);
	if (s->is_over && !s->last.due_ns)
		loop_arm(&s->loop, &s->last, clock_now_ns());
}

static void last_fire(struct loop_timer *t)
{
	struct service *s = container_of(t, struct service, last);
	static unsigned tries;

	if (s->tasks)
		s->is_over = false;
	else if (ttrpc_client_is_idle(&s->events) || ++tries > LAST_TRIES)
		loop_stop(&s->loop);
	else
		loop_arm(&s->loop, t, clock_now_ns() + LAST_TRY_NS);
}

/* SIGTERM, as when the host goes down: what runs is ended. */
static void signals_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	loop_stop(&container_of(w, struct service, signals)->loop);
}

static int watch_signals(struct service *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	s->signals.ready = signals_ready;
	return loop_add_signals(&s->loop, &s->signals, &set, &s->signal_fd, e);
}

int service_run(const struct host *h, int listen_fd, struct err *e)
{
	struct service s = {
		.host = h,
		.server.serve = serve,
		.signals.fd = -1,
		.signal_fd = -1,
		.shares = {.fd = -1, .watch.fd = -1},
		.last.fire = last_fire,
	};
	int rc = host_read_config(&s.config, e);

	if (!rc)
		rc = loop_open(&s.loop, e);
	if (rc) {
		unlink(h->socket);
		return rc;
	}
	rc = watch_signals(&s, e);
	if (!rc && h->events)
		rc = ttrpc_client_init(&s.events, &s.loop, h->events, e);
	if (!rc)
		rc = ttrpc_server_start(&s.server, &s.loop, listen_fd, e);
	if (!rc)
		rc = loop_run(&s.loop, e);
	/* First, so that nobody who starts a shim now takes us for one. */
	unlink(h->socket);
	while (s.tasks)
		task_drop(s.tasks);
	ttrpc_server_stop(&s.server);
	ttrpc_client_fini(&s.events);
	loop_close(&s.loop);
	fd_close(&s.signal_fd);
	host_config_fini(&s.config);
	return rc;
}
