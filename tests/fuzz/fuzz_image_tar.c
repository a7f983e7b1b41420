/*
 * A layer: whatever it says, it is taken or refused with a sentence, and the
 * same however the bytes are cut into pieces.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/image/tar.h"

enum { TAR_CHECKSUM = 148, TAR_CHECKSUM_LEN = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Checksums are no hurdle for who means ill, and should be none here. */
static void mend(uint8_t *block)
{
	unsigned sum = 0;
	unsigned i;

	memset(block + TAR_CHECKSUM, ' ', TAR_CHECKSUM_LEN);
	for (i = 0; i < IMAGE_TAR_BLOCK; i++)
		sum += block[i];
	if (sum != ' ' * TAR_CHECKSUM_LEN)
		snprintf((char *)block + TAR_CHECKSUM, TAR_CHECKSUM_LEN, "%06o",
			 sum);
	else
		memset(block + TAR_CHECKSUM, 0, TAR_CHECKSUM_LEN);
}

static int read_in_pieces(const uint8_t *data, size_t size, size_t piece,
			  struct image_tar_totals *totals, struct err *e)
{
	struct image_tar tar;
	size_t at;
	int r = 0;

	*totals = (struct image_tar_totals){
		.entries_max = 100,
		.bytes_max = 1 << 20,
		.raw_max = 1 << 20,
	};
	image_tar_init(&tar, totals);
	for (at = 0; !r && at < size; at += piece)
		r = image_tar_add(&tar, data + at,
				  size - at < piece ? size - at : piece, e);
	if (!r)
		r = image_tar_end(&tar, e);
	image_tar_fini(&tar);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = {1, 7, 512, 513};
	uint8_t *copy = malloc(size + 1);
	struct image_tar_totals first;
	struct image_tar_totals totals;
	struct err e = {0};
	size_t at;
	unsigned i;
	int want;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	for (at = 0; at + IMAGE_TAR_BLOCK <= size; at += IMAGE_TAR_BLOCK)
		mend(copy + at);
	want = read_in_pieces(copy, size, size + 1, &first, &e);
	if (want && !e.text[0])
		abort();
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		if (read_in_pieces(copy, size, pieces[i], &totals, &e) !=
			    want ||
		    totals.entries != first.entries ||
		    totals.bytes != first.bytes ||
		    totals.mtime_max_s != first.mtime_max_s)
			abort();
	}
	free(copy);
	return 0;
}
