/*
 * Theory of operation: a node is a part of a path below another node, found by
 * a hash of both. Nothing is ever taken out. A node carries the layer that last
 * had it, and the layer since which what lower layers have below it is hidden
 * (`hidden`: an opaque whiteout, a file in its place). Going down a path
 * gathers the highest such number; a node of a lower layer than that is not
 * there any more. So whiteouts of any tree cost one step.
 */
#include "api/ctl/image/model.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum kind { ABSENT, FOLDER, LINK, OTHER };

enum { PATH_SIZE = 4097, FIRST_NODES = 256, NO_NODE = 0 };

struct node {
	uint32_t parent; /* 0 is the root, its own parent */
	uint32_t next;	 /* of the same bucket; NO_NODE at its end */
	uint32_t name;	 /* where in names */
	uint16_t layer;
	uint16_t hidden;
	uint8_t len;
	uint8_t kind;
};

struct place {
	uint32_t node;
	uint16_t layer;
};

struct image_model {
	struct node *nodes; /* owned */
	uint32_t *buckets;  /* owned; as many as nodes have room */
	uint32_t count, room;
	char *names; /* owned; without NULs */
	size_t names_len, names_room;
	struct place *places; /* owned */
	size_t place_count, place_room;
	uint64_t entries_max;
	uint64_t seed;
	uint16_t layer; /* from 1 */
};

/* Where a path has led. */
struct walk {
	uint32_t node;
	uint16_t hidden;
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "no memory for the image's tree");
}

struct image_model *image_model_new(uint64_t entries_max)
{
	struct image_model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->entries_max = entries_max;
	m->room = FIRST_NODES;
	m->count = 1;
	m->nodes = calloc(m->room, sizeof(*m->nodes));
	m->buckets = calloc(m->room, sizeof(*m->buckets));
	if (!m->nodes || !m->buckets ||
	    getrandom(&m->seed, sizeof(m->seed), 0) < 0) {
		image_model_free(m);
		return NULL;
	}
	m->nodes[0].kind = FOLDER;
	return m;
}

void image_model_free(struct image_model *m)
{
	if (!m)
		return;
	free(m->nodes);
	free(m->buckets);
	free(m->names);
	free(m->places);
	free(m);
}

void image_model_next(struct image_model *m)
{
	m->layer++;
}

/* ---- nodes -------------------------------------------------------------- */

/* Names are hostile: without the seed they could all fall into one bucket. */
static uint32_t hash(const struct image_model *m, uint32_t parent,
		     const char *name, size_t len)
{
	uint64_t h = m->seed ^ ((uint64_t)parent << 32 | len);
	size_t i;

	for (i = 0; i < len; i++) {
		h = (h ^ (unsigned char)name[i]) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 16) & (m->room - 1);
}

static uint32_t node_hash(const struct image_model *m, const struct node *n)
{
	return hash(m, n->parent, m->names + n->name, n->len);
}

static bool grow(struct image_model *m)
{
	const uint32_t room = m->room * 2;
	struct node *nodes = reallocarray(m->nodes, room, sizeof(*nodes));
	uint32_t *buckets;
	uint32_t i;

	if (!nodes)
		return false;
	m->nodes = nodes;
	buckets = calloc(room, sizeof(*buckets));
	if (!buckets)
		return false;
	free(m->buckets);
	m->buckets = buckets;
	m->room = room;
	for (i = 1; i < m->count; i++) {
		const uint32_t at = node_hash(m, &nodes[i]);

		nodes[i].next = buckets[at];
		buckets[at] = i;
	}
	return true;
}

static bool keep_name(struct image_model *m, const char *name, size_t len)
{
	const size_t room = m->names_room ? 2 * m->names_room : 4096;
	char *names;

	if (m->names_room - m->names_len < len) {
		names = room > UINT32_MAX ? NULL : realloc(m->names, room);
		if (!names)
			return false;
		m->names = names;
		m->names_room = room;
	}
	memcpy(m->names + m->names_len, name, len);
	m->names_len += len;
	return true;
}

