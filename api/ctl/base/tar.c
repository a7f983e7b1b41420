/*
 * Theory of operation: bytes come in any pieces. Data is handed on as it comes;
 * everything else is gathered into blocks of 512 bytes. A block is a header, a
 * part of a pax header or long name, or a part of a sparse map. Where archives
 * can be read in two ways this reads as Go's archive/tar does, since that is
 * what umoci unpacks with: links, folders and nodes have no data whatever
 * their size says, and one block of zeros alone is damage.
 *
 * A global header (POSIX.1-2017, pax, "typeflag g") would hold records for all
 * that follows. Container tools pass over them, git writes one into each
 * archive, and so they are passed over here.
 */
#include "api/ctl/base/tar.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Places in names[] and links[]. */
enum { BY_PAX, BY_SPARSE, BY_GNU };

/* Where things are in a header: POSIX ustar, and GNU's sparse fields. */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	MODE_LEN = 8,
	SIZE = 124,
	MTIME = 136,
	NUMBER_LEN = 12,
	CHECKSUM = 148,
	CHECKSUM_LEN = 8,
	TYPE = 156,
	LINK = 157,
	LINK_LEN = 100,
	MAGIC = 257,
	PREFIX = 345,
	PREFIX_LEN = 155,
	SPARSE_MORE = 482,
	SPARSE_REAL = 483,
	SPARSE_BLOCK_MORE = 504,
};

void tar_init(struct tar *t, const char *what, const struct tar_hooks *hooks,
	      void *ctx)
{
	*t = (struct tar){.hooks = hooks, .ctx = ctx, .what = what};
}

static void forget(struct tar *t)
{
	unsigned i;

	for (i = 0; i < TAR_NAMES; i++) {
		free(t->names[i]);
		free(t->links[i]);
		t->names[i] = t->links[i] = NULL;
	}
	t->has_size = t->has_real_size = t->has_mtime = false;
}

void tar_fini(struct tar *t)
{
	forget(t);
	free(t->extra);
	t->extra = NULL;
}

static int damaged(const struct tar *t, struct err *e, const char *why)
{
	return err_set(e, -EINVAL, "%s is no intact tar archive: %s", t->what,
		       why);
}

/* Octal, or GNU's base 256 with the first bit set. False for neither. */
static bool read_number(const unsigned char *field, size_t len, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		/* A set second bit would be a negative number. */
		for (v = field[0] & 0x7f, i = 1; i < len; i++) {
			if (v >> 55)
				return false;
			v = v << 8 | field[i];
		}
		*out = v;
		return !(field[0] & 0x40);
	}
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(field[i] - '0');
	for (; i < len; i++)
		if (field[i] && field[i] != ' ')
			return false;
	*out = v;
	return true;
}

static bool is_checksum_right(const unsigned char *block)
{
	uint64_t want;
	uint64_t sum = 0;
	int64_t signed_sum = 0;
	unsigned i;

	if (!read_number(block + CHECKSUM, CHECKSUM_LEN, &want))
		return false;
	for (i = 0; i < TAR_BLOCK; i++) {
		const bool is_own = i >= CHECKSUM &&
				    i < CHECKSUM + CHECKSUM_LEN;
		const unsigned char c = is_own ? ' ' : block[i];

		sum += c;
		signed_sum += (signed char)c;
	}
	return sum == want || (signed_sum >= 0 && (uint64_t)signed_sum == want);
}

/* Data and its padding to whole blocks; sizes are below 2^63. */
static uint64_t padded(uint64_t size)
{
	return (size + TAR_BLOCK - 1) & ~(uint64_t)(TAR_BLOCK - 1);
}

/* ---- pax records ------------------------------------------------------- */

static bool parse_digits(const char *text, size_t len, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (!len || len > 18)
		return false;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	*out = v;
	return true;
}

