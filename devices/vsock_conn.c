/*
 * One connection. Theory of operation.
 *
 * Credit (virtio 1.2, 5.10.6.3). Each side says how much room it has for the
 * other (buf_alloc) and how much it has passed on (fwd_cnt); the other keeps
 * sent - fwd_cnt at or below buf_alloc. Counts run modulo 2^32.
 *
 *	host to guest	sent and peer_*: we read from the socket no more than
 *			the guest has credit for, straight into its buffers.
 *			Nothing is ever stored here.
 *
 *	guest to host	received, fwd_cnt, buf_alloc: what the socket does not
 *			take at once is stored in a buffer of buf_alloc bytes,
 *			which exists only then. A guest within its credit
 *			always fits, and one that is not gets a RST.
 *
 * The guest learns of fwd_cnt by every packet, and by one for that purpose when
 * it believes that half of the room is gone although there is more.
 *
 * The end. Each way ends on its own:
 *
 *	guest to host	is over once the guest said SHUTDOWN(SEND) and the last
 *			byte was written (is_cut: the process reads an end of
 *			file), or once the process takes nothing more (is_deaf).
 *	host to guest	is over when the socket says end of file (has_ended), or
 *			once the guest said SHUTDOWN(RECEIVE).
 *
 * vsock_conn_settle() holds these rules. When both ways are over, whoever has
 * not heard SHUTDOWN of both kinds yet hears it, and the other side answers
 * with RST (5.10.6.5), after which both forget the connection. As an end comes
 * only after the last byte, and RST only after both ends, none is lost.
 *
 * The socket's watch is edge-triggered: is_readable and waits_out remember what
 * it said, so that a connection that waits for the guest costs no system call.
 */
#include "devices/vsock_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	const uint32_t out = c->sent - c->peer_fwd_cnt;

	return out < c->peer_buf_alloc ? c->peer_buf_alloc - out : 0;
}

int vsock_conn_hear_credit(struct vsock_conn *c, const struct vsock_packet *p)
{
	/* Differences of counts are signed: before or after. */
	if ((int32_t)(p->fwd_cnt - c->sent) > 0)
		return -EPROTO;
	c->peer_buf_alloc = p->buf_alloc;
	/*
	 * An older count is no lie: Linux stamps packets in one thread while
	 * another one overtakes it.
	 */
	if ((int32_t)(p->fwd_cnt - c->peer_fwd_cnt) > 0)
		c->peer_fwd_cnt = p->fwd_cnt;
	if (vsock_conn_credit(c))
		c->asked_credit = false;
	return 0;
}

/* So many bytes left us for the host. */
static void forwarded(struct vsock_conn *c, uint32_t n)
{
	const uint32_t believed = c->received - c->told_fwd_cnt;

	c->fwd_cnt += n;
	if (!n || believed <= c->buf_alloc / 2)
		return;
	/* Not by crumbs, unless there is no more. */
	if (c->fwd_cnt == c->received ||
	    c->fwd_cnt - c->told_fwd_cnt >= c->buf_alloc / 4)
		c->owes |= VSOCK_OWES_CREDIT;
}

/* As writev(); 0 where the socket takes nothing now, or nothing any more. */
static size_t write_out(struct vsock_conn *c, struct iovec *iov, size_t count)
{
	const struct msghdr m = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EINTR)
		c->is_deaf = true;
	return 0;
}

static void drop_buffer(struct vsock_conn *c)
{
	free(c->buffer);
	c->buffer = NULL;
	c->buffered = 0;
	c->buffer_at = 0;
}

/* Appends to the buffer, which has room. */
static int store(struct vsock_conn *c, struct iov *data)
{
	uint32_t at, n;

	if (!c->buffer)
		c->buffer = malloc(c->buf_alloc);
	if (!c->buffer)
		return -ENOMEM;
	while (data->bytes) {
		at = (c->buffer_at + c->buffered) % c->buf_alloc;
		n = (at < c->buffer_at ? c->buffer_at : c->buf_alloc) - at;
		n = (uint32_t)iov_take(data, c->buffer + at, n);
		c->buffered += n;
	}
	return 0;
}

int vsock_conn_take(struct vsock_conn *c, struct iov *data)
{
	const uint32_t len = (uint32_t)data->bytes;
	size_t n;

	/* What is neither passed on nor stored is not there: fwd_cnt. */
	if (data->bytes > c->buf_alloc - (c->received - c->fwd_cnt))
		return -EPROTO;
	c->received += len;
	if (!c->buffered && !c->is_deaf && len) {
		n = write_out(c, data->at, data->count);
		iov_drop_front(data, n);
		forwarded(c, (uint32_t)n);
	}
	if (c->is_deaf) {
		forwarded(c, (uint32_t)data->bytes);
		return 0;
	}
	return data->bytes ? store(c, data) : 0;
}

bool vsock_conn_flush(struct vsock_conn *c)
{
	const uint32_t before = c->buffered;
	struct iovec iov[2];
	uint32_t n;

	while (c->buffered && !c->is_deaf) {
		n = c->buf_alloc - c->buffer_at;
		n = c->buffered < n ? c->buffered : n;
		iov[0] = (struct iovec){c->buffer + c->buffer_at, n};
		iov[1] = (struct iovec){c->buffer, c->buffered - n};
		n = (uint32_t)write_out(c, iov, iov[1].iov_len ? 2 : 1);
		if (!n)
			break;
		c->buffer_at = (c->buffer_at + n) % c->buf_alloc;
		c->buffered -= n;
		forwarded(c, n);
	}
	if (c->is_deaf)
		forwarded(c, c->buffered);
	if (!c->buffered || c->is_deaf)
		drop_buffer(c);
	return c->buffered != before;
}

