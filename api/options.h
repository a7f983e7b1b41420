#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/base/err.h"

/*
 * mayfly's command line. Clients start monitors with fixed sets of flags, so
 * the names, the defaults and the exit codes are the wire's.
 */

/* Exit codes of the monitor; 0 is a guest that turned itself off. */
enum exit_code {
	EXIT_FAILED = 1,
	EXIT_SIGNAL = 128, /* and the number of SIGTERM or SIGINT */
	EXIT_BAD_SYSCALL = 148,
	EXIT_SIGBUS = 149,
	EXIT_SIGSEGV = 150,
	EXIT_SIGXFSZ = 151, /* of the wire; ours ignores the signal */
	EXIT_BAD_CONFIG = 152,
	EXIT_BAD_ARGUMENT = 153,
	EXIT_SIGXCPU = 154,
	EXIT_SIGHUP = 156,
	EXIT_SIGILL = 157,
};

/* Strings are borrowed from argv. */
struct options {
	const char *api_sock;
	const char *id;
	const char *config_file;    /* NULL for none */
	const char *log_path;	    /* NULL for stderr */
	const char *metrics_path;   /* NULL for none */
	const char *seccomp_filter; /* NULL for what is built in */
	const char *level;	    /* a word of log_level_parse(), or NULL */
	const char *module;	    /* NULL for all */
	const char *describe;	    /* a state file; NULL to run a microVM */
	const char *snapshot_key;   /* a file; NULL for states without a tag */
	uint64_t start_time_us; /* CLOCK_MONOTONIC of whoever starts us; 0 */
	uint64_t start_time_cpu_us;
	uint64_t parent_cpu_time_us;
	uint64_t payload_max_bytes; /* of a request */
	uint64_t api_fd;	    /* of a listening socket; 0 for none */
	uint64_t kvm_fd;	    /* of /dev/kvm; 0 to open it */
	uint64_t vsock_fd;	    /* of a listening socket; 0 for none */
	bool no_api;
	bool no_seccomp;
	bool boot_timer;
	bool timing;
	bool show_level;
	bool show_log_origin;
	bool help;
	bool version;
	bool snapshot_version;
};

/* Whether nothing is to run: what is asked for is printed. */
bool options_is_question(const struct options *o);

/*
 * Reads the command line. Returns 0, or -EINVAL with a sentence: the program
 * then ends with EXIT_BAD_ARGUMENT.
 */
int options_parse(struct options *o, int argc, char **argv, struct err *e);

/* What --help and --version say. */
void options_help(FILE *to);
void options_version(FILE *to);
