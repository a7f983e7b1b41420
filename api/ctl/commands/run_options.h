#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "api/ctl/vm/forward.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/vm.h"
#include "api/ctl/vm/volume.h"
#include "vmm/base/err.h"

/* What a person typed behind `mayctl run`; all strings are argv's. */
enum { RUN_ENV_MAX = 1024 };

enum run_net { RUN_NET_NONE, RUN_NET_TAP, RUN_NET_NAT };

struct run_options {
	bool is_interactive;
	bool has_tty;
	bool is_detached;
	bool is_removed;
	bool has_timing;
	bool has_console;
	const char *name;	/* NULL: made up */
	const char *workdir;	/* NULL: the image's */
	const char *user;	/* NULL: the image's */
	const char *entrypoint; /* NULL: the image's; "" for none */
	const char *hostname;	/* NULL: the name */
	const char *kernel;	/* NULL: found */
	struct network_tap tap; /* of RUN_NET_TAP */
	enum run_net net;
	unsigned vcpu_count;
	uint64_t memory_mib;
	uint64_t timeout_ms; /* 0 for none */
	uint64_t start_timeout_ms;
	struct volume_source volumes[VM_VOLUMES_MAX];
	unsigned volume_count;
	struct forward_rule ports[VM_PORTS_MAX];
	unsigned port_count;
	const char *env[RUN_ENV_MAX + 1]; /* NAME=value or NAME; ends with NULL
					   */
	unsigned env_count;
	const char *image;
	char **command; /* ends with NULL; NULL first for the image's */
};

/*
 * Reads argv, argv[0] being the command. -EINVAL with a sentence; what is
 * filled in by then is freed by run_options_fini().
 */
int run_options_parse(struct run_options *o, int argc, char **argv,
		      struct err *e);
void run_options_fini(struct run_options *o);

/*
 * Reads "8080:80", "127.0.0.1:8080:80", "[::1]:8080:80" or "80", with or
 * without /tcp.
 */
int run_options_port(const char *text, struct forward_rule *port,
		     struct err *e);

/* Reads "512", "512m", "1g" as MiB. */
int run_options_memory(const char *text, uint64_t *mib, struct err *e);

/* Reads "10", "10s", "1.5s", "2m", "1h", "500ms". */
int run_options_duration(const char *text, uint64_t *ms, struct err *e);