/* The first len bytes of a run. Returns how many segments that is. */
static size_t cut_to(struct iovec *iov, size_t count, size_t len)
{
	size_t i;

	for (i = 0; i < count && len; i++) {
		if (iov[i].iov_len > len)
			iov[i].iov_len = len;
		len -= iov[i].iov_len;
	}
	return i;
}

size_t vsock_conn_read(struct vsock_conn *c, struct iovec *iov, size_t count,
		       size_t len)
{
	struct msghdr m = {.msg_iov = iov};
	ssize_t n;

	m.msg_iovlen = cut_to(iov, count, len);
	n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->is_readable = errno == EINTR;
		return 0;
	}
	if (n <= 0) {
		c->is_readable = false;
		c->has_ended = true;
		/* Reset: gone with bytes of the guest unread. */
		if (n < 0)
			c->is_deaf = true;
		return 0;
	}
	/*
	 * A short read emptied the socket, and what comes later is another
	 * edge. But there was one edge for the end and what is before it, and
	 * a message with descriptors (which we refuse) ends a read early.
	 */
	if ((size_t)n < len && !c->is_hung_up && !(m.msg_flags & MSG_CTRUNC))
		c->is_readable = false;
	c->sent += (uint32_t)n;
	return (size_t)n;
}

/*
 * The end needs no credit: looks whether it comes next, where the guest's room
 * would keep us from reading that far.
 */
static void look_for_end(struct vsock_conn *c)
{
	char byte;
	ssize_t n;

	if (!c->is_hung_up || c->has_ended || vsock_conn_credit(c))
		return;
	n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		c->has_ended = true;
}

void vsock_conn_settle(struct vsock_conn *c)
{
	bool out_is_over, in_is_over;

	if (c->state != VSOCK_OPEN)
		return;
	look_for_end(c);
	in_is_over = c->has_ended || c->guest_shut & VSOCK_SHUT_RECEIVE;
	if (c->is_gone && in_is_over)
		c->is_deaf = true;
	if (c->is_deaf && c->buffered)
		vsock_conn_flush(c);
	if (c->guest_shut & VSOCK_SHUT_SEND && !c->buffered && !c->is_cut) {
		shutdown(c->fd, SHUT_WR);
		c->is_cut = true;
	}
	out_is_over = c->is_cut || c->is_deaf;
	if (c->has_ended)
		c->host_shut |= VSOCK_SHUT_SEND;
	if (c->is_deaf)
		c->host_shut |= VSOCK_SHUT_RECEIVE;
	if (out_is_over && in_is_over)
		c->host_shut = VSOCK_SHUT_BOTH;
}

bool vsock_conn_is_over(const struct vsock_conn *c)
{
	return c->host_shut == VSOCK_SHUT_BOTH &&
	       c->guest_shut == VSOCK_SHUT_BOTH;
}

static bool has_input(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && c->is_readable && !c->has_ended &&
	       !(c->guest_shut & VSOCK_SHUT_RECEIVE);
}

bool vsock_conn_has_data(const struct vsock_conn *c)
{
	return has_input(c) && vsock_conn_credit(c);
}

/* Which SHUTDOWN is to be sent; 0 for none. */
static uint8_t shut_owed(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && c->host_shut & ~c->told_shut
		       ? c->host_shut
		       : 0;
}

static bool must_ask_credit(const struct vsock_conn *c)
{
	return has_input(c) && !vsock_conn_credit(c) && !c->asked_credit;
}

bool vsock_conn_has_word(const struct vsock_conn *c)
{
	return c->owes || shut_owed(c) || must_ask_credit(c) ||
	       vsock_conn_has_data(c);
}

bool vsock_conn_next(struct vsock_conn *c, struct vsock_packet *p)
{
	*p = (struct vsock_packet){0};
	if (c->owes & VSOCK_OWES_RST) {
		p->op = VSOCK_OP_RST;
		c->owes = 0;
	} else if (c->owes & VSOCK_OWES_REQUEST) {
		p->op = VSOCK_OP_REQUEST;
		c->owes &= ~VSOCK_OWES_REQUEST;
	} else if (c->owes & VSOCK_OWES_RESPONSE) {
		p->op = VSOCK_OP_RESPONSE;
		c->owes &= ~VSOCK_OWES_RESPONSE;
	} else if (shut_owed(c)) {
		p->op = VSOCK_OP_SHUTDOWN;
		p->flags = shut_owed(c);
		c->told_shut = c->host_shut;
	} else if (must_ask_credit(c)) {
		p->op = VSOCK_OP_CREDIT_REQUEST;
		c->asked_credit = true;
	} else if (c->owes & VSOCK_OWES_CREDIT) {
		p->op = VSOCK_OP_CREDIT_UPDATE;
	} else {
		return false;
	}
	vsock_conn_stamp(c, p);
	return true;
}

void vsock_conn_stamp(struct vsock_conn *c, struct vsock_packet *p)
{
	p->type = VSOCK_TYPE_STREAM;
	p->src_cid = VSOCK_CID_HOST;
	p->src_port = c->host_port;
	p->dst_port = c->guest_port;
	p->buf_alloc = c->buf_alloc;
	p->fwd_cnt = c->fwd_cnt;
	c->told_fwd_cnt = c->fwd_cnt;
	c->owes &= ~VSOCK_OWES_CREDIT;
}
