#pragma once

#include <stdint.h>

/*
 * Interfaces of the host, by netlink. An alias is a text of the administrator's
 * that the kernel keeps with an interface: ours says whose a tap is.
 */
enum { LINK_ALIAS_MAX = 64 };

/*
 * The index of the interface of that name, which no other ever has, and its
 * alias, "" where it has none or a long one. 0 where there is none.
 */
int link_find(const char *name, char alias[LINK_ALIAS_MAX]);

/* Removes an interface by its index. 0 or a negative errno. */
int link_remove(int index);

/* Its alias; an address of IPv4 that it has from now on; that it is up. */
int link_name(int index, const char *alias);
int link_address(int index, const uint8_t ip[4], uint8_t prefix);
int link_up(int index);
