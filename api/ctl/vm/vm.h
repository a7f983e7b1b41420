#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/json/json.h"
#include "vmm/base/err.h"

/*
 * A microVM that mayctl runs is a directory of its name, 0700, below
 * $XDG_RUNTIME_DIR/mayfly or /run/mayfly:
 *
 *	state.json      what it is and who runs it; replaced by rename
 *	config.json     what the monitor was told
 *	jail            where the monitor is locked up (cell.h)
 *	monitor.pid     its process
 *	api.sock        the monitor's API
 *	vsock.sock      the guest's ports
 *	monitor.log     what the monitor and the shim had to complain of
 *	output, output.1  what the container wrote, of -d (output_log.h)
 *	volumeN.erofs   images of host directories
 *
 * Processes are known by pid and start time, so a pid used anew is nobody we
 * know. Only the one who made the directory, then its shim, write the state.
 */
enum {
	VM_NAME_MAX = 40,
	VM_PATH_MAX = 108,
	VM_PORTS_MAX = 64,
	VM_VOLUMES_MAX = 24
};

struct vm_process {
	uint32_t pid;	/* 0 for none */
	uint64_t start; /* field 22 of /proc/PID/stat, clock ticks */
};

struct vm_port {
	char *address; /* owned; of the host */
	uint16_t host;
	uint16_t guest;
};

/* What state.json says. */
enum vm_stage { VM_CREATED, VM_STARTED, VM_ENDED };

struct vm_state {
	char *name;    /* owned, as all strings here */
	char *image;   /* as it was given */
	char *digest;  /* the image's, NULL for none */
	char *command; /* for people: words with blanks between */
	char *error;   /* why it ended, where the command did not say */
	char *tap;     /* a tap we made and have to remove, NULL for none */
	char *stop_signal;
	struct vm_process shim;
	struct vm_process monitor;
	int stage;	    /* enum vm_stage */
	uint64_t created_s; /* since 1970 */
	uint64_t ended_s;
	uint32_t exit_code;
	uint32_t vcpu_count;
	uint64_t memory_mib;
	int jail;     /* enum cell_kind: what the monitor is in */
	uint32_t uid; /* its own, of CELL_UID; else 0 */
	char *limits; /* what its cgroups limit: "memory cpu pids" */
	bool is_kept; /* not --rm: the directory stays when it has ended */
	bool is_detached;
	struct field_array ports; /* struct vm_port */
};

struct vm {
	char dir[VM_PATH_MAX];
	struct vm_state state;
};

/* What a reader makes of the state and of who is alive. */
enum vm_status { VM_STARTING, VM_RUNNING, VM_EXITED, VM_DEAD };

/* The process of that pid as it is now; pid 0 where there is none. */
struct vm_process vm_process_of(pid_t pid);

/* Whether it is still the same one, and no zombie. */
bool vm_process_is_alive(const struct vm_process *p);

/*
 * A pidfd of it, which is readable when it ends; -ESRCH where it has ended.
 */
int vm_process_open(const struct vm_process *p);

/* 1 to VM_NAME_MAX letters, digits and hyphens, no hyphen first. */
int vm_check_name(const char *name, struct err *e);

/*
 * Makes the directory of the microVM vm->state.name, or, where that is NULL,
 * of a name nobody has. -EEXIST where there is one of that name.
 */
int vm_create(struct vm *vm, struct err *e);

/*
 * Makes a directory for what is no microVM with a name, known to be of this
 * process. vm_remove() removes it.
 */
int vm_make_place(struct vm *vm, struct err *e);

/*
 * Removes what others have left that were killed: such directories, claims and
 * groups.
 */
void vm_sweep(void);

/* Finds a microVM and reads its state. -ENOENT with a sentence. */
int vm_load(struct vm *vm, const char *name, struct err *e);

/* Writes state.json anew. */
int vm_save(const struct vm *vm, struct err *e);

/* The state as JSON, with "status" as people know it. New reference. */
json_t *vm_dump(const struct vm *vm);

enum vm_status vm_status(const struct vm *vm);
const char *vm_status_word(enum vm_status status);

/* DIR/file. Returns out. */
const char *vm_path(const struct vm *vm, const char *file,
		    char out[VM_PATH_MAX]);

/*
 * Calls each() for every microVM in the order of their names; a directory
 * without a readable state counts, as one that is dead. Stops where each()
 * returns other than 0, and returns that.
 */
int vm_each(int (*each)(struct vm *vm, void *context), void *context,
	    struct err *e);

/* Removes the directory and what it holds; the state stays in memory. */
int vm_remove(const struct vm *vm, struct err *e);

/* Removes what has no use once the microVM has ended: sockets, images. */
void vm_forget(const struct vm *vm);

/* Frees the strings. Accepts a zeroed struct. */
void vm_fini(struct vm *vm);