static int keep_text(const struct tar *t, char **to, const char *text,
		     size_t len, struct err *e)
{
	char *copy;

	if (memchr(text, 0, len))
		return damaged(t, e, "a name holds a NUL");
	/* An empty value takes an earlier one back. */
	copy = len ? strndup(text, len) : NULL;
	if (len && !copy)
		return err_set(e, -ENOMEM, "no memory for a name in %s",
			       t->what);
	free(*to);
	*to = copy;
	return 0;
}

static bool is_key(const char *key, size_t len, const char *want)
{
	return strlen(want) == len && !memcmp(key, want, len);
}

static int keep_record(struct tar *t, const char *key, size_t key_len,
		       const char *value, size_t len, struct err *e)
{
	const char *dot = memchr(value, '.', len);

	if (is_key(key, key_len, "path"))
		return keep_text(t, &t->names[BY_PAX], value, len, e);
	if (is_key(key, key_len, "GNU.sparse.name"))
		return keep_text(t, &t->names[BY_SPARSE], value, len, e);
	if (is_key(key, key_len, "linkpath"))
		return keep_text(t, &t->links[BY_PAX], value, len, e);
	if (is_key(key, key_len, "mtime")) {
		/* One before 1970 counts as none. */
		t->has_mtime = parse_digits(
			value, dot ? (size_t)(dot - value) : len, &t->mtime_s);
		return 0;
	}
	if (is_key(key, key_len, "size")) {
		t->has_size = parse_digits(value, len, &t->size);
		return t->has_size || !len
			       ? 0
			       : damaged(t, e, "a size is no number");
	}
	if (is_key(key, key_len, "GNU.sparse.size") ||
	    is_key(key, key_len, "GNU.sparse.realsize")) {
		t->has_real_size = parse_digits(value, len, &t->real_size);
		return t->has_real_size
			       ? 0
			       : damaged(t, e, "a sparse size is no number");
	}
	return 0;
}

/* "LEN KEY=VALUE\n", LEN counting all of it. */
static int read_records(struct tar *t, struct err *e)
{
	const char *at = t->extra;
	size_t left = t->extra_len;
	int r;

	while (left) {
		const char *blank = memchr(at, ' ', left < 20 ? left : 20);
		uint64_t len;
		const char *equals;
		const char *key;

		if (!blank || !parse_digits(at, (size_t)(blank - at), &len) ||
		    len > left || len < (size_t)(blank - at) + 3 ||
		    at[len - 1] != '\n')
			return damaged(t, e, "a pax header is malformed");
		key = blank + 1;
		equals = memchr(key, '=', (size_t)(at + len - 1 - key));
		if (!equals)
			return damaged(t, e, "a pax header is malformed");
		r = keep_record(t, key, (size_t)(equals - key), equals + 1,
				(size_t)(at + len - 1 - (equals + 1)), e);
		if (r)
			return r;
		at += len;
		left -= len;
	}
	return 0;
}

static int finish_extra(struct tar *t, struct err *e)
{
	const char type = t->extra_type;
	int r;

	t->extra_type = 0;
	r = 0;
	if (type == 'x')
		r = read_records(t, e);
	else if (type == 'g')
		t->has_global = true;
	else
		r = keep_text(
			t, type == 'L' ? &t->names[BY_GNU] : &t->links[BY_GNU],
			t->extra, strnlen(t->extra, t->extra_len), e);
	free(t->extra);
	t->extra = NULL;
	return r;
}

static int begin_extra(struct tar *t, char type, uint64_t size, struct err *e)
{
	if (size > TAR_EXTRA_MAX)
		return damaged(t, e, "an extended header is over 1 MiB");
	t->extra = malloc(size + 1);
	if (!t->extra)
		return err_set(e, -ENOMEM, "no memory for a header of %s",
			       t->what);
	t->extra[size] = 0;
	t->extra_len = size;
	t->extra_have = 0;
	t->extra_type = type;
	return size ? 0 : finish_extra(t, e);
}

static int add_extra(struct tar *t, struct err *e)
{
	size_t n = t->extra_len - t->extra_have;

	assert(t->extra);
	if (n > TAR_BLOCK)
		n = TAR_BLOCK;
	memcpy(t->extra + t->extra_have, t->block, n);
	t->extra_have += n;
	return t->extra_have == t->extra_len ? finish_extra(t, e) : 0;
}

