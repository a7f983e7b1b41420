#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/base/err.h"

/* What a person typed behind `mayctl run`; all strings are argv's. */
enum {
	RUN_VOLUMES_MAX = 24,
	RUN_PORTS_MAX = 64,
	RUN_ENV_MAX = 1024,
};

/* SOURCE:TARGET[:ro] */
struct run_volume {
	char *source; /* owned */
	char *target; /* owned; absolute, in the container */
	bool is_read_only;
};

/* [ADDRESS:]HOST:GUEST */
struct run_port {
	char address[48]; /* "127.0.0.1", "::" */
	uint16_t host;	  /* 0: any that is free */
	uint16_t guest;
};

enum run_net { RUN_NET_NONE, RUN_NET_TAP, RUN_NET_NAT };

/* An interface of the user's, and what the guest calls itself there. */
struct run_tap {
	char name[16];
	uint8_t ip[4];
	uint8_t gateway[4]; /* 0.0.0.0 for none */
	uint8_t prefix;	    /* 0: no address */
};

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
	struct run_tap tap;	/* of RUN_NET_TAP */
	enum run_net net;
	unsigned vcpu_count;
	uint64_t memory_mib;
	uint64_t timeout_ms; /* 0 for none */
	struct run_volume volumes[RUN_VOLUMES_MAX];
	unsigned volume_count;
	struct run_port ports[RUN_PORTS_MAX];
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
int run_options_port(const char *text, struct run_port *port, struct err *e);

/* Reads "512", "512m", "1g" as MiB. */
int run_options_memory(const char *text, uint64_t *mib, struct err *e);

/* Reads "10", "10s", "1.5s", "2m", "1h", "500ms". */
int run_options_duration(const char *text, uint64_t *ms, struct err *e);
