#pragma once

#include <stdbool.h>

#include "api/controller.h"
#include "api/json/json.h"
#include "vmm/base/err.h"

/*
 * Snapshots of a microVM: a state file, whose first section is the
 * configuration, and a memory file. Thread: the loop's.
 */
enum snapshot_type { SNAPSHOT_FULL, SNAPSHOT_DIFF };

struct snapshot_create {
	int type;		 /* enum snapshot_type */
	char *snapshot_path;	 /* owned */
	char *mem_file_path;	 /* owned */
	char *overlay_file_path; /* owned; NULL: beside the state */
	bool sync;		 /* wait for the disk */
	bool has_sync;		 /* without it, yes */
};

enum snapshot_backend { SNAPSHOT_BACKEND_FILE, SNAPSHOT_BACKEND_UFFD };

/* Indices of the words of huge_pages. */
enum snapshot_pages {
	SNAPSHOT_PAGES_SAME,
	SNAPSHOT_PAGES_NONE,
	SNAPSHOT_PAGES_2M,
	SNAPSHOT_PAGES_TRANSPARENT,
};

struct snapshot_drive {
	char *drive_id;	    /* owned */
	char *path_on_host; /* owned */
	struct config_overlay overlay;
	bool has_overlay;
};

struct snapshot_net {
	char *iface_id;	     /* owned */
	char *host_dev_name; /* owned */
};

enum snapshot_working { SNAPSHOT_WORKING_USE, SNAPSHOT_WORKING_RECORD };

/* What the guest touches first; see working_set.h. */
struct snapshot_working_set {
	char *path;	    /* owned */
	int mode;	    /* enum snapshot_working */
	uint32_t record_ms; /* 0 for the default */
};

struct snapshot_load {
	char *snapshot_path; /* owned */
	struct {
		int type;   /* enum snapshot_backend */
		char *path; /* owned */
	} backend;
	bool has_backend;
	char *mem_file_path;	 /* owned; deprecated: a backend File */
	char *overlay_file_path; /* owned; NULL: beside the state */
	bool track_dirty_pages;
	bool enable_diff_snapshots; /* deprecated: the same */
	bool resume_vm;
	bool clock_realtime;
	int huge_pages;		   /* enum snapshot_pages */
	struct field_array drives; /* of struct snapshot_drive */
	struct field_array nets;   /* of struct snapshot_net */
	struct {
		char *uds_path; /* owned */
	} vsock;
	bool has_vsock;
	struct {
		char *serial_out_path; /* owned; NULL for stdout */
	} serial;
	bool has_serial;
	struct snapshot_working_set working_set;
	bool has_working_set;
};

struct snapshot_mark {
	bool unused; /* a body has to be there, and is empty */
};

struct snapshot_reset {
	bool resume_vm;
	bool has_resume_vm; /* without it, as before */
	bool keep_drives;
};

struct snapshot_fork {
	char *socket_path; /* owned; NULL: descriptors go with the answer */
	bool resume_vm;
	bool has_resume_vm; /* without it, as before */
	bool prepare;	    /* all that takes long, for the next to finish */
};

extern const struct field_table snapshot_fork_table;
extern const struct field_table snapshot_mark_table;
extern const struct field_table snapshot_reset_table;
extern const struct field_table snapshot_create_table;
extern const struct field_table snapshot_load_table;
extern const struct field_table snapshot_prepare_table;
extern const struct field_table snapshot_finish_table;

/*
 * Saves a paused microVM. What was at the paths stays until all of it is
 * written; on failure it is untouched, and the microVM is as before.
 */
int snapshot_create(struct controller *c, const struct snapshot_create *body,
		    struct err *e);

/*
 * Makes of a monitor that was not configured the microVM that was saved. Where
 * it fails with more than the request (-EPERM, or -EINVAL before anything was
 * opened), the loop ends, and the process with it.
 */
int snapshot_load(struct controller *c, struct snapshot_load *body,
		  struct err *e);

/*
 * The first half of a load: all that takes long. snapshot_finish() is the
 * second, whose body overrides what the first left open: taps and vsock's
 * socket where it did not name them, and drives. Fails as snapshot_load() does.
 */
int snapshot_prepare(struct controller *c, struct snapshot_load *body,
		     struct err *e);
int snapshot_finish(struct controller *c, struct snapshot_load *body,
		    struct err *e);

/*
 * Puts what body overrides into config. What does not fit the snapshot is a
 * mistake, never ignored.
 */
int snapshot_override(struct vm_config *config, struct snapshot_load *body,
		      struct err *e);

/*
 * This is the moment that snapshot_reset() goes back to. It goes on as before.
 */
int snapshot_mark(struct controller *c, struct err *e);

/*
 * Back to the mark, or to the load. -EPERM, -EOPNOTSUPP and -EBUSY where that
 * can't be, and the microVM goes on as it was; otherwise it ends.
 */
int snapshot_reset(struct controller *c, const struct snapshot_reset *body,
		   struct err *e);

/*
 * The microVM at one instant, as two files in memory that others load, while it
 * goes on. Done in steps of the loop's: -EINPROGRESS where it has begun, and
 * c->forked is called at its end; -EINVAL and others where it was refused.
 */
int snapshot_fork(struct controller *c, struct snapshot_fork *body,
		  struct err *e);

/* Its timer's. */
void snapshot_fork_turn(struct loop_timer *t);

/* Whether one is prepared, and waits for the request that ends it. */
bool snapshot_fork_is_prepared(const struct controller *c);

/* Ends one that is under way, with a sentence. */
void snapshot_fork_cancel(struct controller *c);

/*
 * Whether the drives of the configuration may be written to by the microVM that
 * body makes of a fork: its parent writes to the same, unless overridden.
 */
int snapshot_fork_check_drives(const struct vm_config *config,
			       const struct snapshot_drive *overrides,
			       uint32_t count, struct err *e);
