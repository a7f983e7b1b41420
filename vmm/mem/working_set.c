/*
 * The file, all of it little-endian:
 *
 *	 0  magic, "mayflyws"
 *	 8  format, u16: 1
 *	10  zero, u16
 *	12  number of ranges, u32
 *	16  id of the state, 16 bytes
 *	32  pages of the guest's memory, u64
 *	40  pages of all ranges, u32
 *	44  sum, u32: CRC-32 of the 44 bytes before and of all ranges
 *	48  ranges: first page, u32; number of pages, u32, of which bit 31 says
 *	    that the first touch was a write
 *
 * Ranges come in the order of touches, and no page comes twice. It says what to
 * read early and nothing else, so that a wrong one costs time; but whoever
 *reads it has as much to do as it says, so that is bounded.
 */
#include "vmm/mem/working_set.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vmm/mem/guest_mem.h"

enum { FORMAT = 1, HEAD_LEN = 48, SUM_AT = 44, RANGE_LEN = 8 };

#define WRITTEN (1U << 31)

static const uint8_t magic[8] = {'m', 'a', 'y', 'f', 'l', 'y', 'w', 's'};

struct head {
	uint8_t magic[8];
	uint16_t format;
	uint16_t zero;
	uint32_t ranges;
	uint8_t id[WORKING_SET_ID_LEN];
	uint64_t pages_of_guest;
	uint32_t pages;
	uint32_t sum;
};

_Static_assert(sizeof(struct head) == HEAD_LEN, "a head has no holes");
_Static_assert(WORKING_SET_BYTES_MAX ==
		       HEAD_LEN + RANGE_LEN * WORKING_SET_PAGES_MAX,
	       "a range has a page at least");

void working_set_fini(struct working_set *s)
{
	free(s->ranges);
	*s = (struct working_set){0};
}

int working_set_reserve(struct working_set *s, uint32_t pages)
{
	s->ranges = calloc(pages + 1UL, sizeof(*s->ranges));
	if (!s->ranges)
		return -ENOMEM;
	s->room = pages;
	return 0;
}

int working_set_add(struct working_set *s, uint32_t page, bool is_written)
{
	struct working_range *last = s->count ? &s->ranges[s->count - 1] : NULL;

	if (s->pages >= s->room)
		return -ENOSPC;
	assert(s->ranges);
	if (last && last->page + last->count == page &&
	    last->is_written == is_written) {
		last->count++;
	} else {
		s->ranges[s->count++] = (struct working_range){
			.page = page, .count = 1, .is_written = is_written};
	}
	s->pages++;
	return 0;
}

static uint32_t sum_of(const uint8_t *data, size_t len)
{
	uint32_t sum = (uint32_t)crc32_z(0, data, SUM_AT);

	return (uint32_t)crc32_z(sum, data + HEAD_LEN, len - HEAD_LEN);
}

int working_set_encode(const struct working_set *s, uint8_t **out, size_t *len)
{
	struct head head = {
		.format = htole16(FORMAT),
		.ranges = htole32(s->count),
		.pages_of_guest = htole64(s->pages_of_guest),
		.pages = htole32(s->pages),
	};
	uint32_t i, words[2];
	uint8_t *data;

	*len = HEAD_LEN + (size_t)RANGE_LEN * s->count;
	*out = data = malloc(*len);
	if (!data)
		return -ENOMEM;
	memcpy(head.magic, magic, sizeof(magic));
	memcpy(head.id, s->id, sizeof(head.id));
	memcpy(data, &head, sizeof(head));
	for (i = 0; i < s->count; i++) {
		const struct working_range *r = &s->ranges[i];

		words[0] = htole32(r->page);
		words[1] = htole32(r->count | (r->is_written ? WRITTEN : 0));
		memcpy(data + HEAD_LEN + (size_t)RANGE_LEN * i, words,
		       sizeof(words));
	}
	head.sum = htole32(sum_of(data, *len));
	memcpy(data + SUM_AT, &head.sum, sizeof(head.sum));
	return 0;
}

