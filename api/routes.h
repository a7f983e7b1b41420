#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/controller.h"
#include "api/http.h"
#include "api/snapshot.h"
#include "vmm/base/err.h"

/*
 * From a request to a reply. One table says which method and path there are,
 * what body each takes, and when it may be asked; the handlers in the route_
 * files see a checked body only. Thread: the loop's.
 */
struct reply {
	int status;   /* 200, 204 or 400 */
	json_t *json; /* owned; NULL for no body */
	bool is_text; /* json is a string, to be sent as plain text */
	bool is_deprecated;
	bool is_later; /* no answer yet: controller.forked() has it */
};

/*
 * Answers one request. Never fails: what goes wrong is a reply of 400 with the
 * sentence as its fault_message.
 */
void routes_serve(struct controller *c, const struct http_request *request,
		  struct reply *reply);

/* A reply of 400 with a sentence. */
void reply_fault(struct reply *reply, const char *sentence);

void reply_fini(struct reply *reply);

/*
 * A handler: c is allowed to be asked, id is a valid id or "", body is bound by
 * the row's table (or NULL) and freed by the caller. Leaves a new reference in
 * *json to answer 200 with it, or nothing to answer 204. On failure *e is the
 * fault_message; -EINPROGRESS where the answer comes later.
 */
typedef int route_handler(struct controller *c, const char *id, void *body,
			  json_t **json, struct err *e);

enum route_when { ANY_TIME, BEFORE_START, AFTER_START };

struct route {
	/*
	 * Without slashes at its ends. {id} stands for one segment, which may
	 * be missing at the end; a last * for any number of them.
	 */
	const char *pattern;
	const char *method; /* NULL for any */
	enum route_when when;
	route_handler *handler;
	const struct field_table *table; /* NULL for no body */
	const char *refusal;		 /* instead of a handler */
};

/* All rows, for whoever counts or describes them. */
const struct route *routes_all(size_t *count);

/* route_boot.c */
route_handler route_boot_put;

/* route_machine.c */
route_handler route_machine_get;
route_handler route_machine_put;
route_handler route_machine_patch;

/* route_drives.c */
route_handler route_drive_put;
route_handler route_drive_patch;

/* route_net.c */
route_handler route_net_put;
route_handler route_net_patch;

/* route_vsock.c */
route_handler route_vsock_put;

/* route_serial.c */
route_handler route_serial_put;

/* route_vm.c */
route_handler route_info_get;
route_handler route_version_get;
route_handler route_vm_patch;
route_handler route_vm_config_get;
route_handler route_action_put;
route_handler route_logger_put;

/* route_metrics.c */
route_handler route_metrics_put;
route_handler route_metrics_get;

/* route_snapshot.c */
route_handler route_snapshot_create;
route_handler route_snapshot_load;
route_handler route_snapshot_fork;
route_handler route_snapshot_prepare;
route_handler route_snapshot_finish;
route_handler route_snapshot_mark;
route_handler route_snapshot_reset;

/* Bodies that are no configuration. */
struct vm_body {
	int state; /* enum vm_body_state */
};

enum vm_body_state { VM_PAUSED, VM_RESUMED };

struct action_body {
	int action_type; /* enum action */
};

enum action { ACTION_START, ACTION_FLUSH_METRICS, ACTION_CTRL_ALT_DEL };

extern const struct field_table vm_body_table;
extern const struct field_table action_body_table;
