#pragma once

#include <stdint.h>

#include "vmm/base/le.h"

/* Packets of virtio-vsock (virtio 1.2, 5.10.6): a header, then len bytes. */
enum { VSOCK_HEADER_BYTES = 44 };
enum { VSOCK_CID_HOST = 2, VSOCK_TYPE_STREAM = 1 };

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of SHUTDOWN: what its sender will not do any more. */
enum {
	VSOCK_SHUT_RECEIVE = 1,
	VSOCK_SHUT_SEND = 2,
	VSOCK_SHUT_BOTH = 3,
};

/* As it lies in a buffer. Of 32-bit words, so that it has no hole. */
struct vsock_wire {
	le32_t src_cid[2];
	le32_t dst_cid[2];
	le32_t src_port;
	le32_t dst_port;
	le32_t len;
	le16_t type;
	le16_t op;
	le32_t flags;
	le32_t buf_alloc;
	le32_t fwd_cnt;
};

_Static_assert(sizeof(struct vsock_wire) == VSOCK_HEADER_BYTES, "5.10.6");

/* As we look at it. */
struct vsock_packet {
	uint64_t src_cid;
	uint64_t dst_cid;
	uint32_t src_port;
	uint32_t dst_port;
	uint32_t len;
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t buf_alloc;
	uint32_t fwd_cnt;
};

void vsock_packet_read(struct vsock_packet *p, const struct vsock_wire *w);
void vsock_packet_write(struct vsock_wire *w, const struct vsock_packet *p);
