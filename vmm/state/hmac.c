/*
 * HMAC over the SHA-256 of libmd. Larger libraries bring HMAC too and use the
 * processor's own instructions, but look for those by CPUID before main():
 * under a hypervisor each start of a monitor would pay for a key that few have.
 */
#include "vmm/state/hmac.h"

#include <assert.h>
#include <sha2.h>
#include <string.h>

/* What the key is mixed with: RFC 2104, 2. */
enum { INNER = 0x36, OUTER = 0x5c };

static void begin(SHA2_CTX *sha, const uint8_t *key, size_t key_len,
		  uint8_t mix)
{
	uint8_t block[SHA256_BLOCK_LENGTH];
	size_t i;

	for (i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)((i < key_len ? key[i] : 0) ^ mix);
	SHA256Init(sha);
	SHA256Update(sha, block, sizeof(block));
	explicit_bzero(block, sizeof(block));
}

void hmac_sha256(const uint8_t *key, size_t key_len, const void *data,
		 size_t len, uint8_t out[HMAC_LEN])
{
	SHA2_CTX sha;

	/* A longer key would have to be hashed first. */
	_Static_assert(HMAC_KEY_MAX == SHA256_BLOCK_LENGTH, "RFC 2104, 2");
	assert(key_len <= HMAC_KEY_MAX);
	begin(&sha, key, key_len, INNER);
	SHA256Update(&sha, data, len);
	SHA256Final(out, &sha);
	begin(&sha, key, key_len, OUTER);
	SHA256Update(&sha, out, HMAC_LEN);
	SHA256Final(out, &sha);
	explicit_bzero(&sha, sizeof(sha));
}

bool hmac_equal(const uint8_t a[HMAC_LEN], const uint8_t b[HMAC_LEN])
{
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	uint8_t differing = 0;
	size_t i;

	for (i = 0; i < HMAC_LEN; i++)
		differing |= (uint8_t)(x[i] ^ y[i]);
	return !differing;
}
