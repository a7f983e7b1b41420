/*
 * One message goes to the handler, in the wire's form: a JSON array that says
 * for each region where it is mapped here and where it is in the memory file,
 * with the userfaultfd beside it (SCM_RIGHTS). Nothing follows; the connection
 * stays, to tell who dies.
 *
 * The thread that watches it touches no memory of the guest's, where it might
 * wait for a page itself, as all others may.
 */
#include "api/pager.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/confine.h"
#include "api/console.h"
#include "api/options.h"
#include "api/socket_file.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/rights.h"
#include "vmm/mem/missing.h"

/* What those get who may take a signal, or end all in good order. */
enum { PATIENCE_MS = 2000 };

/* How long a handler may be busy with others, and how often we ask. */
enum { CONNECT_MS = 1000, CONNECT_STEP_MS = 5 };

/* What the thread needs; for the life of the process. */
struct pager {
	int fd;	       /* the connection */
	int signal_fd; /* borrowed: main */
	int end_fd;    /* an eventfd: the process is to end */
	_Atomic int status;
	int pages; /* the userfaultfd: while we have it nobody gets zeroes */
	const struct confine *confine; /* borrowed: main */
};

static struct pager *pager; /* the one of this process; NULL for none */

/* page_size_kib holds bytes too, as clients expect it. */
static char *describe(const struct guest_mem *m)
{
	json_t *list = json_array();
	char *text = NULL;
	unsigned i;

	for (i = 0; list && i < m->count; i++) {
		const struct guest_region *r = &m->regions[i];

		json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:I, s:i, s:i}",
				  "base_host_virt_addr",
				  (json_int_t)(uintptr_t)r->hva, "size",
				  (json_int_t)r->size, "offset",
				  (json_int_t)(r->hva - m->map), "page_size",
				  GUEST_PAGE, "page_size_kib", GUEST_PAGE));
	}
	if (list)
		text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

static int send_both(int socket_fd, const char *text, int fd, struct err *e)
{
	const size_t len = strlen(text);

	if (rights_send(socket_fd, text, len, &fd, 1) != (ssize_t)len)
		return err_set(e, -EPIPE,
			       "the page fault handler takes no message");
	return 0;
}

static void end_gone(void)
{
	static const char gone[] =
		"mayfly: the page fault handler has gone, and with it the "
		"guest's memory\n";

	console_restore();
	log_error("the page fault handler has gone, and with it the guest's "
		  "memory; the microVM ends");
	/* dprintf() would ask what stderr is, which this thread may not. */
	(void)!write(STDERR_FILENO, gone, sizeof(gone) - 1);
	_exit(EXIT_FAILED);
}

static void end_stuck(int status)
{
	console_restore();
	log_error("ended while memory was waited for that the page fault "
		  "handler does not give");
	_exit(status);
}

/* Whether the signal still waits when all had their time to take it. */
static bool is_signal_left(const struct pager *p)
{
	struct pollfd signal = {.fd = p->signal_fd, .events = POLLIN};

	(void)poll(NULL, 0, PATIENCE_MS);
	return poll(&signal, 1, 0) == 1;
}

static void *watch(void *arg)
{
	struct pager *p = arg;
	struct pollfd fds[] = {
		{.fd = p->fd, .events = POLLRDHUP},
		{.fd = p->end_fd, .events = POLLIN},
		{.fd = p->signal_fd, .events = POLLIN},
	};
	struct err e;

	log_set_thread("pager");
	if (confine_thread(p->confine, FILTER_WORKER, &e)) {
		log_error("%s", e.text);
		_exit(EXIT_FAILED);
	}
	for (;;) {
		if (poll(fds, 3, -1) <= 0)
			continue;
		if (fds[0].revents)
			end_gone();
		if (fds[1].revents) {
			(void)poll(NULL, 0, PATIENCE_MS);
			end_stuck(p->status);
		}
		if (is_signal_left(p))
			end_stuck(EXIT_SIGNAL + SIGTERM);
	}
	return NULL;
}

void pager_end(int status)
{
	if (!pager)
		return;
	pager->status = status;
	fd_event_raise(pager->end_fd);
}

static int start_watch(struct pager *p, struct err *e)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, watch, p);

	return rc ? err_set(e, -rc, "can't watch the page fault handler: %s",
			    strerror(rc))
		  : 0;
}

/*
 * A socket whose queue is full, of a handler that many turn to or that has
 * stopped, would keep connect() for as long as it is. Nobody else is served
 * while we wait.
 */
static int connect_handler(const char *path, struct err *e)
{
	int fd, waited = 0;

	for (;;) {
		fd = socket_file_connect(path, "backend_path", SOCK_NONBLOCK,
					 e);
		if (fd != -EAGAIN || waited >= CONNECT_MS)
			return fd;
		(void)poll(NULL, 0, CONNECT_STEP_MS);
		waited += CONNECT_STEP_MS;
	}
}

int pager_open(const struct guest_mem *m, const char *path, int signal_fd,
	       const struct confine *confine, struct err *e)
{
	CLEAN_FD int pages = missing_register(m, true, e);
	CLEAN_FD int fd = pages < 0 ? -1 : connect_handler(path, e);
	CLEAN_FD int end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pager *p;
	char *text;
	int rc;

	if (pages < 0 || fd < 0)
		return pages < 0 ? pages : fd;
	if (end_fd < 0)
		return err_errno(e, "eventfd");
	text = describe(m);
	p = calloc(1, sizeof(*p));
	rc = text && p ? send_both(fd, text, pages, e)
		       : err_set(e, -ENOMEM, "no memory for a message");
	free(text);
	if (p && !rc) {
		*p = (struct pager){.fd = fd,
				    .signal_fd = signal_fd,
				    .end_fd = end_fd,
				    .pages = pages,
				    .confine = confine};
		rc = start_watch(p, e);
	}
	if (rc) {
		free(p);
		return rc;
	}
	pager = p;
	fd_steal(&fd);
	fd_steal(&end_fd);
	fd_steal(&pages);
	return 0;
}
