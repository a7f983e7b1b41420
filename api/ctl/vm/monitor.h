#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/handed.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/err.h"

/* The monitor of one microVM: its files, its configuration, its process. */

enum {
	MONITOR_DRIVES_MAX = 1 + VM_VOLUMES_MAX, /* image, volumes */
	MONITOR_ID_SIZE = 32,
};

struct monitor_drive {
	const char *path; /* borrowed */
	/* Gets the path by which the API of the monitor that was started knows
	 * it; NULL: nobody asks. */
	struct handed_name *name;
	const char *id; /* borrowed; the guest's serial, NULL: volumeN */
	bool is_read_only;
	int fd; /* of it, borrowed, where it is open already; else 0 */
};

/* Where a microVM's programs are; found once, before anything is made. */
struct monitor_files {
	char program[PATH_MAX];
	char jailer[PATH_MAX]; /* "" where there is none */
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
};

struct monitor_plan {
	const struct monitor_files *files;
	struct cell *cell; /* borrowed; closed once the monitor runs */
	struct monitor_drive drives[MONITOR_DRIVES_MAX]; /* vda, vdb … */
	unsigned drive_count;
	unsigned vcpu_count;
	uint64_t memory_mib;
	const char *tap; /* NULL for none */
	int *tap_fd;	 /* of it, taken over where it is open; or NULL */
	const char *mac;
	bool has_console; /* the kernel's messages go to console.log */
	/* What it is loaded of instead of being booted; borrowed, 0: booted. */
	int state_fd, memory_fd;
	/*
	 * Gets the connection over which it has been ordered to load, to be
	 * kept open; NULL: who starts it orders, by MONITOR_LOAD.
	 */
	int *order_fd;
	bool is_bound; /* it ends with the process that starts it */
	int log_fd;    /* its stderr, borrowed; 0: MONITOR_LOG_FILE itself */
};

/* The request that loads it, in the microVM's directory. */
#define MONITOR_LOAD "load.json"

/*
 * Finds the monitor ($MAYFLY, beside mayctl, PATH), the guest's kernel (kernel
 * where not NULL, else as installed or as built) and the agent's initrd. A
 * sentence names what is missing.
 */
int monitor_find(struct monitor_files *f, const char *kernel, struct err *e);

/* The monitor alone. */
int monitor_find_program(char out[PATH_MAX], struct err *e);

/* A file of the guest's, where `make` or `make install` have put it. */
int monitor_find_file(char out[PATH_MAX], const char *name, struct err *e);

/* mayfly-jailer beside program or beside mayctl; "" where there is none. */
void monitor_find_jailer(char out[PATH_MAX], const char *program);

/* What a drive is called in the guest. Returns id. */
const char *monitor_drive_id(const struct monitor_plan *plan, unsigned i,
			     char id[MONITOR_ID_SIZE]);

/* Writes config.json into the directory of vm, for people. */
int monitor_configure(const struct vm *vm, const struct monitor_plan *plan,
		      struct err *e);

/*
 * Starts the monitor in its cell, as a child of this process, with all that it
 * needs as descriptors. Returns 0 and the pid.
 */
int monitor_start(const struct vm *vm, const struct monitor_plan *plan,
		  pid_t *pid, struct err *e);
