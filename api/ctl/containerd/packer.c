#include "api/ctl/containerd/packer.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/container.h"
#include "vmm/base/fd.h"

/* How it has ended, as waitpid() says it. */
static int stop(struct packer *p)
{
	int status = 0;

	loop_delete(p->loop, &p->watch);
	p->loop = NULL;
	/* Harmless to one that has ended: it is our child until here. */
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	fd_close(&p->fd);
	return status;
}

/* What was found comes with its first bytes. */
static ssize_t take(struct packer *p)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec into = {
		.iov_base = p->said + p->said_len,
		.iov_len = sizeof(p->said) - p->said_len,
	};
	struct msghdr m = {
		.msg_iov = &into,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *c;
	ssize_t n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS && p->found_fd < 0)
		memcpy(&p->found_fd, CMSG_DATA(c), sizeof(p->found_fd));
	if (n > 0)
		p->said_len += (size_t)n;
	return n;
}

/* The packer's sentence, what it found, or nothing, and then its end. */
static void ready(struct loop_watch *w, uint32_t events)
{
	struct packer *p = container_of(w, struct packer, watch);
	const ssize_t n = take(p);

	(void)events;
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	if (p->said_len && p->said[0])
		err_set(&p->why, -EIO, "%.*s", (int)p->said_len, p->said);
	else if (p->said_len == sizeof(p->said) && p->found_fd >= 0)
		p->found = p->said + offsetof(struct rootfs_found, path);
	p->said[sizeof(p->said) - 1] = '\0';
	/* One that was killed has said nothing, and packed half of it. */
	if (stop(p) && !p->why.code)
		err_set(&p->why, -EIO,
			"the packing of the root file system was killed; try "
			"again");
	p->packed(p, &p->why);
}

int packer_begin(struct packer *p, struct loop *loop, const struct rootfs *r,
		 const char *image, struct err *e)
{
	int rc;

	p->why = (struct err){0};
	p->said_len = 0;
	p->found_fd = -1;
	p->found = NULL;
	p->watch = (struct loop_watch){.fd = -1, .ready = ready};
	rc = rootfs_pack(r, image, &p->pid, &p->fd, e);
	if (rc)
		return rc;
	p->loop = loop;
	rc = loop_add(loop, &p->watch, p->fd, EPOLLIN, e);
	if (rc)
		packer_end(p);
	return rc;
}

void packer_end(struct packer *p)
{
	fd_close(&p->found_fd);
	if (p->loop)
		(void)stop(p);
}
