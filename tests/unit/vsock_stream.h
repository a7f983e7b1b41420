#pragma once

#include <stddef.h>
#include <stdint.h>

#include "devices/vsock_packet.h"

/*
 * A stream between port GUEST of the guest and port HOST of the host, for the
 * tests of virtio-vsock: its bytes are sent from `out` and arrive in `in`.
 */
enum { GUEST = 5000, HOST = 80, SPACE = 256 << 10, STREAM_BYTES = 1 << 20 };

extern uint8_t out[STREAM_BYTES];
extern uint8_t in[STREAM_BYTES];

/* Bytes for out, none like its neighbours. */
void fill_pattern(void);
/* Sends n bytes of out from `at` on, in packets of at most `most`. */
void guest_streams(size_t at, size_t n, size_t most);
/* Reads what there is, up to n bytes, to in + at. */
size_t host_reads(int fd, size_t at, size_t n);
/* Takes data packets, up to n bytes, to in + at; the fwd_cnt is not told. */
size_t guest_reads(size_t at, size_t n);
void tell_credit(uint32_t fwd_cnt, uint32_t buf_alloc);
/* Skips credit packets; the next other one. */
struct vsock_packet next_word(void);
