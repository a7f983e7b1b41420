/*
 * virtio-vsock (virtio 1.2, 5.10): stream sockets between the guest and
 * processes of the host. Theory of operation.
 *
 *	vsock_packet	a packet's header
 *	vsock_conn	one connection: credit, buffer, how it ends
 *	vsock_table	all connections: by ports, by turn, by deadline
 *	vsock_tx	what the guest sends: packets to connections
 *	vsock_rx	what the guest gets: each connection in its turn
 *	vsock_host	the listening socket, and connecting to others
 *	vsock_device	what the last three do to a connection
 *	vsock		this: the device around them
 *
 * All of it runs in the loop thread, driven by the guest's kicks, by the
 * connections' sockets and by one timer. One thing does not: a reset, which
 * comes in a vCPU's thread, may not touch the loop's watches. So it makes all
 * connections VSOCK_DOOMED, which nobody looks at any more, and has the loop
 * thread free them; only then do the processes see an end of file.
 *
 * What the guest can make us do is bounded: connections by VSOCK_CONNS_MAX, the
 * bytes held for each by the credit we gave, other answers by a ring, a turn by
 * packets and bytes, and every state in which one side waits for the other by a
 * deadline, but for the open one.
 */
#include "devices/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "devices/virtio/mmio.h"
#include "devices/vsock_device.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/le.h"
#include "vmm/base/log.h"
#include "vmm/base/spare.h"

enum { DEVICE_ID_VSOCK = 19, EVENT_TRANSPORT_RESET = 0 };

/* At most so many deadlines are served at once, and the rest a little later. */
enum { EXPIRE_TURN = 64 };

#define NS_PER_MS      1000000ULL
#define VSOCK_F_STREAM (1ULL << 0)

static struct vsock *vsock_of(struct virtio *v)
{
	return (struct vsock *)v;
}

/* ---- connections -------------------------------------------------------- */

static void open_ready(struct vsock *vs, struct vsock_conn *c, uint32_t events)
{
	/* A driver that broke the rules: nothing reaches the guest. */
	if (!vsock_is_up(vs)) {
		vsock_drop(vs, c);
		return;
	}
	if (events & (EPOLLHUP | EPOLLERR))
		c->is_gone = true;
	c->is_readable = true;
	if (c->buffered && vsock_conn_flush(c) && c->wait.next)
		vsock_wait(vs, c, VSOCK_WAIT_DRAIN);
	vsock_settle(vs, c);
}

static void conn_ready(struct loop_watch *w, uint32_t events)
{
	struct vsock_conn *c = container_of(w, struct vsock_conn, watch);
	struct vsock *vs = c->device;

	mutex_lock(&vs->virtio.device.lock);
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->is_hung_up = true;
	if (c->state == VSOCK_GREETING)
		vsock_host_greet(vs, c);
	else if (c->state == VSOCK_OPEN || c->state == VSOCK_DRAINING)
		open_ready(vs, c, events);
	vsock_rx_serve(vs);
	mutex_unlock(&vs->virtio.device.lock);
}

/* Frees what a reset has doomed. */
static void reap(struct vsock *vs)
{
	struct vsock_conn *c;

	while ((c = vsock_link_first(&vs->table.doomed)))
		vsock_drop(vs, c);
}

static void doom_ready(struct loop_watch *w, uint32_t events)
{
	struct vsock *vs = container_of(w, struct vsock, doom_watch);

	(void)events;
	mutex_lock(&vs->virtio.device.lock);
	fd_event_take(vs->doom_fd);
	reap(vs);
	mutex_unlock(&vs->virtio.device.lock);
}

/* ---- deadlines ---------------------------------------------------------- */

static void expire(struct vsock *vs, struct vsock_conn *c)
{
	switch (c->state) {
	case VSOCK_CONNECTING:
		vsock_host_retry(vs, c);
		return;
	case VSOCK_GREETING:
	case VSOCK_DRAINING:
		vsock_drop(vs, c);
		return;
	case VSOCK_ASKED:
		/* A guest without buffers has not heard of it. */
		if (c->owes & VSOCK_OWES_REQUEST) {
			vsock_drop(vs, c);
			return;
		}
		vsock_kill(vs, c);
		return;
	default:
		vsock_kill(vs, c);
	}
}

static void timer_fired(struct loop_timer *t)
{
	struct vsock *vs = container_of(t, struct vsock, timer);
	const uint64_t now = clock_now_ns();
	struct vsock_conn *c;
	unsigned i;

	mutex_lock(&vs->virtio.device.lock);
	vsock_resume(vs, now);
	for (i = 0; i < EXPIRE_TURN; i++) {
		c = vsock_table_expired(&vs->table, now);
		if (!c)
			break;
		expire(vs, c);
	}
	if (i == EXPIRE_TURN)
		loop_arm(vs->virtio.device.host->loop, t, now + NS_PER_MS);
	vsock_set_timer(vs);
	vsock_rx_serve(vs);
	mutex_unlock(&vs->virtio.device.lock);
}

