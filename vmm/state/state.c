/*
 * Sections, and the file that they make. All numbers are little-endian:
 *
 *	 0  magic, "mayflyst"		 0  sum of what follows of the section
 *	 8  format, u16			 4  length of its name, u16
 *	10  architecture, u16		 6  zero, u16
 *	12  flags, u32			 8  version, u32
 *	16  length of the file, u64	12  length of its bytes, u32
 *	24  id, 16 bytes		16  name
 *	40  number of sections, u32	    bytes
 *	44  sum of all before, u32
 *
 * after the 48 bytes of the left come sections as on the right, without gaps,
 * and with FLAG_SEALED a tag of 32 bytes: HMAC-SHA256 of all before it.
 *
 * A sum is a CRC-32 that goes on from the one before it, the header's first. So
 * one covers all that has come, save for the sums, and a section that stands
 * elsewhere, or is another file's, is found out like a changed byte. Against
 * who means ill only the tag helps, and it is checked before a byte is read.
 */
#include "vmm/state/state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vmm/arch/host/host.h"
#include "vmm/base/cursor.h"
#include "vmm/state/hmac.h"

static const uint8_t magic[8] = {'m', 'a', 'y', 'f', 'l', 'y', 's', 't'};

enum { FLAG_SEALED = 1, FLAG_MEMORY = 2 };
/* Pages of aarch64 are as large as this. */
enum { MEMORY_ALIGN = 64 << 10 };
enum { SECTION_HEAD_LEN = 16, SUM_LEN = 4 };

_Static_assert(sizeof(((struct state_key *)0)->bytes) == HMAC_KEY_MAX,
	       "a key is one of HMAC's");

struct section {
	char name[STATE_NAME_MAX + 1];
	uint32_t version;
	uint8_t *data; /* owned */
	size_t len;
};

struct state {
	struct section *sections; /* owned */
	unsigned count;
	unsigned room;
	uint8_t id[STATE_ID_LEN];
	bool has_memory;
};

struct state *state_new(void)
{
	return calloc(1, sizeof(struct state));
}

void state_free(struct state *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; i < s->count; i++)
		free(s->sections[i].data);
	free(s->sections);
	free(s);
}

uint8_t *state_id(struct state *s)
{
	return s->id;
}

bool *state_has_memory(struct state *s)
{
	return &s->has_memory;
}

