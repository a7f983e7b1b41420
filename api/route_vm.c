/* The microVM as a whole: what it is, and what it shall do. */
#include <errno.h>

#include "api/options.h"
#include "api/routes.h"
#include "vmm/base/version.h"

static const char *const state_words[] = {"Paused", "Resumed", NULL};

static const struct field vm_fields[] = {
	{
		.name = "state",
		.type = FIELD_WORD,
		.flags = FIELD_REQUIRED,
		.words = state_words,
		FIELD_AT(struct vm_body, state),
	},
};

const struct field_table vm_body_table =
	FIELD_TABLE("vm", struct vm_body, vm_fields);

static const char *const action_words[] = {"InstanceStart", "FlushMetrics",
					   "SendCtrlAltDel", NULL};

static const struct field action_fields[] = {
	{
		.name = "action_type",
		.type = FIELD_WORD,
		.flags = FIELD_REQUIRED,
		.words = action_words,
		FIELD_AT(struct action_body, action_type),
	},
};

const struct field_table action_body_table =
	FIELD_TABLE("actions", struct action_body, action_fields);

int route_info_get(struct controller *c, const char *id, void *body,
		   json_t **json, struct err *e)
{
	(void)id;
	(void)body;
	(void)e;
	/* The version is the wire's: it is what clients compare. */
	*json = json_pack("{s:s, s:s, s:s, s:s}", "id", c->id, "state",
			  controller_state_word(c), "vmm_version", WIRE_VERSION,
			  "app_name", "mayfly");
	return 0;
}

int route_version_get(struct controller *c, const char *id, void *body,
		      json_t **json, struct err *e)
{
	(void)c;
	(void)id;
	(void)body;
	(void)e;
	*json = json_pack("{s:s}", "firecracker_version", WIRE_VERSION);
	return 0;
}

int route_vm_patch(struct controller *c, const char *id, void *body,
		   json_t **json, struct err *e)
{
	const struct vm_body *vm = body;

	(void)id;
	(void)json;
	if (vm->state == VM_PAUSED)
		return controller_pause(c, e);
	return controller_resume(c, e);
}

int route_vm_config_get(struct controller *c, const char *id, void *body,
			json_t **json, struct err *e)
{
	(void)id;
	(void)body;
	(void)e;
	*json = config_dump(&c->config);
	return 0;
}

int route_action_put(struct controller *c, const char *id, void *body,
		     json_t **json, struct err *e)
{
	const struct action_body *action = body;

	(void)id;
	(void)json;
	switch (action->action_type) {
	case ACTION_START:
		return controller_start(c, e);
	case ACTION_CTRL_ALT_DEL:
		return controller_ctrl_alt_del(c, e);
	default:
		return controller_flush_metrics(c, e);
	}
}

int route_logger_put(struct controller *c, const char *id, void *body,
		     json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return controller_set_logger(c, body, e);
}
