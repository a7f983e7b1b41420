#pragma once

/* Numbers on the agent's wire: little-endian, wherever they stand. */

#include <stdint.h>

struct proto_le16 {
	uint8_t b[2];
};

struct proto_le32 {
	uint8_t b[4];
};

struct proto_le64 {
	uint8_t b[8];
};

static inline uint16_t proto_get16(const struct proto_le16 *p)
{
	return (uint16_t)(p->b[0] | p->b[1] << 8);
}

static inline uint32_t proto_get32(const struct proto_le32 *p)
{
	return (uint32_t)p->b[0] | (uint32_t)p->b[1] << 8 |
	       (uint32_t)p->b[2] << 16 | (uint32_t)p->b[3] << 24;
}

static inline uint64_t proto_get64(const struct proto_le64 *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p->b[i];
	return v;
}

static inline void proto_put16(struct proto_le16 *p, uint16_t v)
{
	p->b[0] = (uint8_t)v;
	p->b[1] = (uint8_t)(v >> 8);
}

static inline void proto_put32(struct proto_le32 *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p->b[i] = (uint8_t)(v >> 8 * i);
}

static inline void proto_put64(struct proto_le64 *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p->b[i] = (uint8_t)(v >> 8 * i);
}