static int check_head(const struct head *head, const uint8_t *data, size_t len,
		      const uint8_t id[WORKING_SET_ID_LEN],
		      uint64_t pages_of_guest, struct err *e)
{
	const uint32_t ranges = le32toh(head->ranges);
	const uint32_t pages = le32toh(head->pages);

	if (len < HEAD_LEN || memcmp(head->magic, magic, sizeof(magic)) != 0)
		return err_set(e, -EINVAL, "it is no working set");
	if (le16toh(head->format) != FORMAT)
		return err_set(e, -ENOTSUP,
			       "it has format %u, and this version reads %d",
			       le16toh(head->format), FORMAT);
	if (pages > WORKING_SET_PAGES_MAX || ranges > pages || head->zero ||
	    len != HEAD_LEN + (size_t)RANGE_LEN * ranges ||
	    le32toh(head->sum) != sum_of(data, len))
		return err_set(e, -EINVAL, "it is damaged; record it again");
	if (memcmp(head->id, id, sizeof(head->id)) != 0 ||
	    le64toh(head->pages_of_guest) != pages_of_guest)
		return err_set(e, -ESTALE,
			       "it is another snapshot's; record it again");
	return 0;
}

/* Sets bits from page on; false where one is set already. */
static bool take(uint64_t *seen, uint64_t page, uint32_t count)
{
	for (; count; count--, page++) {
		const uint64_t bit = 1ULL << page % GUEST_WORD;

		if (seen[page / GUEST_WORD] & bit)
			return false;
		seen[page / GUEST_WORD] |= bit;
	}
	return true;
}

/* Its sum may be right, and it anybody's all the same. */
static bool read_ranges(struct working_set *s, const uint8_t *data,
			uint64_t *seen)
{
	uint32_t i, words[2], pages = 0;

	for (i = 0; i < s->count; i++) {
		struct working_range *r = &s->ranges[i];

		memcpy(words, data + HEAD_LEN + (size_t)RANGE_LEN * i,
		       sizeof(words));
		r->page = le32toh(words[0]);
		r->count = le32toh(words[1]) & ~WRITTEN;
		r->is_written = le32toh(words[1]) & WRITTEN;
		if (!r->count || r->count > s->pages - pages ||
		    r->page >= s->pages_of_guest ||
		    r->count > s->pages_of_guest - r->page ||
		    !take(seen, r->page, r->count))
			return false;
		pages += r->count;
	}
	return pages == s->pages;
}

int working_set_decode(struct working_set *s, const uint8_t *data, size_t len,
		       const uint8_t id[WORKING_SET_ID_LEN],
		       uint64_t pages_of_guest, struct err *e)
{
	struct head head = {0};
	uint64_t *seen;
	int rc;

	*s = (struct working_set){0};
	memcpy(&head, data, len < sizeof(head) ? len : sizeof(head));
	rc = check_head(&head, data, len, id, pages_of_guest, e);
	if (rc)
		return rc;
	memcpy(s->id, id, sizeof(s->id));
	s->pages_of_guest = pages_of_guest;
	s->count = le32toh(head.ranges);
	s->pages = le32toh(head.pages);
	seen = calloc(pages_of_guest / GUEST_WORD + 1, sizeof(*seen));
	if (working_set_reserve(s, s->count) || !seen)
		rc = err_set(e, -ENOMEM, "no memory for a working set");
	else if (!read_ranges(s, data, seen))
		rc = err_set(e, -EINVAL,
			     "it names pages that the guest has not, or has "
			     "only once; record it again");
	free(seen);
	if (rc)
		working_set_fini(s);
	return rc;
}

uint32_t working_set_common(const struct working_set *s, const uint64_t *pages)
{
	uint32_t i, common = 0;
	uint64_t page;

	for (i = 0; i < s->count; i++)
		for (page = s->ranges[i].page;
		     page < s->ranges[i].page + (uint64_t)s->ranges[i].count;
		     page++)
			common += !!(pages[page / GUEST_WORD] &
				     1ULL << page % GUEST_WORD);
	return common;
}
