/*
 * The maps of sparse files. Of type 'S' four pieces are in the header and 21 in
 * each block behind it, as long as a flag says that there is one more. Of
 * version 1.0 the map is text before the data, numbers each with a newline: how
 * many pieces, then offset and length of each, padded to a whole block.
 */
#include "guest/agent/sparse.h"

#include <stdbool.h>
#include <stdlib.h>

/* Where things are in a block of GNU's. */
enum {
	FIELD = 12,
	PAIR = 2 * FIELD,
	HEADER_PAIRS_AT = 386,
	HEADER_PAIRS = 4,
	HEADER_MORE_AT = 482,
	HEADER_SIZE_AT = 483,
	BLOCK_PAIRS = 21,
	BLOCK_MORE_AT = 504,
};

static const char broken[] = "the archive breaks off";
static const char nonsense[] = "the map of its holes makes no sense";
static const char large[] = "it has more than 65536 pieces between holes";

static const char *add(struct sparse *s, uint64_t at, uint64_t len)
{
	struct sparse_piece *more;

	if (s->count == SPARSE_MAX)
		return large;
	if (s->count == s->room) {
		const size_t room = s->room ? 2 * s->room : 64;

		more = realloc(s->pieces, room * sizeof(*more));
		if (!more)
			return "no memory";
		s->pieces = more;
		s->room = room;
	}
	s->pieces[s->count++] = (struct sparse_piece){at, len};
	return NULL;
}

static const char *judge(const struct sparse *s, uint64_t data, uint64_t size)
{
	uint64_t end = 0;

	if (size >> 62)
		return nonsense;
	for (size_t i = 0; i < s->count; i++) {
		const struct sparse_piece *p = &s->pieces[i];

		if (p->at < end || p->at > size || p->len > size - p->at ||
		    p->len > data)
			return nonsense;
		end = p->at + p->len;
		data -= p->len;
	}
	return data ? nonsense : NULL;
}

static const char *add_pairs(struct sparse *s, const char *at, unsigned count)
{
	const char *why = NULL;
	uint64_t offset, len;

	/* The first that is empty ends them. */
	for (; count && *at && !why; count--, at += PAIR) {
		if (!tar_number(at, FIELD, &offset) ||
		    !tar_number(at + FIELD, FIELD, &len))
			return nonsense;
		why = add(s, offset, len);
	}
	return why;
}

const char *sparse_read_blocks(struct sparse *s, int fd,
			       const struct tar_header *h, uint64_t data,
			       uint64_t *size)
{
	char block[TAR_BLOCK];
	const char *head = (const char *)h;
	bool has_more = head[HEADER_MORE_AT];
	const char *why = add_pairs(s, head + HEADER_PAIRS_AT, HEADER_PAIRS);

	if (!tar_number(head + HEADER_SIZE_AT, FIELD, size))
		return nonsense;
	while (has_more && !why) {
		if (tar_read_full(fd, block, sizeof(block)) != sizeof(block))
			return broken;
		has_more = block[BLOCK_MORE_AT];
		why = add_pairs(s, block, BLOCK_PAIRS);
	}
	return why ? why : judge(s, data, *size);
}

/* The text of a map, of which one block is in memory. */
struct text {
	int fd;
	uint64_t left; /* of the data, behind this block */
	size_t at;
	char block[TAR_BLOCK];
};

static const char *read_number(struct text *t, uint64_t *value)
{
	bool is_any = false;
	char c;

	for (*value = 0;; is_any = true) {
		if (t->at == TAR_BLOCK) {
			if (t->left < TAR_BLOCK)
				return nonsense;
			if (tar_read_full(t->fd, t->block, TAR_BLOCK) !=
			    TAR_BLOCK)
				return broken;
			t->left -= TAR_BLOCK;
			t->at = 0;
		}
		c = t->block[t->at++];
		if (c == '\n')
			return is_any ? NULL : nonsense;
		if (c < '0' || c > '9' || *value >> 58)
			return nonsense;
		*value = *value * 10 + (uint64_t)(c - '0');
	}
}

const char *sparse_read_map(struct sparse *s, int fd, uint64_t *data,
			    uint64_t size)
{
	struct text t = {.fd = fd, .left = *data, .at = TAR_BLOCK};
	uint64_t count, at, len;
	const char *why = read_number(&t, &count);

	if (!why && count > SPARSE_MAX)
		return large;
	while (!why && count--) {
		why = read_number(&t, &at);
		if (!why)
			why = read_number(&t, &len);
		if (!why)
			why = add(s, at, len);
	}
	*data = t.left;
	return why ? why : judge(s, *data, size);
}

void sparse_fini(struct sparse *s)
{
	free(s->pieces);
	*s = (struct sparse){0};
}
