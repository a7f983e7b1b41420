#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Reads a tar archive (ustar, pax, GNU) that arrives piece by piece. What is in
 * it is hostile, and is the caller's to judge; that what is read is bounded is
 * seen to here.
 */
enum {
	TAR_BLOCK = 512,
	TAR_NAMES = 3,
	TAR_EXTRA_MAX = 1 << 20, /* pax records and long names of one entry */
};

/*
 * An entry before its data. Readers differ in which of several names they
 * take, so all are here: by pax, by GNU's sparse files, by GNU's long names;
 * none is NULL.
 */
struct tar_entry {
	const char *names[TAR_NAMES];
	const char *links[TAR_NAMES];
	char type;     /* the header's; '0' for an old file's NUL, '5' where
			  its name ends in a slash */
	uint64_t size; /* of the file, with its holes */
	uint64_t data_size; /* of its data in the archive */
	uint64_t mode;
	uint64_t mtime_s; /* 0 for none, or one before 1970 */
	bool is_sparse;	  /* its data are not simply the file's */
};

struct tar_hooks {
	/* Other than 0 ends it and is tar_add()'s result. */
	int (*entry)(void *ctx, const struct tar_entry *entry, struct err *e);
	/* A file's data, in pieces, without padding. May be NULL. */
	int (*data)(void *ctx, const void *data, size_t len, struct err *e);
	/*
	 * The archive itself, byte for byte, but for pax's global headers,
	 * which mean nothing to us and trip others. May be NULL.
	 */
	int (*raw)(void *ctx, const void *data, size_t len, struct err *e);
};

struct tar {
	const struct tar_hooks *hooks; /* borrowed: caller */
	void *ctx;
	const char *what; /* borrowed: what sentences call it, "a layer" */
	unsigned char block[TAR_BLOCK];
	size_t have;	    /* bytes of it */
	uint64_t data_left; /* of a file's data, still to come */
	uint64_t skip;	    /* the same with padding */
	char *extra;	    /* owned; a pax header or long name being read */
	size_t extra_len;
	size_t extra_have;
	char extra_type;    /* 'x', 'g', 'L', 'K'; 0 for none */
	bool is_sparse_map; /* blocks of an old GNU sparse map follow */
	unsigned zero_blocks;
	bool is_over;
	bool has_global; /* there was a global header */
	/* The caller's: also '0' with a slash is a folder, as to GNU tar. */
	bool takes_slashes;
	/* What extra headers say of the next entry. */
	char *names[TAR_NAMES]; /* owned; pax, GNU sparse, GNU long */
	char *links[TAR_NAMES]; /* owned; pax, none, GNU long */
	bool has_size;
	uint64_t size;
	bool has_real_size;
	uint64_t real_size;
	bool has_mtime;
	uint64_t mtime_s;
	uint64_t pending_skip; /* after the sparse map */
};

void tar_init(struct tar *t, const char *what, const struct tar_hooks *hooks,
	      void *ctx);
void tar_fini(struct tar *t);

/* The next piece. -EINVAL and a sentence for what is no archive. */
int tar_add(struct tar *t, const void *data, size_t len, struct err *e);

/* The archive has ended: refuses one that is cut off. */
int tar_end(struct tar *t, struct err *e);

/* Whether its type has data; other types have none whatever they say. */
bool tar_has_data(char type);

/* A header of our own making: name, type and all else 0 but these. */
void tar_header(unsigned char block[TAR_BLOCK], const char *name, char type,
		unsigned mode, uint64_t size, uint64_t mtime_s);