static uint32_t find(const struct image_model *m, uint32_t parent,
		     const char *name, size_t len)
{
	uint32_t i;

	for (i = m->buckets[hash(m, parent, name, len)]; i != NO_NODE;
	     i = m->nodes[i].next) {
		const struct node *n = &m->nodes[i];

		if (n->parent == parent && n->len == len &&
		    !memcmp(m->names + n->name, name, len))
			return i;
	}
	return NO_NODE;
}

/* The node of a name below w, made if there is none. */
static int reach(struct image_model *m, const struct walk *w, const char *name,
		 size_t len, uint32_t *out, struct err *e)
{
	uint32_t at;

	*out = find(m, w->node, name, len);
	if (*out != NO_NODE)
		return 0;
	if (m->count > m->entries_max)
		return err_set(e, -E2BIG,
			       "the image has more than %" PRIu64
			       " files, the most that can be here",
			       m->entries_max);
	if ((m->count == m->room && !grow(m)) || !keep_name(m, name, len))
		return no_memory(e);
	at = hash(m, w->node, name, len);
	m->nodes[m->count] = (struct node){
		.parent = w->node,
		.next = m->buckets[at],
		.name = (uint32_t)(m->names_len - len),
		.len = (uint8_t)len,
		.kind = ABSENT,
	};
	*out = m->buckets[at] = m->count++;
	return 0;
}

/* What it is to who came by w. */
static enum kind kind_of(const struct image_model *m, const struct walk *w,
			 uint32_t node)
{
	const struct node *n = &m->nodes[node];

	return n->layer < w->hidden ? ABSENT : (enum kind)n->kind;
}

static void go_down(const struct image_model *m, struct walk *w, uint32_t node)
{
	w->node = node;
	if (m->nodes[node].hidden > w->hidden)
		w->hidden = m->nodes[node].hidden;
}

/* Makes it what this layer says it is. Only folders keep what is below. */
static void put(struct image_model *m, const struct walk *w, uint32_t node,
		enum kind kind)
{
	struct node *n = &m->nodes[node];

	if (kind != FOLDER || kind_of(m, w, node) != FOLDER)
		n->hidden = m->layer;
	n->kind = (uint8_t)kind;
	n->layer = m->layer;
}

static int add_place(struct image_model *m, uint32_t node, struct err *e)
{
	const size_t room = m->place_room ? 2 * m->place_room : 16;
	struct place *places;

	if (m->place_count == m->place_room) {
		places = reallocarray(m->places, room, sizeof(*places));
		if (!places)
			return no_memory(e);
		m->places = places;
		m->place_room = room;
	}
	m->places[m->place_count++] = (struct place){node, m->layer};
	return 0;
}

/* A lower layer's file or link there makes room for a folder. */
static int put_folder(struct image_model *m, const struct walk *w,
		      uint32_t node, struct err *e)
{
	const enum kind kind = kind_of(m, w, node);
	int r = 0;

	if ((kind == LINK || kind == OTHER) && m->nodes[node].layer < m->layer)
		r = add_place(m, node, e);
	put(m, w, node, FOLDER);
	return r;
}

/* ---- paths -------------------------------------------------------------- */

/* The next part that is not "."; 0 at the end. There is no "..". */
static size_t next_part(const char **path)
{
	size_t len;

	for (;;) {
		*path += strspn(*path, "/");
		len = strcspn(*path, "/");
		if (len != 1 || **path != '.')
			return len;
		*path += 1;
	}
}

enum { THROUGH_LINK = 1 };

/*
 * Goes to the folder that the path's last part is in, name and *len. What this
 * layer itself has made a link is followed by whoever unpacks, inside the
 * image: THROUGH_LINK, for which nothing is kept here.
 */
