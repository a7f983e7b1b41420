/* State files to be tampered with. */
#include "tests/unit/state_bytes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/state/hmac.h"

uint32_t state_bytes_sum(uint32_t sum, const uint8_t *data, size_t len)
{
	static uint32_t table[256];
	uint32_t one;
	size_t i;

	for (i = 0; i < 256 && !table[255]; i++) {
		one = (uint32_t)i;
		for (unsigned bit = 0; bit < 8; bit++)
			one = one >> 1 ^ (one & 1 ? 0xedb88320 : 0);
		table[i] = one;
	}
	sum = ~sum;
	for (i = 0; i < len; i++)
		sum = sum >> 8 ^ table[(sum ^ data[i]) & 0xff];
	return ~sum;
}

void state_bytes_put(uint8_t *at, uint64_t value, unsigned bytes)
{
	unsigned i;

	for (i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

void state_bytes_mend(uint8_t *data, size_t len, const struct state_key *key)
{
	const size_t end = key && len >= TAG_LEN ? len - TAG_LEN : len;
	size_t at = STATE_HEAD_LEN;
	uint32_t sum;
	size_t size;

	if (len < STATE_HEAD_LEN)
		return;
	sum = state_bytes_sum(0, data, HEAD_SUM);
	state_bytes_put(data + HEAD_SUM, sum, 4);
	while (at <= end && end - at >= SECTION_HEAD) {
		size = SECTION_HEAD + get(data + at + SECTION_NAME_LEN, 2) +
		       get(data + at + SECTION_LEN, 4);
		if (size > end - at)
			break;
		sum = state_bytes_sum(sum, data + at + 4, size - 4);
		state_bytes_put(data + at, sum, 4);
		at += size;
	}
	if (key && len >= TAG_LEN)
		hmac_sha256(key->bytes, key->len, data, end, data + end);
}

void state_bytes_add(struct state *s, const char *name, uint32_t version,
		     size_t len)
{
	struct visitor v;
	size_t i;

	visitor_save(&v, version, NULL);
	for (i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)i;

		visit_u8(&v, &byte);
	}
	if (state_add(s, name, &v, NULL))
		abort();
}

uint8_t *state_bytes_file(const struct state_key *key, size_t *len)
{
	struct state *s = state_new();
	uint8_t *data;

	if (!s)
		abort();
	memset(state_id(s), 0x1d, STATE_ID_LEN);
	state_bytes_add(s, "config", 1, 40);
	state_bytes_add(s, "vcpu 0", 3, 100);
	state_bytes_add(s, "block rootfs", 2, 0);
	if (state_encode(s, key, &data, len, NULL))
		abort();
	state_free(s);
	return data;
}