static void listen_ready(struct loop_watch *w, uint32_t events)
{
	struct vsock *vs = container_of(w, struct vsock, listen_watch);

	(void)events;
	mutex_lock(&vs->virtio.device.lock);
	vsock_host_accept(vs);
	vsock_rx_serve(vs);
	mutex_unlock(&vs->virtio.device.lock);
}

/* ---- the device --------------------------------------------------------- */

static void vsock_config_read(struct virtio *v, uint64_t offset, void *data,
			      uint32_t len)
{
	/* 5.10.4: guest_cid, 64 bits of which the upper half is 0. */
	struct {
		le32_t cid[2];
	} layout = {0};

	le32_put(&layout.cid[0], vsock_of(v)->cid);
	virtio_copy_config(&layout, sizeof(layout), offset, data, len);
}

/*
 * A driver acknowledges an event by offering its buffer, or another, once more:
 * it has taken the event in by then. It acknowledges those before first.
 */
static void await_ack(struct vsock *vs, struct vq *vq)
{
	uint16_t offered = vq_offered(vq);

	if (vs->is_event_out && (int16_t)(vs->event_ack - offered) > 0)
		offered = vs->event_ack;
	vs->event_ack = offered + 1;
	vs->is_event_out = true;
	vq_await_offer(vq);
}

/* 5.10.6.7: tells the driver, once it has a buffer for it. */
static void send_event(struct vsock *vs) REQUIRES(vs->virtio.device.lock)
{
	struct vq *vq = &vs->virtio.queues[VSOCK_EVENT];
	unsigned turns = 2;
	le32_t id = {0};
	int n;

	if (!vs->owes_event || !vq->live)
		return;
	le32_put(&id, EVENT_TRANSPORT_RESET);
	do {
		vq_disable_kicks(vq);
		n = vq_pop(vq, &vs->chain);
		if (n < 0)
			return;
	} while (!n && vq_enable_kicks(vq) && --turns);
	if (!n)
		return;
	if (iov_write(&vs->chain.writable, 0, &id, sizeof(id)) != sizeof(id)) {
		vq_fault(vq, "a buffer too small for an event");
		return;
	}
	/* Before it can hear of it. */
	await_ack(vs, vq);
	vq_push(vq, vs->chain.head, sizeof(id));
	vs->owes_event = false;
	virtio_notify(&vs->virtio, vq);
}

static void vsock_kick(struct virtio *v, struct vq *vq) REQUIRES(v->device.lock)
{
	struct vsock *vs = vsock_of(v);

	mutex_held(&vs->virtio.device.lock);
	if (vq->index == VSOCK_EVENT)
		send_event(vs);
	if (vq->index == VSOCK_TX)
		vsock_tx_serve(vs);
	/* Also after TX: most of what the guest says is answered. */
	if (vq->index != VSOCK_EVENT)
		vsock_rx_serve(vs);
}

static void forget_all(struct vsock *vs)
{
	vsock_table_doom(&vs->table);
	vs->refusal_count = 0;
	vs->is_tx_stalled = false;
}

static void vsock_reset(struct virtio *v)
{
	struct vsock *vs = vsock_of(v);

	forget_all(vs);
	vs->owes_event = false;
	vs->is_event_out = false;
	if (!vsock_link_is_empty(&vs->table.doomed))
		fd_event_raise(vs->doom_fd);
}

/*
 * Connections are not part of it: their other ends are processes that another
 * machine, or an earlier moment, has nothing to say to. To save them changes
 * nothing. Loading has ended what there was (vsock_reset()), and tells the
 * driver so; a guest that comes twice from one state is told twice.
 */
static void vsock_visit(struct virtio *v, struct visitor *w)
	REQUIRES(v->device.lock)
{
	struct vsock *vs = vsock_of(v);
	uint32_t port = vs->table.last_port;

	visit_u32(w, &port);
	visit_check(w, vsock_table_is_port(port),
		    "port %u is none that a process of the host gets", port);
	visit_bool(w, &vs->is_event_out);
	visit_u16(w, &vs->event_ack);
	if (!w->is_loading || w->rc)
		return;
	reap(vs);
	vs->table.last_port = port;
	vs->owes_event = virtio_is_up(v);
}

