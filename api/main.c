/*
 * mayfly: runs one microVM. Without an API, all that stands between exec and
 * the machine is the command line, one file and a handful of system calls; the
 * order below is the order of what each step needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/confine.h"
#include "api/controller.h"
#include "api/describe.h"
#include "api/faults.h"
#include "api/json/json.h"
#include "api/options.h"
#include "api/pager.h"
#include "api/server.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/relro.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/state/file.h"

/* What lives as long as the process. */
struct monitor {
	struct options options;
	struct loop loop;
	struct controller controller;
	struct server server;
	struct confine *confine; /* owned; NULL for no filters */
	struct loop_watch signals;
	int signal_fd; /* owned */
	int signal;    /* the one that ended us, 0 for none */
	uint64_t main_ns;
};

static uint64_t phase_us(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

/*
 * Run out of memory it would have the name of a descriptor, and of a file with
 * another name that. Else the kernel has done it.
 */
static void take_name(void)
{
	const char *file = (const char *)getauxval(AT_EXECFN);
	const char *slash = file ? strrchr(file, '/') : NULL;

	if (!slash || strcmp(slash + 1, "mayfly") != 0)
		prctl(PR_SET_NAME, "mayfly");
}

/*
 * Descriptors 0 to 2 are taken before we open anything: a drive must never
 * become somebody's stdout, and fd_close() takes 0 for "none".
 */
static void hold_standard_fds(void)
{
	struct pollfd fds[3] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};
	int fd;

	if (poll(fds, 3, 0) <= 0)
		return;
	/* A jail need not have devices; a root directory there always is. */
	for (fd = 0; fd < 3; fd++)
		if (fds[fd].revents & POLLNVAL &&
		    openat(AT_FDCWD, "/dev/null", O_RDWR) != fd &&
		    openat(AT_FDCWD, "/", O_PATH) != fd)
			abort();
}

