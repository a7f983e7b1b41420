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
 *	state.reserve   room for a last state where everything is full
 *	config.json     what the monitor was told
 *	jail            where the monitor is locked up (cell.h)
 *	monitor.pid     its process
 *	api.sock        the monitor's API
 *	vsock.sock      the guest's ports
 *	monitor.log     what the monitor and the shim had to complain of
 *			(monitor_log.h)
 *
 * That is memory, mostly. What may be large is in a directory of its id on the
 * disk (place.h):
 *
 *	output, output.1  what the container wrote, of -d (output_log.h)
 *	console.log       what the guest's kernel said, of --console
 *	volumeN.erofs     images of host directories
 *	scratch.ext4      what the container wrote, with --disk
 *
 * Names come back, ids do not: what is made outside these directories carries
 * the id, and is removed by it alone.
 *
 * Who looks after a microVM holds a lock (flock) on its directory: mayctl while
 * it makes it, then the shim, whose fork has it from mayctl. The kernel lets go
 * of it when the last of them is gone, whatever became of them; then whoever
 * finds the microVM may take it over. Only the owner writes the state.
 * Processes are known by pid and start time, so a pid used anew is nobody we
 * know.
 */
#define VM_STATE_FILE "state.json"

enum {
	VM_NAME_MAX = 40,
	VM_ID_SIZE = 65,
	VM_PATH_MAX = 108,
	VM_PORTS_MAX = 64,
	VM_SERVERS_MAX = 32,
	VM_ADDRESS_MAX = 45, /* the longest of IPv6 */
	/* That a monitor has interrupts for: the image's disk, vsock, the
	 * network's, and what is left for volumes. */
	VM_DEVICES_MAX = 19,
	VM_VOLUMES_MAX = VM_DEVICES_MAX - 2
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
	char *name; /* owned, as all strings here */
	char *id;   /* 16 hexadecimal digits, of this one alone */
	char *disk_dir;
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
	bool has_console;	  /* the kernel's messages are kept */
	struct field_array ports; /* struct vm_port */
	struct field_array dns;	  /* char *: the name servers of --dns */
};

struct vm {
	char dir[VM_PATH_MAX];
	struct vm_state state;
	int owner_fd; /* owned: the lock; 0 or -1 where it is not ours */
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

/* As docker's: 1 to VM_NAME_MAX of [A-Za-z0-9_.-], a letter or digit first. */
int vm_check_name(const char *name, struct err *e);

/*
 * What the monitor and its jail call a microVM: they know no underscores and no
 * dots, so a name that has some gets hyphens there and a hash of its own behind
 * it, lest it be another's. Returns out.
 */
const char *vm_monitor_id(const char *name, char out[VM_ID_SIZE]);

/*
 * Makes the directories of the microVM vm->state.name, or, where that is NULL,
 * of a name nobody has; it is ours then. -EEXIST where there is one of that
 * name.
 */
int vm_create(struct vm *vm, struct err *e);

/* It is not ours any more; a fork's may be. */
void vm_disown(struct vm *vm);

/* Whether somebody looks after it. */
bool vm_is_owned(const struct vm *vm);

/*
 * Takes over a microVM that nobody looks after, or not any more within wait_ms,
 * and reads its state. -EBUSY where somebody does, -ENOENT where there is none;
 * after other errors it is ours, with a state that can't be read.
 */
int vm_adopt(struct vm *vm, const char *name, unsigned wait_ms, struct err *e);

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

/*
 * Writes a file of the microVM's directory, replaced by rename; takes json, and
 * where that is NULL there was no memory for it.
 */
int vm_write_json(const struct vm *vm, const char *file, json_t *json,
		  struct err *e);

/* Writes state.json anew. */
int vm_save(const struct vm *vm, struct err *e);

/* The state as JSON, with "status" as people know it. New reference. */
json_t *vm_dump(const struct vm *vm);

enum vm_status vm_status(const struct vm *vm);
const char *vm_status_word(enum vm_status status);

/* DIR/file. Returns out. */
const char *vm_path(const struct vm *vm, const char *file,
		    char out[VM_PATH_MAX]);

/* The same of the directory on the disk; "" where it has none. */
const char *vm_disk_path(const struct vm *vm, const char *file,
			 char out[PATH_MAX]);

/*
 * Calls each() for every microVM in the order of their names; a directory
 * without a readable state counts, as one that is dead. Stops where each()
 * returns other than 0, and returns that.
 */
int vm_each(int (*each)(struct vm *vm, void *context), void *context,
	    struct err *e);

/*
 * Removes the directories and what they hold; the state stays in memory. Only
 * for the owner.
 */
int vm_remove(const struct vm *vm, struct err *e);

/*
 * Removes what has no use once the microVM has ended: sockets, images. Only for
 * the owner.
 */
void vm_forget(const struct vm *vm);

/* An element of dns, here and in what is saved. */
extern const struct field vm_server_element;

/* Makes a dns of a list that ends with NULL; of none it is none. */
int vm_set_servers(struct field_array *dns, const char *const *list,
		   struct err *e);

/* Frees the strings. Accepts a zeroed struct. */
void vm_fini(struct vm *vm);