uint64_t state_memory_at(size_t len)
{
	return ((uint64_t)len + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

const char *state_name(const struct state *s, unsigned i)
{
	return i < s->count ? s->sections[i].name : NULL;
}

bool state_entry(const struct state *s, unsigned i, struct state_entry *out)
{
	if (i >= s->count)
		return false;
	*out = (struct state_entry){
		.name = s->sections[i].name,
		.version = s->sections[i].version,
		.len = s->sections[i].len,
	};
	return true;
}

static const struct section *find(const struct state *s, const char *name)
{
	unsigned i;

	for (i = 0; i < s->count; i++)
		if (!strcmp(s->sections[i].name, name))
			return &s->sections[i];
	return NULL;
}

/* Names are shown to people, so nothing in them may move a cursor. */
static bool is_name(const char *name, size_t len)
{
	size_t i;

	if (!len || len > STATE_NAME_MAX || name[0] == ' ')
		return false;
	for (i = 0; i < len; i++)
		if (name[i] < ' ' || name[i] > '~')
			return false;
	return true;
}

/* A new last section without bytes. name is one, and not there yet. */
static struct section *append(struct state *s, const char *name, size_t len,
			      uint32_t version)
{
	struct section *grown;
	struct section *section;

	if (s->count == s->room) {
		const unsigned room = s->room ? 2 * s->room : 32;

		grown = realloc(s->sections, room * sizeof(*grown));
		if (!grown)
			return NULL;
		s->sections = grown;
		s->room = room;
	}
	section = &s->sections[s->count++];
	*section = (struct section){.version = version};
	memcpy(section->name, name, len);
	return section;
}

static int add(struct state *s, const char *name, struct visitor *v,
	       struct err *e)
{
	const size_t len = strlen(name);
	struct section *section;

	if (!is_name(name, len))
		return err_set(e, -EINVAL, "no name for a section of a state");
	if (visitor_end(v)) {
		if (v->e != e)
			(void)err_set(e, v->rc, "%s",
				      v->e ? v->e->text : "no more is known");
		(void)err_context(e, "the state of %s", name);
		return v->rc;
	}
	if (find(s, name))
		return err_set(e, -EEXIST, "the state has two sections %s",
			       name);
	if (s->count == STATE_SECTIONS_MAX)
		return err_set(e, -E2BIG, "the state has more than %d sections",
			       STATE_SECTIONS_MAX);
	section = append(s, name, len, v->version);
	if (!section)
		return err_set(e, -ENOMEM, "no memory for the state of %s",
			       name);
	section->data = v->data;
	section->len = v->len;
	v->data = NULL;
	return 0;
}

int state_add(struct state *s, const char *name, struct visitor *v,
	      struct err *e)
{
	int rc;

	assert(!v->is_loading);
	rc = add(s, name, v, e);
	visitor_fini(v);
	return rc;
}

int state_section(const struct state *s, const char *name, uint32_t newest,
		  struct visitor *v, struct err *e)
{
	const struct section *section = find(s, name);

	if (!section)
		return err_set(e, -ENOENT, "it has no section %s", name);
	if (section->version > newest)
		return err_set(e, -ENOTSUP,
			       "its section %s is of version %" PRIu32
			       ", and this mayfly reads them up to %" PRIu32
			       "; load it with a newer one",
			       name, section->version, newest);
	visitor_load(v, section->data, section->len, section->version, e);
	return 0;
}

/* ---- to bytes ------------------------------------------------------------ */

static uint32_t sum_on(uint32_t sum, const void *data, size_t len)
{
	return (uint32_t)crc32_z(sum, data, len);
}

static size_t encoded_len(const struct state *s, bool is_sealed)
{
	size_t len = STATE_HEAD_LEN + (is_sealed ? HMAC_LEN : 0);
	unsigned i;

	for (i = 0; i < s->count && len <= STATE_BYTES_MAX; i++)
		len += SECTION_HEAD_LEN + strlen(s->sections[i].name) +
		       s->sections[i].len;
	return len;
}

/* Puts the sum of what c has had since from into its place at at. */
static uint32_t put_sum(struct cursor *c, uint32_t before, size_t at,
			size_t from)
{
	struct cursor place = cursor_over(c->base + at, SUM_LEN);
	const uint32_t sum = sum_on(before, c->base + from, c->at - from);

	cursor_put32(&place, sum);
	return sum;
}

static uint32_t put_head(struct cursor *c, const struct state *s,
			 bool is_sealed)
{
	uint32_t sum;

	cursor_put(c, magic, sizeof(magic));
	cursor_put16(c, STATE_FORMAT);
	cursor_put16(c, HOST_STATE);
	cursor_put32(c, (is_sealed ? FLAG_SEALED : 0) |
				(s->has_memory ? FLAG_MEMORY : 0));
	cursor_put64(c, c->len);
	cursor_put(c, s->id, sizeof(s->id));
	cursor_put32(c, s->count);
	sum = put_sum(c, 0, c->at, 0);
	cursor_take(c, SUM_LEN);
	return sum;
}

static uint32_t put_section(struct cursor *c, const struct section *section,
			    uint32_t sum)
{
	const size_t at = c->at;

	cursor_take(c, SUM_LEN);
	cursor_put16(c, (uint16_t)strlen(section->name));
	cursor_put16(c, 0);
	cursor_put32(c, section->version);
	cursor_put32(c, (uint32_t)section->len);
	cursor_put_text(c, section->name);
	cursor_put(c, section->data, section->len);
	return put_sum(c, sum, at, at + SUM_LEN);
}

int state_encode(const struct state *s, const struct state_key *key,
		 uint8_t **out, size_t *len, struct err *e)
{
	const bool is_sealed = key && key->len;
	const size_t size = encoded_len(s, is_sealed);
	struct cursor c;
	uint8_t *data;
	uint32_t sum;
	unsigned i;

	*out = NULL;
	if (!s->count)
		return err_set(e, -EINVAL, "the state has no sections");
	if (size > STATE_BYTES_MAX)
		return err_set(e, -EFBIG,
			       "the state has more than %d MiB, which no "
			       "machine's should",
			       STATE_BYTES_MAX >> 20);
	data = malloc(size);
	if (!data)
		return err_set(e, -ENOMEM, "no memory for the state");
	c = cursor_over(data, size);
	sum = put_head(&c, s, is_sealed);
	for (i = 0; i < s->count; i++)
		sum = put_section(&c, &s->sections[i], sum);
	if (is_sealed)
		hmac_sha256(key->bytes, key->len, data, size - HMAC_LEN,
			    data + size - HMAC_LEN);
	*out = data;
	*len = size;
	return 0;
}

/* ---- from bytes ---------------------------------------------------------- */

struct head {
	uint16_t format;
	uint16_t arch;
	uint32_t flags;
	uint64_t len;
	uint8_t id[STATE_ID_LEN];
	uint32_t sections;
	uint32_t sum;
	bool is_whole; /* the sum is right */
};

/* Cursors that read write nothing. */
static struct cursor read_over(const uint8_t *data, size_t len)
{
	return cursor_over((void *)(uintptr_t)data, len);
}

/* False where it is no head of a state's at all. */
static bool get_head(const uint8_t *data, struct head *h)
{
	struct cursor c = read_over(data, STATE_HEAD_LEN);

	if (memcmp(cursor_take(&c, sizeof(magic)), magic, sizeof(magic)))
		return false;
	h->format = cursor_get16(&c);
	h->arch = cursor_get16(&c);
	h->flags = cursor_get32(&c);
	h->len = cursor_get64(&c);
	memcpy(h->id, cursor_take(&c, STATE_ID_LEN), STATE_ID_LEN);
	h->sections = cursor_get32(&c);
	h->sum = cursor_get32(&c);
	h->is_whole = h->sum == sum_on(0, data, STATE_HEAD_LEN - SUM_LEN);
	return true;
}

bool state_peek(const uint8_t *head, struct state_peek *out)
{
	struct head h;

	if (!get_head(head, &h) || !h.is_whole)
		return false;
	memcpy(out->id, h.id, STATE_ID_LEN);
	out->len = h.len;
	out->has_memory = h.flags & FLAG_MEMORY;
	return true;
}

static const char *arch_word(unsigned arch)
{
	/* Their numbers in files, which stay (vmm/arch/host/host.h). */
	static const char *const words[] = {NULL, "x86_64", "aarch64"};

	if (arch < sizeof(words) / sizeof(words[0]) && words[arch])
		return words[arch];
	return "another architecture";
}

const char *state_arch(void)
{
	return arch_word(HOST_STATE);
}

/*
 * Before anything else: what the key does not vouch for is not looked at, save
 * for the choice of words.
 */
static int check_seal(const uint8_t *data, size_t len,
		      const struct state_key *key, struct err *e)
{
	uint8_t tag[HMAC_LEN];
	struct head h;

	hmac_sha256(key->bytes, key->len, data, len - HMAC_LEN, tag);
	if (hmac_equal(tag, data + len - HMAC_LEN))
		return 0;
	if (get_head(data, &h) && h.is_whole && !(h.flags & FLAG_SEALED))
		return err_set(e, -EKEYREJECTED,
			       "it was written without a key, and one is "
			       "asked for; save it anew with the key");
	return err_set(e, -EKEYREJECTED,
		       "it was written with another key, or changed since; "
		       "give the key that it was written with");
}

static int check_head(const struct head *h, size_t len, bool has_key,
		      struct err *e)
{
	if (!h->is_whole)
		return err_set(e, -EBADMSG,
			       "it is damaged: the sum of its header is wrong");
	if (!h->format || h->format > STATE_FORMAT)
		return err_set(e, -ENOTSUP,
			       "it is of format %u, and this mayfly reads them "
			       "up to %d; load it with a newer one",
			       h->format, STATE_FORMAT);
	if (h->arch != HOST_STATE)
		return err_set(e, -ENOTSUP, "it is of %s, and this host is %s",
			       arch_word(h->arch), arch_word(HOST_STATE));
	if (h->flags & ~(uint32_t)(FLAG_SEALED | FLAG_MEMORY))
		return err_set(e, -ENOTSUP,
			       "it has flags (%#" PRIx32
			       ") that this mayfly does not know",
			       h->flags);
	if (h->flags & FLAG_SEALED && !has_key)
		return err_set(e, -EKEYREJECTED,
			       "it was written with a key; give the key");
	/* Only who has the key can have made that. */
	if (has_key && !(h->flags & FLAG_SEALED))
		return err_set(e, -EBADMSG,
			       "it has a tag and says that it has none");
	if (h->len != len)
		return err_set(e, -EBADMSG,
			       "it is damaged: it has %zu bytes and should "
			       "have %" PRIu64,
			       len, h->len);
	if (!h->sections || h->sections > STATE_SECTIONS_MAX)
		return err_set(e, -EBADMSG,
			       "it is damaged: it has %" PRIu32
			       " sections, which should be 1 to %d",
			       h->sections, STATE_SECTIONS_MAX);
	return 0;
}

/* Reads the section at c, whose sum goes on from *sum. */
static int get_section(struct state *s, struct cursor *c, uint32_t *sum,
		       struct err *e)
{
	const unsigned number = s->count + 1;
	const uint32_t given = cursor_get32(c);
	const size_t from = c->at;
	const uint16_t name_len = cursor_get16(c);
	const uint16_t zero = cursor_get16(c);
	const uint32_t version = cursor_get32(c);
	const uint32_t len = cursor_get32(c);
	const char *name = cursor_take(c, name_len);
	const uint8_t *data = cursor_take(c, len);
	struct section *section;

	if (c->failed)
		return err_set(e, -EBADMSG,
			       "it is damaged: section %u goes over its end",
			       number);
	*sum = sum_on(*sum, c->base + from, c->at - from);
	if (*sum != given)
		return err_set(e, -EBADMSG,
			       "it is damaged: the sum of section %u is wrong",
			       number);
	if (zero || !is_name(name, name_len))
		return err_set(e, -EBADMSG,
			       "it is damaged: section %u has no proper name",
			       number);
	section = append(s, name, name_len, version);
	if (!section)
		return err_set(e, -ENOMEM, "no memory for the state");
	/* The first of that name is it itself, or one before. */
	if (find(s, section->name) != section)
		return err_set(e, -EBADMSG,
			       "it is damaged: it has two sections %s",
			       section->name);
	section->data = malloc(len ? len : 1);
	if (!section->data)
		return err_set(e, -ENOMEM, "no memory for section %s",
			       section->name);
	memcpy(section->data, data, len);
	section->len = len;
	return 0;
}

static int get_sections(struct state *s, const uint8_t *data, size_t len,
			const struct head *h, struct err *e)
{
	struct cursor c = read_over(data, len);
	uint32_t sum = h->sum;
	uint32_t i;
	int rc;

	cursor_take(&c, STATE_HEAD_LEN);
	for (i = 0; i < h->sections; i++) {
		rc = get_section(s, &c, &sum, e);
		if (rc)
			return rc;
	}
	if (c.at != len)
		return err_set(e, -EBADMSG,
			       "it is damaged: %zu bytes follow its sections",
			       len - c.at);
	return 0;
}

static int decode(struct state *s, const uint8_t *data, size_t len,
		  bool has_key, struct err *e)
{
	struct head h;
	int rc;

	if (len < STATE_HEAD_LEN || !get_head(data, &h))
		return err_set(e, -EBADMSG, "it is no state file of mayfly's");
	rc = check_head(&h, len, has_key, e);
	if (rc)
		return rc;
	memcpy(s->id, h.id, sizeof(s->id));
	s->has_memory = h.flags & FLAG_MEMORY;
	return get_sections(s, data, has_key ? len - HMAC_LEN : len, &h, e);
}

int state_decode(struct state **out, const uint8_t *data, size_t len,
		 const struct state_key *key, struct err *e)
{
	const bool has_key = key && key->len;
	struct state *s;
	int rc = 0;

	*out = NULL;
	if (len > STATE_BYTES_MAX)
		return err_set(e, -EFBIG,
			       "it has more than %d MiB, which no machine's "
			       "state should",
			       STATE_BYTES_MAX >> 20);
	if (len < STATE_HEAD_LEN + (has_key ? HMAC_LEN : 0))
		return err_set(e, -EBADMSG,
			       "it is no state file of mayfly's: it has only "
			       "%zu bytes",
			       len);
	if (has_key)
		rc = check_seal(data, len, key, e);
	if (rc)
		return rc;
	s = state_new();
	if (!s)
		return err_set(e, -ENOMEM, "no memory for the state");
	rc = decode(s, data, len, has_key, e);
	if (rc)
		state_free(s);
	else
		*out = s;
	return rc;
}
