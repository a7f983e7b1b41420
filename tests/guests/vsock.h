#pragma once

#include <stdint.h>

/* A vsock packet's header (virtio 1.2, 5.10.6), 44 bytes; CIDs in two halves.
 */
enum op {
	REQUEST = 1,
	RESPONSE = 2,
	RST = 3,
	SHUTDOWN = 4,
	RW = 5,
	CREDIT_UPDATE = 6,
	CREDIT_REQUEST = 7,
};

struct packet {
	uint32_t src_cid[2];
	uint32_t dst_cid[2];
	uint32_t src_port;
	uint32_t dst_port;
	uint32_t len;
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t buf_alloc;
	uint32_t fwd_cnt;
};
