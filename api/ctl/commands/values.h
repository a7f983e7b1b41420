#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/vm/forward.h"
#include "vmm/base/err.h"

/*
 * What stands behind options, in docker's spellings. Each reads all of text, or
 * returns -EINVAL with a sentence that says what it takes.
 */

enum {
	VALUE_MEMORY_MIN_MIB = 32,
	VALUE_MEMORY_MAX_MIB = 1 << 20,
	VALUE_CPUS_MAX = 32,
	VALUE_HOSTNAME_MAX = 64
};

/*
 * "268435456", "64k", "512mb", "1.5GiB" as bytes. False where it is no size or
 * not below 2^63.
 */
bool value_bytes(const char *text, uint64_t *bytes);

/*
 * The same as MiB, for --memory: rounded up; a bare number that is too small
 * to be bytes is MiB. Between VALUE_MEMORY_MIN_MIB and _MAX_MIB.
 */
int value_memory(const char *text, uint64_t *mib, struct err *e);

/* "2", "0.5", "1.5": whole vCPUs, rounded up. */
int value_cpus(const char *text, unsigned *count, struct err *e);

/* "10", "10s", "1.5s", "2m", "1h30m", "500ms", as ms. */
int value_duration(const char *text, uint64_t *ms, struct err *e);

/*
 * When, as ns since 1970: what value_duration() takes is so long before now_ns;
 * "1700000000.5" and "0" are seconds since 1970; "2026-11-25T12:00:00.5Z",
 * "2026-11-25T12:00+02:00" and "2026-11-25" are dates, of our own time zone
 * where they name none. Fewer seconds than 1e9 are a time ago.
 */
int value_moment(const char *text, uint64_t now_ns, uint64_t *ns,
		 struct err *e);

/*
 * "8080:80", "127.0.0.1:8080:80", "[::1]:8080:80" or "80", with or without
 * /tcp.
 */
int value_port(const char *text, struct forward_rule *port, struct err *e);

/*
 * The same, or "8000-8009:8000-8009": so many as there are, at most room. How
 * many it is, or a negative errno with a sentence.
 */
int value_ports(const char *text, struct forward_rule *ports, unsigned room,
		struct err *e);

/* An address in numbers, IPv4 or IPv6. */
bool value_is_address(const char *text);

/*
 * "box", "box.example.com": at most VALUE_HOSTNAME_MAX characters; letters,
 * digits, hyphens and underscores in parts of at most 63.
 */
int value_hostname(const char *text, struct err *e);

/* "nofile=1024:2048", "core=-1". */
int value_limit(const char *text, struct session_limit *limit, struct err *e);

/* "NET_ADMIN", "cap_net_admin"; "ALL" is all bits. */
int value_capability(const char *text, uint64_t *bits, struct err *e);

/* A path in a container: from / on, without ".."; not / itself. */
int value_target(const char *option, const char *text, struct err *e);
