/* The names are those of the paper. */
#include "vmm/base/siphash.h"

#include <endian.h>
#include <string.h>

enum { ROUNDS = 2, LAST_ROUNDS = 4, WORD = 8 };
enum { FIRST_HALF = 0xee, SECOND_HALF = 0xdd };

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_rounds(struct sip *s, unsigned count)
{
	while (count--) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static uint64_t load(const uint8_t *p, size_t len)
{
	uint64_t x = 0;

	memcpy(&x, p, len);
	return le64toh(x);
}

static void sip_word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_rounds(s, ROUNDS);
	s->v0 ^= m;
}

static void sip_end(struct sip *s, uint8_t out[WORD])
{
	uint64_t x;

	sip_rounds(s, LAST_ROUNDS);
	x = htole64(s->v0 ^ s->v1 ^ s->v2 ^ s->v3);
	memcpy(out, &x, WORD);
}

void siphash(const uint8_t key[SIPHASH_BYTES], const void *text, size_t len,
	     uint8_t out[SIPHASH_BYTES])
{
	const uint64_t k0 = load(key, WORD), k1 = load(key + WORD, WORD);
	const uint8_t *p = text;
	size_t left = len;
	struct sip s = {
		.v0 = k0 ^ 0x736f6d6570736575ULL,
		.v1 = k1 ^ 0x646f72616e646f6dULL ^ FIRST_HALF,
		.v2 = k0 ^ 0x6c7967656e657261ULL,
		.v3 = k1 ^ 0x7465646279746573ULL,
	};

	for (; left >= WORD; left -= WORD, p += WORD)
		sip_word(&s, load(p, WORD));
	sip_word(&s, (uint64_t)len << 56 | load(p, left));
	s.v2 ^= FIRST_HALF;
	sip_end(&s, out);
	s.v1 ^= SECOND_HALF;
	sip_end(&s, out + WORD);
}
