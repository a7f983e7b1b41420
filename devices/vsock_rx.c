/*
 * virtio-vsock towards the guest. Everybody with something to say stands in the
 * table's ready list and gets one packet, or one read's worth of data, a turn.
 *
 * Data is read from the process's socket straight into the guest's buffers.
 * Linux offers them in pages, so one read fills several (a batch): they are
 * taken, those that stayed empty are given back, and headers are written last,
 * when it is known how much is behind them.
 *
 * A guest that offers no buffers costs nothing: words are bits in their
 * connection, data stays in the sockets, and RSTs for what is no connection
 * have a ring of their own; when that is full, what the guest sends is left
 * in its queue.
 */
#include <errno.h>

#include "devices/vsock_device.h"
#include "vmm/base/fd.h"

/* A turn's worth: a packet costs 1, and 1 more for each 8 KiB. */
enum { TURN = 64, COST_BYTES = 8 << 10 };

static struct vq *rx_of(struct vsock *vs)
{
	return &vs->virtio.queues[VSOCK_RX];
}

/* ---- control packets ---------------------------------------------------- */

static int bad_buffer(struct vq *vq, size_t bytes)
{
	return vq_fault(vq, "a receive buffer of %zu bytes", bytes);
}

/* Returns 1, 0 where there is no buffer, or -EPROTO. */
static int put_packet(struct vsock *vs, struct vsock_packet *p)
{
	struct vq *vq = rx_of(vs);
	struct vsock_wire wire;
	int n = vq_pop(vq, &vs->chain);

	if (n <= 0)
		return n;
	if (vs->chain.writable.bytes <= sizeof(wire))
		return bad_buffer(vq, vs->chain.writable.bytes);
	p->dst_cid = vs->cid;
	vsock_packet_write(&wire, p);
	iov_write(&vs->chain.writable, 0, &wire, sizeof(wire));
	vq_push(vq, vs->chain.head, sizeof(wire));
	vs->counters.rx_packets++;
	return 1;
}

static int put_refusal(struct vsock *vs)
{
	const struct vsock_refusal *r = &vs->refusals[vs->refusal_at];
	struct vsock_packet p = {
		.op = VSOCK_OP_RST,
		.type = r->type,
		.src_cid = r->cid,
		.src_port = r->from_port,
		.dst_port = r->to_port,
	};
	int rc = put_packet(vs, &p);

	if (rc <= 0)
		return rc;
	vs->refusal_at = (vs->refusal_at + 1) % VSOCK_REFUSALS_MAX;
	vs->refusal_count--;
	if (vs->is_tx_stalled)
		virtio_kick_again(&vs->virtio);
	vs->is_tx_stalled = false;
	return 1;
}

/* ---- data --------------------------------------------------------------- */

/* Adds the chain just taken. False where its pieces are too many. */
static bool batch_add(struct vsock_batch *b, const struct vq_chain *chain)
{
	const struct iov *w = &chain->writable;
	size_t left = VSOCK_HEADER_BYTES;
	struct iovec piece, rest;
	unsigned i;

	if (b->header_count + w->count > VQ_SIZE_MAX ||
	    b->space_count + w->count > VQ_SIZE_MAX)
		return false;
	b->chains[b->chain_count].head = chain->head;
	b->chains[b->chain_count].at = (uint16_t)b->header_count;
	b->chains[b->chain_count].room = w->bytes - left;
	for (i = 0; i < w->count; i++) {
		piece = rest = w->at[i];
		if (piece.iov_len > left)
			piece.iov_len = left;
		rest.iov_base = (uint8_t *)rest.iov_base + piece.iov_len;
		rest.iov_len -= piece.iov_len;
		left -= piece.iov_len;
		if (piece.iov_len)
			b->headers[b->header_count++] = piece;
		if (rest.iov_len)
			b->space[b->space_count++] = rest;
	}
	b->chains[b->chain_count].pieces =
		(uint16_t)(b->header_count - b->chains[b->chain_count].at);
	b->room += w->bytes - VSOCK_HEADER_BYTES;
	b->chain_count++;
	return true;
}

/* Takes buffers for a read. Returns 0, or -EPROTO after a fault. */
static int batch_fill(struct vsock *vs, unsigned most, size_t bytes)
{
	struct vsock_batch *b = &vs->batch;
	struct vq *vq = rx_of(vs);
	int n;

	b->chain_count = b->header_count = b->space_count = 0;
	b->room = 0;
	while (b->chain_count < most && b->room < bytes) {
		n = vq_pop(vq, &vs->chain);
		if (n <= 0)
			return n;
		if (vs->chain.writable.bytes <= VSOCK_HEADER_BYTES)
			return bad_buffer(vq, vs->chain.writable.bytes);
		if (!batch_add(b, &vs->chain)) {
			vq_unpop(vq);
			break;
		}
	}
	return 0;
}

