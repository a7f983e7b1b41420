/*
 * What becomes of a connection, whoever asks for it: the guest, the host's
 * process or a deadline.
 */
#include "devices/vsock_device.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

bool vsock_is_up(const struct vsock *vs)
{
	return vs->virtio.queues[VSOCK_RX].live &&
	       vs->virtio.queues[VSOCK_TX].live;
}

bool vsock_awaits_driver(struct vsock *vs)
{
	const struct vq *vq = &vs->virtio.queues[VSOCK_EVENT];

	if (!vs->owes_event && !vs->is_event_out)
		return false;
	/* One that has no such queue wants to hear nothing. */
	if (!vq->live)
		return false;
	if (vs->is_event_out && (int16_t)(vq_offered(vq) - vs->event_ack) >= 0)
		vs->is_event_out = false;
	return vs->owes_event || vs->is_event_out;
}

void vsock_set_timer(struct vsock *vs)
{
	uint64_t due = vsock_table_deadline(&vs->table);

	if (vs->accept_again_ns && vs->accept_again_ns < due)
		due = vs->accept_again_ns;
	/* One that is early is harmless, and costs less than a search. */
	if (due != UINT64_MAX && (!vs->timer.due_ns || due < vs->timer.due_ns))
		loop_arm(vs->virtio.device.host->loop, &vs->timer, due);
}

void vsock_wait(struct vsock *vs, struct vsock_conn *c, enum vsock_wait what)
{
	vsock_table_wait(&vs->table, c, what);
	vsock_set_timer(vs);
}

void vsock_resume(struct vsock *vs, uint64_t now_ns)
{
	if (vs->is_accepting || vs->listen_watch.fd < 0 ||
	    vs->table.greeting >= VSOCK_GREETING_MAX ||
	    now_ns < vs->accept_again_ns)
		return;
	vs->is_accepting = true;
	vs->accept_again_ns = 0;
	loop_change(vs->virtio.device.host->loop, &vs->listen_watch, EPOLLIN);
}

int vsock_watch(struct vsock *vs, struct vsock_conn *c)
{
	struct err e;
	int rc;

	c->device = vs;
	c->watch.ready = vs->conn_ready;
	rc = loop_add(vs->virtio.device.host->loop, &c->watch, c->fd,
		      EPOLLIN | EPOLLRDHUP | EPOLLET, &e);
	if (rc)
		log_warn_limited("%s: %s", vs->id, e.text);
	return rc;
}

static void close_socket(struct vsock *vs, struct vsock_conn *c)
{
	if (c->fd < 0)
		return;
	loop_delete(vs->virtio.device.host->loop, &c->watch);
	fd_close(&c->fd);
}

void vsock_drop(struct vsock *vs, struct vsock_conn *c)
{
	close_socket(vs, c);
	vsock_table_remove(&vs->table, c);
	vs->counters.conns_removed++;
	if (!vs->is_accepting)
		vsock_resume(vs, clock_now_ns());
}

/* c says RST as soon as there is a buffer for it, and is gone. */
static void end_by_rst(struct vsock *vs, struct vsock_conn *c)
{
	close_socket(vs, c);
	vsock_table_unwait(c);
	c->state = VSOCK_DEAD;
	c->owes = VSOCK_OWES_RST;
	free(c->buffer);
	c->buffer = NULL;
	c->buffered = 0;
	vsock_table_ready(&vs->table, c);
}

void vsock_kill(struct vsock *vs, struct vsock_conn *c)
{
	vs->counters.conns_killed++;
	end_by_rst(vs, c);
}

void vsock_settle(struct vsock *vs, struct vsock_conn *c)
{
	if (c->state == VSOCK_DRAINING && (!c->buffered || c->is_deaf)) {
		vsock_drop(vs, c);
		return;
	}
	vsock_conn_settle(c);
	if ((c->state == VSOCK_OPEN || c->state == VSOCK_CLOSING) &&
	    vsock_conn_is_over(c)) {
		end_by_rst(vs, c);
		return;
	}
	/* The socket says when it has room again only to those who wait. */
	if (c->fd >= 0 && c->waits_out != (c->buffered > 0)) {
		c->waits_out = c->buffered > 0;
		loop_change(vs->virtio.device.host->loop, &c->watch,
			    EPOLLIN | EPOLLRDHUP | EPOLLET |
				    (c->waits_out ? EPOLLOUT : 0));
	}
	if (vsock_conn_has_word(c))
		vsock_table_ready(&vs->table, c);
}

void vsock_refuse(struct vsock *vs, const struct vsock_packet *p)
{
	const unsigned at = vs->refusal_at + vs->refusal_count++;

	vs->refusals[at % VSOCK_REFUSALS_MAX] = (struct vsock_refusal){
		.cid = p->dst_cid,
		.from_port = p->dst_port,
		.to_port = p->src_port,
		.type = p->type,
	};
	vs->counters.conns_refused++;
}
