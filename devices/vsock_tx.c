/*
 * virtio-vsock from the guest: each chain is one packet (virtio 1.2, 5.10.6).
 *
 * A chain that is no packet faults the queue. A packet that makes no sense
 * costs the guest the connection it is for, by a RST, or is answered by one
 * where there is no connection (5.10.6.4.1); a RST is never answered.
 */
#include <errno.h>
#include <sys/socket.h>

#include "devices/vsock_device.h"
#include "vmm/base/log.h"

/* As in vsock_rx.c. */
enum { TURN = 64, COST_BYTES = 8 << 10 };

/* The guest ends c at once; what it had sent before still arrives. */
static void guest_rst(struct vsock *vs, struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN || !c->buffered || c->is_deaf) {
		vsock_drop(vs, c);
		return;
	}
	vsock_table_unhash(&vs->table, c);
	c->state = VSOCK_DRAINING;
	c->owes = 0;
	vsock_wait(vs, c, VSOCK_WAIT_DRAIN);
}

static void guest_shutdown(struct vsock *vs, struct vsock_conn *c,
			   const struct vsock_packet *p)
{
	/* 5.10.6.5: once said, it stays. */
	c->guest_shut |= p->flags & VSOCK_SHUT_BOTH;
	if (c->state == VSOCK_CLOSING) {
		vsock_settle(vs, c);
		return;
	}
	if (c->guest_shut & VSOCK_SHUT_RECEIVE)
		shutdown(c->fd, SHUT_RD);
	if (c->guest_shut == VSOCK_SHUT_BOTH && c->buffered)
		vsock_wait(vs, c, VSOCK_WAIT_DRAIN);
	vsock_settle(vs, c);
}

static void guest_data(struct vsock *vs, struct vsock_conn *c, struct iov *data)
{
	const size_t bytes = data->bytes;
	int rc;

	if (c->state == VSOCK_CLOSING) {
		/* Was under way when we said that we take no more. */
		vs->counters.tx_bytes_dropped += bytes;
		return;
	}
	rc = c->guest_shut & VSOCK_SHUT_SEND ? -EPROTO
					     : vsock_conn_take(c, data);
	if (rc) {
		if (rc == -ENOMEM)
			log_warn_limited("%s: no memory for a connection's "
					 "buffer; it ends",
					 vs->id);
		vsock_kill(vs, c);
		return;
	}
	if (c->is_deaf)
		vs->counters.tx_bytes_dropped += bytes;
	else
		vs->counters.tx_bytes += bytes;
	vsock_settle(vs, c);
}

/* A packet for a connection that is open, or that ends. */
static void serve_open(struct vsock *vs, struct vsock_conn *c,
		       const struct vsock_packet *p, struct iov *data)
{
	if (vsock_conn_hear_credit(c, p)) {
		vsock_kill(vs, c);
		return;
	}
	switch (p->op) {
	case VSOCK_OP_RW:
		guest_data(vs, c, data);
		return;
	case VSOCK_OP_SHUTDOWN:
		guest_shutdown(vs, c, p);
		return;
	case VSOCK_OP_CREDIT_REQUEST:
		if (c->state == VSOCK_OPEN)
			c->owes |= VSOCK_OWES_CREDIT;
		vsock_settle(vs, c);
		return;
	case VSOCK_OP_CREDIT_UPDATE:
		vsock_settle(vs, c);
		return;
	default:
		vsock_kill(vs, c);
	}
}

static void serve_conn(struct vsock *vs, struct vsock_conn *c,
		       const struct vsock_packet *p, struct iov *data)
{
	if (p->op == VSOCK_OP_RST) {
		guest_rst(vs, c);
		return;
	}
	switch (c->state) {
	case VSOCK_OPEN:
	case VSOCK_CLOSING:
		serve_open(vs, c, p, data);
		return;
	case VSOCK_ASKED:
		/* An answer to what was not yet asked is none. */
		if (p->op == VSOCK_OP_RESPONSE &&
		    !(c->owes & VSOCK_OWES_REQUEST) &&
		    !vsock_conn_hear_credit(c, p))
			vsock_host_accepted(vs, c);
		else
			vsock_kill(vs, c);
		return;
	case VSOCK_CONNECTING:
		vsock_kill(vs, c);
		return;
	default:
		/* It is dead, and the guest will hear so. */
		return;
	}
}

/* A packet, len bytes of data behind it. */
static void serve_packet(struct vsock *vs, const struct vsock_packet *p,
			 struct iov *data)
{
	struct vsock_conn *c;

	vs->counters.tx_packets++;
	/* 5.10.6.2: there is nobody whom an answer would reach. */
	if (p->src_cid != vs->cid) {
		vs->counters.tx_malformed++;
		return;
	}
	if (p->type != VSOCK_TYPE_STREAM || p->dst_cid != VSOCK_CID_HOST) {
		vs->counters.tx_malformed++;
		if (p->op != VSOCK_OP_RST)
			vsock_refuse(vs, p);
		return;
	}
	c = vsock_table_find(&vs->table, p->dst_port, p->src_port);
	if (c)
		serve_conn(vs, c, p, data);
	else if (p->op == VSOCK_OP_REQUEST)
		vsock_host_request(vs, p);
	else if (p->op != VSOCK_OP_RST)
		vsock_refuse(vs, p);
}

/* The chain just taken. 0, or -EPROTO after a fault. */
static int serve(struct vsock *vs, struct vq *vq)
{
	struct iov *data = &vs->chain.readable;
	const uint16_t head = vs->chain.head;
	struct vsock_wire wire;
	struct vsock_packet p;

	if (iov_take(data, &wire, sizeof(wire)) != sizeof(wire))
		return vq_fault(vq, "a packet without a whole header");
	vsock_packet_read(&p, &wire);
	if (p.len > data->bytes)
		return vq_fault(vq, "a packet of %u bytes in a buffer of %zu",
				p.len, data->bytes);
	iov_drop_back(data, data->bytes - p.len);
	serve_packet(vs, &p, data);
	vq_push(vq, head, 0);
	return 0;
}

void vsock_tx_serve(struct vsock *vs)
{
	struct vq *vq = &vs->virtio.queues[VSOCK_TX];
	size_t spent = 0;
	int n = 0;

	do {
		vq_disable_kicks(vq);
		while (spent < TURN && vs->refusal_count < VSOCK_REFUSALS_MAX &&
		       (n = vq_pop(vq, &vs->chain)) > 0) {
			spent += 1 + vs->chain.readable.bytes / COST_BYTES;
			if (serve(vs, vq))
				return;
		}
		/* The guest is to take its RSTs first. */
		if (vs->refusal_count >= VSOCK_REFUSALS_MAX) {
			vs->is_tx_stalled = true;
			break;
		}
		if (spent++ >= TURN) {
			virtio_kick_again(&vs->virtio);
			break;
		}
	} while (n == 0 && vq_enable_kicks(vq));
	virtio_notify(&vs->virtio, vq);
}
