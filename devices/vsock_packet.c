/* The header of a packet, there and back. */
#include "devices/vsock_packet.h"

static uint64_t cid_get(const le32_t *halves)
{
	return le32_get(&halves[0]) | (uint64_t)le32_get(&halves[1]) << 32;
}

static void cid_put(le32_t *halves, uint64_t cid)
{
	le32_put(&halves[0], (uint32_t)cid);
	le32_put(&halves[1], (uint32_t)(cid >> 32));
}

void vsock_packet_read(struct vsock_packet *p, const struct vsock_wire *w)
{
	*p = (struct vsock_packet){
		.src_cid = cid_get(w->src_cid),
		.dst_cid = cid_get(w->dst_cid),
		.src_port = le32_get(&w->src_port),
		.dst_port = le32_get(&w->dst_port),
		.len = le32_get(&w->len),
		.type = le16_get(&w->type),
		.op = le16_get(&w->op),
		.flags = le32_get(&w->flags),
		.buf_alloc = le32_get(&w->buf_alloc),
		.fwd_cnt = le32_get(&w->fwd_cnt),
	};
}

void vsock_packet_write(struct vsock_wire *w, const struct vsock_packet *p)
{
	cid_put(w->src_cid, p->src_cid);
	cid_put(w->dst_cid, p->dst_cid);
	le32_put(&w->src_port, p->src_port);
	le32_put(&w->dst_port, p->dst_port);
	le32_put(&w->len, p->len);
	le16_put(&w->type, p->type);
	le16_put(&w->op, p->op);
	le32_put(&w->flags, p->flags);
	le32_put(&w->buf_alloc, p->buf_alloc);
	le32_put(&w->fwd_cnt, p->fwd_cnt);
}