/* ---- entries ----------------------------------------------------------- */

static void header_name(const unsigned char *block, char out[260])
{
	const char *name = (const char *)block + NAME;
	const char *prefix = (const char *)block + PREFIX;
	const size_t name_len = strnlen(name, NAME_LEN);
	size_t at = 0;

	/* Only POSIX's magic has the NUL; GNU keeps other things there. */
	if (!memcmp(block + MAGIC, "ustar", 6) && prefix[0]) {
		at = strnlen(prefix, PREFIX_LEN);
		memcpy(out, prefix, at);
		out[at++] = '/';
	}
	memcpy(out + at, name, name_len);
	out[at + name_len] = 0;
}

bool tar_has_data(char type)
{
	return type == '0' || type == 0 || type == 'S' || type == '7';
}

/* The i-th of the names, or what the header says where there is none. */
static const char *pick(char *const list[TAR_NAMES], unsigned i,
			const char *header)
{
	unsigned k;

	if (list[i])
		return list[i];
	for (k = 0; k < TAR_NAMES; k++)
		if (list[k])
			return list[k];
	return header;
}

/* Before POSIX had a type for folders their names said it. */
static bool is_old_folder(const struct tar *t, const struct tar_entry *entry)
{
	unsigned i;

	for (i = 0; i < TAR_NAMES; i++) {
		const size_t len = strlen(entry->names[i]);

		if (!len || entry->names[i][len - 1] != '/')
			return false;
	}
	return !t->block[TYPE] || (t->takes_slashes && t->block[TYPE] == '0');
}

static int hand_on(struct tar *t, struct tar_entry *entry, struct err *e)
{
	char name[260];
	char link[LINK_LEN + 1];
	unsigned i;

	header_name(t->block, name);
	memcpy(link, t->block + LINK, LINK_LEN);
	link[LINK_LEN] = 0;
	for (i = 0; i < TAR_NAMES; i++) {
		entry->names[i] = pick(t->names, i, name);
		entry->links[i] = pick(t->links, i, link);
	}
	if (is_old_folder(t, entry)) {
		entry->type = '5';
		entry->size = entry->data_size = 0;
	}
	entry->mtime_s = t->has_mtime ? t->mtime_s : 0;
	return t->hooks->entry(t->ctx, entry, e);
}

static int on_header(struct tar *t, struct err *e)
{
	const char type = (char)t->block[TYPE];
	struct tar_entry entry = {0};
	uint64_t size;
	uint64_t real;
	uint64_t mtime;
	int r;

	if (!is_checksum_right(t->block))
		return damaged(t, e, "a header's checksum is wrong");
	if (!read_number(t->block + SIZE, NUMBER_LEN, &size))
		return damaged(t, e, "a size is no number");
	if (type == 'x' || type == 'g' || type == 'L' || type == 'K')
		return begin_extra(t, type, size, e);
	if (t->has_size)
		size = t->size;
	if (size >> 62 || (t->has_real_size && t->real_size >> 62))
		return damaged(t, e, "a size is out of all bounds");
	if (!t->has_mtime)
		t->has_mtime =
			read_number(t->block + MTIME, NUMBER_LEN, &mtime) &&
			((t->mtime_s = mtime), true);
	real = t->has_real_size ? t->real_size : size;
	if (type == 'S' &&
	    (!read_number(t->block + SPARSE_REAL, NUMBER_LEN, &real) ||
	     real >> 62))
		return damaged(t, e, "a sparse size is no number");
	entry.type = type ? type : '0';
	entry.is_sparse = type == 'S' || t->has_real_size ||
			  t->names[BY_SPARSE];
	entry.size = tar_has_data(type) ? real : 0;
	entry.data_size = tar_has_data(type) ? size : 0;
	(void)read_number(t->block + MODE, MODE_LEN, &entry.mode);
	r = hand_on(t, &entry, e);
	if (r)
		return r;
	t->data_left = entry.data_size;
	t->skip = tar_has_data(type) ? padded(size) : 0;
	if (type == 'S' && t->block[SPARSE_MORE]) {
		t->pending_skip = t->skip;
		t->skip = 0;
		t->is_sparse_map = true;
	}
	forget(t);
	return 0;
}