/* Puts what n bytes have filled, and gives the rest back. How many were put. */
static unsigned batch_put(struct vsock *vs, struct vsock_conn *c, size_t n)
{
	struct vsock_batch *b = &vs->batch;
	struct vq *vq = rx_of(vs);
	struct vsock_packet p = {.op = VSOCK_OP_RW};
	struct vsock_wire wire;
	struct iov header;
	unsigned used, i;
	size_t left = n;

	for (used = 0; left; used++)
		left -= left < b->chains[used].room ? left
						    : b->chains[used].room;
	for (i = used; i < b->chain_count; i++)
		vq_unpop(vq);
	if (!used)
		return 0;
	/* Not before: what is stamped counts as told to the guest. */
	vsock_conn_stamp(c, &p);
	p.dst_cid = vs->cid;
	for (i = 0; i < used; i++, n -= p.len) {
		p.len = (uint32_t)(n < b->chains[i].room ? n
							 : b->chains[i].room);
		vsock_packet_write(&wire, &p);
		header = (struct iov){
			.at = &b->headers[b->chains[i].at],
			.count = b->chains[i].pieces,
			.bytes = sizeof(wire),
		};
		iov_write(&header, 0, &wire, sizeof(wire));
		vq_put(vq, b->chains[i].head, (uint32_t)sizeof(wire) + p.len);
	}
	vq_publish(vq);
	return used;
}

/* One read's worth. Returns its cost, or -EPROTO after a fault. */
static int put_data(struct vsock *vs, struct vsock_conn *c)
{
	const uint32_t credit = vsock_conn_credit(c);
	struct vsock_batch *b = &vs->batch;
	unsigned used;
	size_t len, n;

	if (batch_fill(vs, c->batch, credit))
		return -EPROTO;
	len = b->room < credit ? b->room : credit;
	n = len ? vsock_conn_read(c, b->space, b->space_count, len) : 0;
	used = batch_put(vs, c, n);
	vs->counters.rx_packets += used;
	vs->counters.rx_bytes += n;
	/* Several buffers only for those who have filled all they had. */
	if (used < b->chain_count || n < len)
		c->batch = used ? (uint8_t)used : 1;
	else if (len == b->room && c->batch < VSOCK_BATCH_MAX)
		c->batch *= 2;
	if (c->batch > VSOCK_BATCH_MAX)
		c->batch = VSOCK_BATCH_MAX;
	return 1 + (int)(n / COST_BYTES);
}

/* ---- turns -------------------------------------------------------------- */

/* c's last word was said. */
static void close_up(struct vsock *vs, struct vsock_conn *c)
{
	loop_delete(vs->virtio.device.host->loop, &c->watch);
	fd_close(&c->fd);
	c->state = VSOCK_CLOSING;
	vsock_wait(vs, c, VSOCK_WAIT_RST);
}

/* c's turn. Returns what it cost, 0 where buffers are missing, or -EPROTO. */
static int serve(struct vsock *vs, struct vsock_conn *c)
{
	struct vsock_packet p;
	int cost = 1;

	if (vsock_conn_next(c, &p))
		cost = put_packet(vs, &p);
	else if (vsock_conn_has_data(c))
		cost = put_data(vs, c);
	if (cost < 0)
		return cost;
	if (c->state == VSOCK_DEAD) {
		vsock_drop(vs, c);
		return cost;
	}
	if (c->state == VSOCK_OPEN && c->told_shut == VSOCK_SHUT_BOTH)
		close_up(vs, c);
	vsock_settle(vs, c);
	return cost;
}

static bool is_pending(const struct vsock *vs)
{
	return vs->refusal_count || !vsock_link_is_empty(&vs->table.ready);
}

static int serve_next(struct vsock *vs)
{
	struct vq *vq = rx_of(vs);

	if (!vq_has_work(vq))
		return vq->live ? 0 : -EPROTO;
	if (vs->refusal_count)
		return put_refusal(vs);
	return serve(vs, vsock_table_next(&vs->table));
}

void vsock_rx_serve(struct vsock *vs)
{
	struct vq *vq = rx_of(vs);
	int spent = 0;
	int n = 1;

	if (!vsock_is_up(vs) || vs->virtio.is_held || vsock_awaits_driver(vs))
		return;
	do {
		vq_disable_kicks(vq);
		while (spent < TURN && is_pending(vs)) {
			n = serve_next(vs);
			if (n < 0)
				return;
			if (n == 0)
				break;
			spent += n;
		}
		if (!is_pending(vs))
			break;
		/* A round counts too: the driver may take offers back. */
		if (spent++ >= TURN) {
			virtio_kick_again(&vs->virtio);
			break;
		}
	} while (vq_enable_kicks(vq));
	virtio_notify(&vs->virtio, vq);
}
