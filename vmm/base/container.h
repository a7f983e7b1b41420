#pragma once

#include <stddef.h>

/* The structure that holds *ptr as its member. */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
