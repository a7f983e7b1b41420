#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/*
 * Memory for what one message holds, given back all at once. It is bounded: a
 * message of two bytes an item would else become thirty times as large.
 */
struct arena_block;

struct arena {
	ProtobufCAllocator allocator; /* for protobuf-c; it frees nothing */
	struct arena_block *blocks;   /* owned */
	size_t left;		      /* bytes it may still give */
};

/* The arena stays where it is: the allocator points to it. */
void arena_init(struct arena *a, size_t max);

/* NULL where there is no memory, or no more for this arena. */
void *arena_take(struct arena *a, size_t size);

/* Accepts a zeroed arena. */
void arena_fini(struct arena *a);
