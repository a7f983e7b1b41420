#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * SipHash-2-4 with 128 bits of result (Aumasson and Bernstein, 2012): what
 * comes out tells nobody without the key anything of the key, nor what comes
 * out for another text.
 */
enum { SIPHASH_BYTES = 16 };

void siphash(const uint8_t key[SIPHASH_BYTES], const void *text, size_t len,
	     uint8_t out[SIPHASH_BYTES]);