static void signals_ready(struct loop_watch *w, uint32_t events)
{
	struct monitor *m = container_of(w, struct monitor, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(m->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	m->signal = (int)info.ssi_signo;
	m->server.is_closing = true;
	log_info("ended by signal %d of process %u", m->signal, info.ssi_pid);
	loop_stop(&m->loop);
}

/*
 * SIGTERM, SIGINT and SIGHUP become events of the loop. They are blocked here,
 * before there is any other thread, so that all threads inherit it; what is
 * blocked arrives, also where whoever started us had it ignored. All else is
 * not, for a mask survives exec: a fault that is blocked would end us
 * wordlessly. Handlers come first, since any may be pending. vCPUs' threads
 * unblock what takes them out of the guest.
 */
static int take_signals(struct monitor *m, struct err *e)
{
	sigset_t events, blocked;
	int rc;

	sigemptyset(&events);
	sigaddset(&events, SIGTERM);
	sigaddset(&events, SIGINT);
	sigaddset(&events, SIGHUP);
	/*
	 * What writes to a reader that has gone gets EPIPE, and a guest that
	 * writes to its disk beyond the monitor's file size limit EFBIG for
	 * that request; neither must end the monitor.
	 */
	blocked = events;
	sigaddset(&blocked, SIGPIPE);
	sigaddset(&blocked, SIGXFSZ);
	faults_take();
	vcpu_take_kicks(&blocked);
	if (sigprocmask(SIG_SETMASK, &blocked, NULL))
		return err_errno(e, "sigprocmask");
	m->signals.ready = signals_ready;
	rc = loop_add_signals(&m->loop, &m->signals, &events, &m->signal_fd, e);
	m->controller.signal_fd = m->signal_fd;
	return rc;
}

/* The command line's part of the logger; the config file's comes on top. */
static int take_log_options(struct monitor *m, struct err *e)
{
	const struct options *o = &m->options;
	struct config_logger body = {
		.show_level = true,
		.show_log_origin = o->show_log_origin,
		.has_show_level = o->show_level,
		.has_show_log_origin = o->show_log_origin,
	};
	int rc;

	if (!o->log_path && !o->level && !o->module && !o->show_level &&
	    !o->show_log_origin)
		return 0;
	body.log_path = o->log_path ? strdup(o->log_path) : NULL;
	body.level = o->level ? strdup(o->level) : NULL;
	body.module = o->module ? strdup(o->module) : NULL;
	rc = config_set_logger(&m->controller.config, &body, e);
	json_unbind(&config_logger_table, &body);
	return rc;
}

/* Of --metrics-path, on top of which there is none in the config file. */
static int open_metrics(struct monitor *m, struct err *e)
{
	struct controller *c = &m->controller;
	const char *file = c->config.metrics.metrics_path;
	const char *path = m->options.metrics_path;
	struct config_metrics body;
	int rc;

	if (path && file)
		return err_set(e, -EEXIST,
			       "the metrics have a file by --metrics-path and "
			       "another in the config file; leave one out");
	if (!path && !file)
		return 0;
	body.metrics_path = strdup(path ? path : file);
	if (!body.metrics_path)
		return err_set(e, -ENOMEM, "no memory for the metrics' path");
	rc = controller_set_metrics(c, &body, e);
	json_unbind(&config_metrics_table, &body);
	return rc;
}

/* Returns an exit code; 0 to go on. */
static int configure(struct monitor *m, struct err *e)
{
	const struct options *o = &m->options;
	struct controller *c = &m->controller;

	log_set_id(o->id);
	controller_init(c, &m->loop, o->id, controller_collect);
	c->has_boot_timer = o->boot_timer || o->timing;
	c->tells_phases = o->boot_timer;
	c->has_api = !o->no_api;
	c->config.kvm_fd = (int)o->kvm_fd;
	c->config.vsock_fd = (int)o->vsock_fd;
	/* Now, for later there are filters. */
	if (o->vsock_fd && fd_check_listener((int)o->vsock_fd, "for vsock", e))
		return EXIT_BAD_ARGUMENT;
	if (take_log_options(m, e))
		return EXIT_BAD_ARGUMENT;
	if (o->snapshot_key &&
	    state_key_read(o->snapshot_key, &c->snapshot_key, e))
		return EXIT_BAD_ARGUMENT;
	if (o->config_file && config_load(&c->config, o->config_file, e))
		return EXIT_BAD_CONFIG;
	if ((c->config.has_logger || o->boot_timer) &&
	    controller_apply_logger(c, e))
		return EXIT_BAD_CONFIG;
	if (confine_new(&m->confine, o->no_seccomp, o->seccomp_filter, e))
		return EXIT_BAD_ARGUMENT;
	c->confine = m->confine;
	return 0;
}

/* What it took to get here, as far as whoever started us told. */
static void log_start(struct monitor *m)
{
	const struct options *o = &m->options;
	struct metrics *metrics = &m->controller.metrics;

	if (!o->start_time_us)
		return;
	metrics->startup_us = phase_us(o->start_time_us * 1000, m->main_ns);
	metrics->startup_cpu_us = clock_cpu_ns() / 1000 - o->start_time_cpu_us;
	log_info("Process-start-time = %" PRIu64 " us, %" PRIu64
		 " CPU us (its parent: %" PRIu64 " CPU us)",
		 metrics->startup_us, metrics->startup_cpu_us,
		 o->parent_cpu_time_us);
}

/* A signal that was there before a request counts before it. */
static void look_for_signals(void *context)
{
	struct monitor *m = context;

	signals_ready(&m->signals, EPOLLIN);
}

static int open_server(struct monitor *m, struct err *e)
{
	const struct options *o = &m->options;
	int rc;

	if (o->api_fd)
		rc = server_adopt(&m->server, &m->loop, &m->controller,
				  (int)o->api_fd, o->payload_max_bytes, e);
	else
		rc = server_open(&m->server, &m->loop, &m->controller,
				 o->api_sock, o->payload_max_bytes, e);
	m->server.before = look_for_signals;
	m->server.context = m;
	return rc;
}

/* Returns an exit code; 0 to go on. */
static int start(struct monitor *m, struct err *e)
{
	const struct options *o = &m->options;

	log_start(m);
	if (loop_open(&m->loop, e) || take_signals(m, e))
		return EXIT_FAILED;
	if (open_metrics(m, e))
		return EXIT_BAD_CONFIG;
	if (!o->no_api && open_server(m, e))
		return EXIT_FAILED;
	/* A start takes its threads' filters itself, once it has made them. */
	if (o->config_file ? controller_start(&m->controller, e)
			   : confine_thread(m->confine, FILTER_START, e))
		return EXIT_FAILED;
	return 0;
}

/* How the run ended, as an exit code; the sentence is in *e where it failed. */
static int outcome(const struct monitor *m, struct err *e)
{
	const struct controller *c = &m->controller;

	if (c->end_ns && c->end == MACHINE_FAILED) {
		*e = c->end_error;
		return EXIT_FAILED;
	}
	if (!c->end_ns && m->signal == SIGHUP) {
		err_set(e, -EINTR, "ended by SIGHUP");
		return EXIT_SIGHUP;
	}
	return 0;
}

/*
 * The phases of the run, one after the other, 0 for what did not happen:
 * exec (whoever started us to main), start (to the machine's begin), load (to
 * kernel and tables in memory), run (to the first entry into the guest),
 * kernel (to the boot timer), guest (to the end), and the number of exits.
 */
static void print_timing(const struct monitor *m, uint64_t exits)
{
	const struct machine_times *t = &m->controller.times;
	const uint64_t exec_ns = m->options.start_time_us * 1000;
	const uint64_t end_ns = m->controller.end_ns ? m->controller.end_ns
						     : clock_now_ns();

	dprintf(STDERR_FILENO,
		"timing: exec_us=%" PRIu64 " start_us=%" PRIu64
		" load_us=%" PRIu64 " run_us=%" PRIu64 " kernel_us=%" PRIu64
		" guest_us=%" PRIu64 " exits=%" PRIu64 "\n",
		phase_us(exec_ns, m->main_ns),
		phase_us(m->main_ns, t->begin_ns),
		phase_us(t->begin_ns, t->loaded_ns),
		phase_us(t->loaded_ns, t->run_ns),
		phase_us(t->run_ns, t->booted_ns),
		phase_us(t->booted_ns ? t->booted_ns : t->run_ns, end_ns),
		exits);
}

static void finish(struct monitor *m)
{
	server_close(&m->server);
	controller_fini(&m->controller);
	loop_delete(&m->loop, &m->signals);
	fd_close(&m->signal_fd);
	loop_close(&m->loop);
}

/*
 * Who waits for us learns that it was a signal, as of a monitor that handles
 * none. As PID 1 of a namespace we can't be killed so, and the status says it.
 */
static int end_by(int number)
{
	sigset_t only;

	sigemptyset(&only);
	sigaddset(&only, number);
	/* Not raise(), whose calls differ between C libraries: the filter. */
	syscall(SYS_tgkill, getpid(), getpid(), number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	return EXIT_SIGNAL + number;
}

static int run(struct monitor *m, struct err *e)
{
	uint64_t exits;
	int code = configure(m, e);

	if (!code)
		code = start(m, e);
	if (!code && loop_run(&m->loop, e))
		code = EXIT_FAILED;
	if (!code)
		code = outcome(m, e);
	/* Clients that gave a log look there. Before that, there is none. */
	if (code && code != EXIT_BAD_CONFIG && code != EXIT_BAD_ARGUMENT &&
	    m->controller.config.logger.log_path)
		log_error("%s", e->text);
	exits = m->controller.machine ? machine_exits(m->controller.machine)
				      : 0;
	pager_end(m->signal ? EXIT_SIGNAL + m->signal : code);
	finish(m);
	if (m->options.timing)
		print_timing(m, exits);
	if (!code && m->signal && !m->controller.end_ns)
		code = end_by(m->signal);
	return code;
}

/* Prints what was asked for. Returns an exit code. */
static int answer(const struct options *o, struct err *e)
{
	if (o->help)
		options_help(stdout);
	else if (o->version)
		options_version(stdout);
	else if (o->snapshot_version)
		describe_version(stdout);
	else if (describe_snapshot(o->describe, o->snapshot_key, stdout, e))
		return EXIT_FAILED;
	return 0;
}

int main(int argc, char **argv)
{
	static struct monitor monitor;
	struct err e = {0};
	int code = EXIT_BAD_ARGUMENT;

	monitor.main_ns = clock_now_ns();
	relro_protect();
	monitor.signals.fd = -1;
	take_name();
	hold_standard_fds();
#ifdef __GLIBC__
	/*
	 * When its heap is full the C library tries another, by calls that no
	 * filter has, instead of saying so. One thread allocates: one heap.
	 */
	mallopt(M_ARENA_MAX, 1);
	/*
	 * What a thread has of the heap it gives back when it ends, and with
	 * that the C library may give the heap's end back to the host: vCPU
	 * threads may not. spare_heap() does, where that is wanted.
	 */
	mallopt(M_TRIM_THRESHOLD, -1);
#endif
	json_seed();
	if (!options_parse(&monitor.options, argc, argv, &e))
		code = options_is_question(&monitor.options)
			       ? answer(&monitor.options, &e)
			       : run(&monitor, &e);
	if (code && *e.text)
		dprintf(STDERR_FILENO, "mayfly: %s\n", e.text);
	return code;
}