static bool is_zero(const unsigned char *block)
{
	return !block[0] && !memcmp(block, block + 1, TAR_BLOCK - 1);
}

static int on_block(struct tar *t, struct err *e)
{
	const bool is_header = !t->extra_type && !t->is_sparse_map;
	const bool is_global = is_header ? t->block[TYPE] == 'g'
					 : t->extra_type == 'g';
	int r;

	if (t->hooks->raw && !is_global) {
		r = t->hooks->raw(t->ctx, t->block, TAR_BLOCK, e);
		if (r)
			return r;
	}
	if (t->extra_type)
		return add_extra(t, e);
	if (t->is_sparse_map) {
		t->is_sparse_map = t->block[SPARSE_BLOCK_MORE];
		if (!t->is_sparse_map)
			t->skip = t->pending_skip;
		return 0;
	}
	if (is_zero(t->block)) {
		t->is_over = ++t->zero_blocks == 2;
		return 0;
	}
	if (t->zero_blocks)
		return damaged(t, e, "there is an entry after its end");
	return on_header(t, e);
}

/* As much as there is of a file's data and its padding. */
static int on_data(struct tar *t, const unsigned char *at, size_t len,
		   struct err *e)
{
	const size_t data = t->data_left < len ? (size_t)t->data_left : len;
	int r = 0;

	t->skip -= len;
	t->data_left -= data;
	if (t->hooks->raw)
		r = t->hooks->raw(t->ctx, at, len, e);
	if (!r && data && t->hooks->data)
		r = t->hooks->data(t->ctx, at, data, e);
	return r;
}

int tar_add(struct tar *t, const void *data, size_t len, struct err *e)
{
	const unsigned char *at = data;
	int r = 0;

	while (len && !r && !t->is_over) {
		size_t n = TAR_BLOCK - t->have;

		if (t->skip) {
			n = t->skip < len ? (size_t)t->skip : len;
			r = on_data(t, at, n, e);
			at += n;
			len -= n;
			continue;
		}
		if (n > len)
			n = len;
		memcpy(t->block + t->have, at, n);
		t->have += n;
		at += n;
		len -= n;
		if (t->have < TAR_BLOCK)
			break;
		t->have = 0;
		r = on_block(t, e);
	}
	return r;
}

int tar_end(struct tar *t, struct err *e)
{
	if (t->skip || t->have || t->extra_type || t->is_sparse_map)
		return damaged(t, e, "it is cut off");
	return 0;
}

void tar_header(unsigned char block[TAR_BLOCK], const char *name, char type,
		unsigned mode, uint64_t size, uint64_t mtime_s)
{
	static const char magic[8] = {'u', 's', 't', 'a', 'r', 0, '0', '0'};
	char *text = (char *)block;
	unsigned sum = 0;
	unsigned i;

	memset(block, 0, TAR_BLOCK);
	memcpy(block + NAME, name, strnlen(name, NAME_LEN));
	snprintf(text + MODE, MODE_LEN, "%07o", mode & 07777);
	memcpy(text + MODE + MODE_LEN, "0000000\0000000000", 16);
	snprintf(text + SIZE, NUMBER_LEN, "%011llo",
		 (unsigned long long)size & 077777777777);
	snprintf(text + MTIME, NUMBER_LEN, "%011llo",
		 (unsigned long long)mtime_s & 077777777777);
	block[TYPE] = (unsigned char)type;
	memcpy(block + MAGIC, magic, sizeof(magic));
	memset(block + CHECKSUM, ' ', CHECKSUM_LEN);
	for (i = 0; i < TAR_BLOCK; i++)
		sum += block[i];
	snprintf(text + CHECKSUM, CHECKSUM_LEN, "%06o", sum);
}
