#include "api/ctl/containerd/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

/* How long until a FIFO that was not read is looked at again; twice that then.
 */
#define LOOK_NS	    1000000ull
#define LOOK_MAX_NS 256000000ull

static void writable(struct stdio *s, unsigned i)
{
	loop_change(s->loop, &s->out[i], 0);
	s->room(s);
}

static void stdout_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	writable(container_of(w, struct stdio, out[0]), 0);
}

static void stderr_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	writable(container_of(w, struct stdio, out[1]), 1);
}

/* ---- the end ------------------------------------------------------------- */

static void close_stream(struct stdio *s, unsigned stream)
{
	if (stream)
		loop_delete(s->loop, &s->out[stream - 1]);
	fd_close(&s->fds[stream]);
}

static bool is_unread(const struct stdio *s, unsigned stream)
{
	int bytes = 0;

	return !ioctl(s->fds[stream], FIONREAD, &bytes) && bytes;
}

/* The writer's end of a pipe is in error while nobody has the reader's. */
static bool has_reader(const struct stdio *s, unsigned stream)
{
	struct pollfd p = {.fd = s->fds[stream]};

	return poll(&p, 1, 0) < 0 || !(p.revents & POLLERR);
}

/*
 * Nothing is written any more, so our own reader's end can go, which hides
 * whether anybody else has one. A pipe's bytes stay as long as any end does.
 */
static void let_go_of_reading(struct stdio *s, unsigned stream)
{
	char path[32];
	int fd;

	loop_delete(s->loop, &s->out[stream - 1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fds[stream]);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	fd_close(&s->fds[stream]);
	s->fds[stream] = fd;
}

/* Who reads has all there is, or can't come too late for it. */
static bool is_done(const struct stdio *s, unsigned stream)
{
	const unsigned i = stream - 1;

	return s->fds[stream] < 0 || !s->is_fifo[i] ||
	       (!is_unread(s, stream) &&
		(s->was_written[i] || s->until_ns || has_reader(s, stream)));
}

bool stdio_holds(const struct stdio *s)
{
	return s->fds[1] >= 0 || s->fds[2] >= 0;
}

static void look(struct stdio *s)
{
	const uint64_t now = clock_now_ns();

	for (unsigned stream = 1; stream <= 2; stream++)
		if (is_done(s, stream) || (s->until_ns && now >= s->until_ns))
			close_stream(s, stream);
	if (!stdio_holds(s))
		return;
	if (s->look_ns < LOOK_MAX_NS)
		s->look_ns *= 2;
	loop_arm(s->loop, &s->look, now + s->look_ns);
}

static void look_again(struct loop_timer *t)
{
	struct stdio *s = container_of(t, struct stdio, look);

	look(s);
	if (!stdio_holds(s))
		s->over(s);
}

void stdio_end(struct stdio *s)
{
	if (!s->loop)
		return;
	close_stream(s, 0);
	fd_close(&s->held);
	for (unsigned stream = 1; stream <= 2; stream++)
		if (s->fds[stream] >= 0 && s->is_fifo[stream - 1])
			let_go_of_reading(s, stream);
	s->look_ns = LOOK_NS;
	look(s);
}

void stdio_hold_until(struct stdio *s, uint64_t until_ns)
{
	s->until_ns = until_ns;
	s->look_ns = LOOK_NS;
	loop_arm(s->loop, &s->look, clock_now_ns() + LOOK_NS);
}

void stdio_close(struct stdio *s)
{
	if (!s->loop)
		return;
	for (unsigned i = 0; i < 3; i++)
		close_stream(s, i);
	fd_close(&s->held);
	loop_disarm(s->loop, &s->look);
	s->loop = NULL;
}

/* ---- the streams --------------------------------------------------------- */

static int open_output(const char *path, struct err *e)
{
	CLEAN_FD int fd = -1;
	struct stat st;

	if (!strncmp(path, "file://", 7))
		path += 7;
	else if (strstr(path, "://"))
		return err_set(e, -ENOTSUP,
			       "output goes to FIFOs and files, not to %.200s",
			       path);
	/* With the reading end, for a reader that goes and comes again. */
	if (!stat(path, &st) && S_ISFIFO(st.st_mode))
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	else
		fd = open(path,
			  O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK |
				  O_NOCTTY | O_CLOEXEC,
			  0644);
	if (fd < 0 || fstat(fd, &st))
		return err_errno(e, "can't open %.300s", path);
	if (!S_ISFIFO(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "output goes to FIFOs and files, and %.300s is "
			       "neither",
			       path);
	return fd_steal(&fd);
}

int stdio_open_input(struct stdio *s, const char *path, struct err *e)
{
	s->held = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->held < 0)
		return err_errno(e, "can't open %.300s", path);
	s->fds[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (s->fds[0] < 0)
		return err_errno(e, "can't open %.300s", path);
	if (s->is_input_over)
		fd_close(&s->held);
	return 0;
}

int stdio_open(struct stdio *s, struct loop *loop, const char *out,
	       const char *err, struct err *e)
{
	const char *const paths[] = {out, err};
	int rc = 0;

	*s = (struct stdio){
		.loop = loop,
		.room = s->room,
		.over = s->over,
		.out = {{.fd = -1, .ready = stdout_ready},
			{.fd = -1, .ready = stderr_ready}},
		.fds = {-1, -1, -1},
		.held = -1,
		.look.fire = look_again,
	};
	for (int i = 0; i < 2 && rc >= 0; i++) {
		if (!paths[i] || !*paths[i])
			continue;
		rc = s->fds[i + 1] = open_output(paths[i], e);
		/* A file takes all at once, and can't be watched. */
		s->is_fifo[i] = rc >= 0 &&
				!loop_add(loop, &s->out[i], rc, 0, NULL);
	}
	return rc < 0 ? rc : 0;
}

ssize_t stdio_write(struct stdio *s, int stream, const void *bytes, size_t len)
{
	const int fd = s->fds[stream];
	ssize_t n;

	if (fd < 0)
		return (ssize_t)len;
	do
		n = write(fd, bytes, len);
	while (n < 0 && errno == EINTR);
	s->was_written[stream - 1] = true;
	if (n == (ssize_t)len)
		return n;
	/* A full disk under a log ends no container. */
	if (s->is_dropping || (n < 0 && errno != EAGAIN))
		return (ssize_t)len;
	loop_change(s->loop, &s->out[stream - 1], EPOLLOUT);
	return n < 0 ? 0 : n;
}

void stdio_close_input(struct stdio *s)
{
	s->is_input_over = true;
	fd_close(&s->held);
}
