#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HMAC_LEN = 32, HMAC_KEY_MAX = 64 };

/* HMAC-SHA256 (RFC 2104) of data. key_len is at most HMAC_KEY_MAX. */
void hmac_sha256(const uint8_t *key, size_t key_len, const void *data,
		 size_t len, uint8_t out[HMAC_LEN]);

/* Whether two tags are equal, in a time that does not say where they differ. */
bool hmac_equal(const uint8_t a[HMAC_LEN], const uint8_t b[HMAC_LEN]);