static int go_to_parent(struct image_model *m, const char *path, struct walk *w,
			const char **name, size_t *len, struct err *e)
{
	const char *at = path;
	uint32_t node;
	size_t after;
	int r;

	*w = (struct walk){.hidden = m->nodes[0].hidden};
	for (*len = next_part(&at); *len; *len = after) {
		*name = at;
		at += *len;
		after = next_part(&at);
		if (!after)
			return 0;
		assert(*len <= NAME_MAX);
		r = reach(m, w, *name, *len, &node, e);
		if (r)
			return r;
		if (m->nodes[node].layer == m->layer &&
		    m->nodes[node].kind == LINK)
			return THROUGH_LINK;
		if (m->nodes[node].layer == m->layer &&
		    m->nodes[node].kind == OTHER)
			return err_set(e, -EINVAL,
				       "the image is damaged: a layer has a "
				       "file, '%.*s', and entries below it",
				       (int)(*name - path) + (int)*len, path);
		r = put_folder(m, w, node, e);
		if (r)
			return r;
		go_down(m, w, node);
	}
	return 0;
}

static enum kind kind_at(const struct image_model *m, const char *path)
{
	struct walk w = {.hidden = m->nodes[0].hidden};
	enum kind kind = FOLDER;
	size_t len;

	for (; kind == FOLDER && (len = next_part(&path)); path += len) {
		const uint32_t node = find(m, w.node, path, len);

		kind = node == NO_NODE ? ABSENT : kind_of(m, &w, node);
		go_down(m, &w, node);
	}
	return kind;
}

/* .wh..wh..opq hides what lower layers have in its folder. */
static int add_whiteout(struct image_model *m, const struct walk *w,
			const char *name, size_t len, struct err *e)
{
	uint32_t node;
	int r;

	if (len == 8 && !memcmp(name, ".wh..opq", len)) {
		m->nodes[w->node].hidden = m->layer;
		return 0;
	}
	r = reach(m, w, name, len, &node, e);
	if (r)
		return r;
	m->nodes[node].hidden = m->layer;
	if (m->nodes[node].layer < m->layer)
		m->nodes[node].kind = ABSENT;
	return 0;
}

int image_model_add(void *ctx, const struct tar_entry *entry, struct err *e)
{
	struct image_model *m = ctx;
	/* As Go's archive/tar names it: a sparse file's own name first. */
	const char *path = entry->names[1];
	const char *name = path;
	struct walk w;
	uint32_t node;
	size_t len;
	int r = go_to_parent(m, path, &w, &name, &len, e);

	if (r == THROUGH_LINK || (!r && !len))
		return 0;
	if (!r && len > 4 && !memcmp(name, ".wh.", 4))
		return add_whiteout(m, &w, name + 4, len - 4, e);
	if (!r)
		r = reach(m, &w, name, len, &node, e);
	if (r)
		return r;
	switch (entry->type) {
	case '5':
		return put_folder(m, &w, node, e);
	case '2':
		put(m, &w, node, LINK);
		return 0;
	case '1':
		put(m, &w, node,
		    kind_at(m, entry->links[0]) == LINK ? LINK : OTHER);
		return 0;
	default:
		put(m, &w, node, OTHER);
		return 0;
	}
}

size_t image_model_place(const struct image_model *m, unsigned layer,
			 size_t *cursor, char out[static PATH_SIZE])
{
	size_t at = PATH_SIZE - 1;
	size_t len;
	uint32_t node = NO_NODE;

	while (node == NO_NODE && *cursor < m->place_count) {
		const struct place *p = &m->places[(*cursor)++];

		if (p->layer == layer + 1)
			node = p->node;
	}
	for (; node != NO_NODE; node = m->nodes[node].parent) {
		len = m->nodes[node].len;
		if (at < len + 1)
			return 0;
		if (at < PATH_SIZE - 1)
			out[--at] = '/';
		at -= len;
		memcpy(out + at, m->names + m->nodes[node].name, len);
	}
	len = PATH_SIZE - 1 - at;
	memmove(out, out + at, len);
	out[len] = 0;
	return len;
}
