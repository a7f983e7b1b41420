/*
 * A working set's file: as it comes, and with its sum made right, it is refused
 * with a sentence, or taken: then all its pages are the guest's, each once, and
 * it is written again to the byte.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vmm/mem/guest_mem.h"
#include "vmm/mem/working_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_LEN = 48, SUM_AT = 44, ID_AT = 16, GUEST_AT = 32 };

static void judge(const struct working_set *s, uint64_t pages)
{
	uint8_t *seen = calloc(1, pages + 1);
	uint32_t i, k, sum = 0;

	for (i = 0; i < s->count; i++)
		for (k = 0; k < s->ranges[i].count; k++, sum++)
			if (s->ranges[i].page + (uint64_t)k >= pages ||
			    seen[s->ranges[i].page + k]++)
				abort();
	if (sum != s->pages || sum > WORKING_SET_PAGES_MAX)
		abort();
	free(seen);
}

static void take(const uint8_t *data, size_t size, const uint8_t *id,
		 uint64_t pages)
{
	struct working_set s;
	struct err e = {0};
	uint8_t *again;
	size_t len;

	if (working_set_decode(&s, data, size, id, pages, &e)) {
		if (!e.text[0] || s.ranges)
			abort();
		return;
	}
	judge(&s, pages);
	if (working_set_encode(&s, &again, &len) || len != size ||
	    memcmp(again, data, len) != 0)
		abort();
	free(again);
	working_set_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t id[WORKING_SET_ID_LEN] = {0};
	uint8_t *copy;
	uint32_t sum;

	take(data, size, id, 32768);
	if (size < HEAD_LEN || size > WORKING_SET_BYTES_MAX)
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	memcpy(copy, "mayflyws\1\0\0\0", 12);
	memcpy(id, copy + ID_AT, sizeof(id));
	memcpy(copy + GUEST_AT, "\0\200\0\0\0\0\0\0", 8);
	sum = (uint32_t)crc32_z(0, copy, SUM_AT);
	sum = htole32((uint32_t)crc32_z(sum, copy + HEAD_LEN, size - HEAD_LEN));
	memcpy(copy + SUM_AT, &sum, sizeof(sum));
	take(copy, size, id, 32768);
	free(copy);
	return 0;
}