static void vsock_count(struct virtio *v, struct device_counters *c)
{
	const struct vsock_counters *n = &vsock_of(v)->counters;

	c->put(c, "conns_added", n->conns_added);
	c->put(c, "conns_killed", n->conns_killed);
	c->put(c, "conns_removed", n->conns_removed);
	c->put(c, "conns_refused", n->conns_refused);
	c->put(c, "rx_packets", n->rx_packets);
	c->put(c, "rx_bytes", n->rx_bytes);
	c->put(c, "tx_packets", n->tx_packets);
	c->put(c, "tx_bytes", n->tx_bytes);
	c->put(c, "tx_bytes_dropped", n->tx_bytes_dropped);
	c->put(c, "tx_malformed", n->tx_malformed);
}

static int start_listening(struct vsock *vs, struct err *e)
{
	vs->is_accepting = true;
	return loop_add(vs->virtio.device.host->loop, &vs->listen_watch,
			vs->listen_fd, EPOLLIN, e);
}

static int vsock_start(struct device *d, struct err *e)
{
	struct vsock *vs = (struct vsock *)d;
	struct loop *loop = d->host->loop;
	int rc = mmio_transport.device.start(d, e);

	if (rc)
		return rc;
	vs->doom_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vs->doom_fd < 0)
		return err_errno(e, "eventfd");
	vs->timer.fire = timer_fired;
	vs->conn_ready = conn_ready;
	vs->doom_watch.ready = doom_ready;
	vs->listen_watch.ready = listen_ready;
	rc = loop_add(loop, &vs->doom_watch, vs->doom_fd, EPOLLIN, e);
	if (rc)
		return rc;
	return vs->listen_fd < 0 ? 0 : start_listening(vs, e);
}

static void vsock_free(struct virtio *v)
{
	struct vsock *vs = vsock_of(v);

	if (v->device.host) {
		loop_delete(v->device.host->loop, &vs->listen_watch);
		loop_delete(v->device.host->loop, &vs->doom_watch);
		forget_all(vs);
		reap(vs);
		loop_disarm(v->device.host->loop, &vs->timer);
	}
	vsock_host_close(vs);
	fd_close(&vs->doom_fd);
	free(vs->id);
	free(vs);
}

static const struct virtio_ops vsock_ops = {
	.name = "vsock",
	.id = DEVICE_ID_VSOCK,
	.config_read = vsock_config_read,
	.reset = vsock_reset,
	.kick = vsock_kick,
	.visit = vsock_visit,
	.count = vsock_count,
	.free = vsock_free,
};

static int check_cid(uint32_t cid, struct err *e)
{
	/* 5.10.4: reserved are 0, 1, 2 and 2^32 - 1. */
	if (cid > VSOCK_CID_HOST && cid != UINT32_MAX)
		return 0;
	return err_set(e, -EINVAL,
		       "vsock: guest_cid %u is reserved; choose one of 3 to %u",
		       cid, UINT32_MAX - 1);
}

static int open_socket(struct vsock *vs, const char *path, int listen_fd,
		       struct err *e)
{
	return listen_fd ? vsock_host_adopt(vs, path, listen_fd, e)
			 : vsock_host_listen(vs, path, e);
}

int vsock_new(struct device **out, const struct vsock_config *config,
	      struct err *e)
{
	struct vsock *vs;
	int rc = check_cid(config->cid, e);

	if (rc)
		return rc;
	vs = lazy_calloc(sizeof(*vs));
	if (!vs)
		return err_set(e, -ENOMEM, "no memory for vsock");
	vs->listen_fd = vs->doom_fd = -1;
	vs->listen_watch.fd = vs->doom_watch.fd = -1;
	vs->cid = config->cid;
	vsock_table_init(&vs->table);
	vs->id = strdup(config->id);
	if (!vs->id)
		rc = err_set(e, -ENOMEM, "no memory for vsock");
	else if (config->uds_path)
		rc = open_socket(vs, config->uds_path, config->listen_fd, e);
	if (rc) {
		vsock_free(&vs->virtio);
		return rc;
	}
	vs->transport = mmio_transport;
	vs->transport.device.start = vsock_start;
	virtio_init(&vs->virtio, &vsock_ops, &vs->transport, vs->id,
		    VSOCK_F_STREAM, VSOCK_QUEUES, VQ_SIZE_MAX);
	*out = &vs->virtio.device;
	return 0;
}

int vsock_listen(struct device *d, const char *uds_path, int listen_fd,
		 struct err *e)
{
	struct vsock *vs = (struct vsock *)d;
	int rc = open_socket(vs, uds_path, listen_fd, e);

	rc = rc ? rc : start_listening(vs, e);
	if (rc)
		vsock_host_close(vs);
	return rc;
}
