#include "api/ctl/containerd/packer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/container.h"
#include "vmm/base/fd.h"

/* The packer's sentence, or nothing, and then its end. */
static void ready(struct loop_watch *w, uint32_t events)
{
	struct packer *p = container_of(w, struct packer, watch);
	const size_t len = strlen(p->why.text);
	ssize_t n;

	(void)events;
	n = read(p->fd, p->why.text + len, sizeof(p->why.text) - 1 - len);
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	packer_end(p);
	if (p->why.text[0])
		p->why.code = -EIO;
	p->packed(p, &p->why);
}

int packer_begin(struct packer *p, struct loop *loop, const struct rootfs *r,
		 const char *image, struct err *e)
{
	int rc;

	p->why = (struct err){0};
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
	if (!p->loop)
		return;
	loop_delete(p->loop, &p->watch);
	p->loop = NULL;
	/* Harmless to one that has ended: it is our child until here. */
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&p->fd);
}
