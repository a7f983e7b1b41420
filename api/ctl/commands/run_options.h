#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/commands/env.h"
#include "api/ctl/vm/forward.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/vm.h"
#include "api/ctl/vm/volume.h"
#include "vmm/base/args.h"
#include "vmm/base/err.h"

/* What a person typed behind `mayctl run`; strings are argv's or owned. */
enum {
	RUN_VOLUMES_MAX = 40,
	RUN_TMPFS_MAX = SESSION_MOUNTS_MAX - RUN_VOLUMES_MAX,
	RUN_WORDS_MAX = 32,
};

enum run_net { RUN_NET_NONE, RUN_NET_TAP, RUN_NET_NAT };
enum run_pull { RUN_PULL_MISSING, RUN_PULL_ALWAYS, RUN_PULL_NEVER };

/* An option that is given several times; ends with NULL. */
struct run_words {
	const char *list[RUN_WORDS_MAX + 1];
	unsigned count;
};

struct run_options {
	bool is_interactive;
	bool has_tty;
	bool is_detached;
	bool is_removed;
	bool has_timing;
	bool is_cold; /* goes on from no guest at rest, and makes none */
	bool has_console;
	bool has_no_jail;
	bool is_read_only; /* the root */
	bool has_init;	   /* before the command */
	bool is_idle;	   /* there is no command but those of exec */
	bool has_no_new_privs;
	bool publishes_all;	 /* ports that the image exposes */
	bool is_quiet;		 /* no progress of an import */
	bool is_unasked;	 /* after its health, which nobody does */
	const char *name;	 /* NULL: made up */
	const char *workdir;	 /* NULL: the image's */
	const char *user;	 /* NULL: the image's */
	const char *entrypoint;	 /* NULL: the image's; "" for none */
	const char *hostname;	 /* NULL: the name */
	const char *kernel;	 /* NULL: found */
	const char *stop_signal; /* NULL: the image's */
	struct network_tap tap;	 /* of RUN_NET_TAP */
	enum run_net net;
	enum run_pull pull;
	unsigned vcpu_count;
	uint64_t memory_mib;
	uint64_t timeout_ms; /* 0 for none */
	uint64_t start_timeout_ms;
	uint64_t disk_bytes; /* of what it can write; 0: half of memory */
	uint64_t shm_bytes;  /* 0: half of memory */
	struct volume_source volumes[RUN_VOLUMES_MAX];
	unsigned volume_count;
	struct session_mount tmpfs[RUN_TMPFS_MAX]; /* targets owned */
	unsigned tmpfs_count;
	struct forward_rule ports[VM_PORTS_MAX];
	unsigned port_count;
	struct env env;
	struct run_words dns, search, dns_options;
	char *hosts[RUN_WORDS_MAX + 1]; /* owned: "ADDRESS NAME"; ends with
					 * NULL */
	unsigned host_count;
	struct session_limit limits[SESSION_LIMITS_MAX];
	unsigned limit_count;
	uint64_t cap_add, cap_drop;
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

/* Those of a run without any. */
struct run_options run_options_usual(void);

/* "none", "nat", "tap=NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]]": net and tap. */
int run_take_net(const struct args *a, void *into, struct err *e);

/* "8080:80": one more of ports. */
int run_take_port(const struct args *a, void *into, struct err *e);

/* run_mounts.c: the values of -v, --tmpfs and --mount, for the table. */
int run_take_volume(const struct args *a, void *into, struct err *e);
int run_take_tmpfs(const struct args *a, void *into, struct err *e);
int run_take_mount(const struct args *a, void *into, struct err *e);

/* Refuses two things at one place. */
int run_judge_mounts(const struct run_options *o, struct err *e);
