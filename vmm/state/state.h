#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/state/key.h"
#include "vmm/state/visit.h"

/*
 * The state of a machine as sections, and as the bytes of a state file.
 *
 * A section is what one walk (visit.h) saved: a name, the version of its layout
 * and the bytes. Names are printable text, each there once: "vcpu 0",
 * "block rootfs". docs/snapshot.md has the format and its promise: what a
 * release wrote, every later one reads.
 */
enum { STATE_NAME_MAX = 96, STATE_SECTIONS_MAX = 1024 };

/* Of the files that are written; those of older ones are read. */
enum { STATE_FORMAT = 1 };

/* Whole files beyond it are refused unread; a machine's are far below. */
enum { STATE_BYTES_MAX = 64 << 20 };

/*
 * Says which memory belongs to a state: 16 random bytes in the file's header,
 * by which file.h finds the memory of a save that was cut short.
 */
enum { STATE_ID_LEN = 16, STATE_HEAD_LEN = 48 };

struct state;

/* An empty one. NULL where there is no memory. state_free() takes NULL. */
struct state *state_new(void);
void state_free(struct state *s);

/*
 * Appends what v has saved, as the section called name, and takes v's memory;
 * v is finished in every case. Fails where the walk has, or where the name is
 * there or is no name.
 */
int state_add(struct state *s, const char *name, struct visitor *v,
	      struct err *e);

/*
 * Makes v a walk that loads the section called name; its bytes are borrowed:
 * s. newest is the newest version of it that the caller reads. -ENOENT where
 * there is none, -ENOTSUP where it is newer. The sentences name the section.
 */
int state_section(const struct state *s, const char *name, uint32_t newest,
		  struct visitor *v, struct err *e);

/* The sections in their order; NULL past the last. */
const char *state_name(const struct state *s, unsigned i);

/* What is known of a section without reading it; name is borrowed: s. */
struct state_entry {
	const char *name;
	uint32_t version;
	size_t len;
};

/* False past the last. */
bool state_entry(const struct state *s, unsigned i, struct state_entry *out);

/* The architecture of the states that are read and written here: "x86_64". */
const char *state_arch(void);

/* Its STATE_ID_LEN bytes, zeroes at first; to be set before state_encode(). */
uint8_t *state_id(struct state *s);

/*
 * Whether the memory is in the same file, from state_memory_at() on; to be set
 * before state_encode().
 */
bool *state_has_memory(struct state *s);

/* Where that is behind a state of len bytes: at a page's begin, of any host. */
uint64_t state_memory_at(size_t len);

/* What the head of a file says of it. */
struct state_peek {
	uint8_t id[STATE_ID_LEN];
	uint64_t len; /* of the state, in bytes */
	bool has_memory;
};

/*
 * Whether the first STATE_HEAD_LEN bytes of a file are a state's and whole, and
 * then what they say. Nobody's word for the rest.
 */
bool state_peek(const uint8_t *head, struct state_peek *out);

/* The whole as the bytes of a file. *out is to be freed. */
int state_encode(const struct state *s, const struct state_key *key,
		 uint8_t **out, size_t *len, struct err *e);

/*
 * Reads the bytes of a file, which stay the caller's and need not stay at all.
 * With a key that is checked before anything else is looked at. All is
 * checked, lengths, names and sums, before it returns. -EBADMSG for damage,
 * -ENOTSUP for another format or architecture, -EKEYREJECTED for the key.
 */
int state_decode(struct state **out, const uint8_t *data, size_t len,
		 const struct state_key *key, struct err *e);
