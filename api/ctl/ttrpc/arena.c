#include "api/ctl/ttrpc/arena.h"

#include <stdlib.h>

struct arena_block {
	struct arena_block *next;
	max_align_t bytes[];
};

static void *take(void *a, size_t size)
{
	return arena_take(a, size);
}

static void keep(void *a, void *bytes)
{
	(void)a;
	(void)bytes;
}

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){
		.allocator = {.alloc = take, .free = keep, .allocator_data = a},
		.left = max,
	};
}

void *arena_take(struct arena *a, size_t size)
{
	const size_t all = sizeof(struct arena_block) + size;
	struct arena_block *b;

	if (all < size || all > a->left)
		return NULL;
	b = malloc(all);
	if (!b)
		return NULL;
	a->left -= all;
	b->next = a->blocks;
	a->blocks = b;
	return b->bytes;
}

void arena_fini(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	*a = (struct arena){0};
}
