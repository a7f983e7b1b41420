#pragma once

#include <stddef.h>
#include <stdint.h>

#include "guest/agent/tar.h"

/*
 * Files with holes in a tar archive: what there is of data, one piece behind
 * the other in the archive, and where each belongs in the file. Both forms that
 * GNU tar writes today: type 'S', and in a pax archive version 1.0 (GNU tar
 * manual, D.2, "Storing Sparse Files"). An archive is hostile: pieces are in
 * order, within the file, and as long together as the data.
 */
enum { SPARSE_MAX = 1 << 16 };

struct sparse_piece {
	uint64_t at, len;
};

struct sparse {
	struct sparse_piece *pieces; /* owned */
	size_t count, room;
};

/*
 * Each returns NULL, or what is wrong; @data is the size of the data in the
 * archive. Of type 'S': reads the blocks that go on from header @h, and the
 * size with holes.
 */
const char *sparse_read_blocks(struct sparse *s, int fd,
			       const struct tar_header *h, uint64_t data,
			       uint64_t *size);

/* Of version 1.0: reads the map that *@data begins with, which is less then. */
const char *sparse_read_map(struct sparse *s, int fd, uint64_t *data,
			    uint64_t size);

/* Accepts a zeroed struct. */
void sparse_fini(struct sparse *s);
