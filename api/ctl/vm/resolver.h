#pragma once

#include <stdbool.h>

/* Name servers of the host, as a guest can use them. */
enum { RESOLVER_ITEMS_MAX = 8 };

/* Lists that end with NULL; NULL where there are none. */
struct resolver {
	char **servers; /* owned, as the strings of all three */
	char **search;
	char **options;
	bool is_local; /* the host has servers, all on its own loopback */
};

/*
 * Reads resolv.conf at path, or, where it names servers of the host's loopback
 * alone, as systemd-resolved's does, the list at upstream that such a server
 * asks itself. NULL paths are /etc/resolv.conf and resolved's.
 */
void resolver_read(struct resolver *r, const char *path, const char *upstream);

/* Leaves out servers of IPv6, for a guest that has no address of that. */
void resolver_keep_ipv4(struct resolver *r);

/* Accepts a zeroed struct. */
void resolver_fini(struct resolver *r);
