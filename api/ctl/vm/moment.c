#include "api/ctl/vm/moment.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/still.h"

/* In the microVM's directory: it is there where there is a mark of ours. */
#define MARK_FILE "marked"

/* Of one that was loaded: who it is. */
#define IDENTITY_FILE "identity.json"

enum { IDENTITY_MAX = 4096 };

static int mark(struct still *s, const struct vm *vm, struct err *e)
{
	char path[VM_PATH_MAX];
	int rc = still_guard(s, NULL, NULL, e);

	rc = rc ? rc : still_freeze(s, e);
	rc = rc ? rc
		: client_order(s->api, "PUT", "/snapshot/mark", "{}",
			       CLIENT_SAVE_S, e);
	rc = rc ? rc : process_write_file(vm_path(vm, MARK_FILE, path), "", e);
	return rc;
}

int moment_mark(const char *name, struct err *e)
{
	struct still s;
	struct vm vm;
	int rc = still_find(&s, &vm, name, e);

	if (!rc) {
		rc = mark(&s, &vm, e);
		if (rc)
			still_let_go(&s);
		else
			rc = still_go_on(&s, e);
	}
	still_fini(&s);
	vm_fini(&vm);
	return rc;
}

/* ---- who it is, after a load --------------------------------------------- */

static json_t *dump_ip(const uint8_t ip[4])
{
	return json_pack("[i, i, i, i]", ip[0], ip[1], ip[2], ip[3]);
}

int moment_remember(const struct vm *vm, const struct session_identity *who,
		    struct err *e)
{
	const struct session_network *n = who->network;
	json_t *json = json_pack("{s:s, s:s*}", "hostname", who->hostname,
				 "mac", who->mac);

	if (json && n)
		json_object_update_new(
			json,
			json_pack("{s:o, s:o, s:o, s:i}", "ip", dump_ip(n->ip),
				  "gateway", dump_ip(n->gateway), "dns",
				  dump_ip(n->dns), "prefix", n->prefix));
	return vm_write_json(vm, IDENTITY_FILE, json, e);
}

static int bind_ip(const json_t *json, const char *name, uint8_t ip[4])
{
	const json_t *list = json_object_get(json, name);
	unsigned i;

	for (i = 0; i < 4; i++) {
		const json_int_t n =
			json_integer_value(json_array_get(list, i));

		if (json_array_size(list) != 4 || n < 0 || n > UINT8_MAX)
			return -EINVAL;
		ip[i] = (uint8_t)n;
	}
	return 0;
}

/* What is in who is json's. */
static int bind(const json_t *json, struct session_identity *who,
		struct session_network *n)
{
	const json_int_t prefix =
		json_integer_value(json_object_get(json, "prefix"));

	who->hostname = json_string_value(json_object_get(json, "hostname"));
	who->mac = json_string_value(json_object_get(json, "mac"));
	if (!who->hostname)
		return -EINVAL;
	if (!json_object_get(json, "ip"))
		return 0;
	if (!who->mac || prefix < 0 || prefix > 32 ||
	    bind_ip(json, "ip", n->ip) ||
	    bind_ip(json, "gateway", n->gateway) ||
	    bind_ip(json, "dns", n->dns))
		return -EINVAL;
	n->prefix = (uint8_t)prefix;
	who->network = n;
	return 0;
}

/* As it is at a mark; or at its load, where it is its original still. */
static int renew(const struct still *s, const struct vm *vm, bool is_marked,
		 struct err *e)
{
	struct session_identity who = {.hostname = ""};
	struct session_network network = {0};
	char path[VM_PATH_MAX], *text = NULL;
	json_t *json = NULL;
	int rc = 0;

	if (!is_marked) {
		rc = process_read_file(vm_path(vm, IDENTITY_FILE, path),
				       IDENTITY_MAX, &text, e);
		json = rc ? NULL : json_parse(text, strlen(text), e);
		if (!json || bind(json, &who, &network))
			rc = err_set(e, -EINVAL, "%s says nothing", path);
		free(text);
	}
	rc = rc ? rc : session_renew(s->vsock, &who, e);
	json_decref(json);
	return rc;
}

/* ---- back -----------------------------------------------------------------
 */

static bool has(const struct vm *vm, const char *file)
{
	char path[VM_PATH_MAX];

	return !access(vm_path(vm, file, path), F_OK);
}

static int judge(const struct vm *vm, struct err *e)
{
	if (!vm->state.is_detached)
		return err_set(
			e, -EPERM,
			"%s is in the foreground, and a reset ends the "
			"connection that its command has there; start it "
			"with -d",
			vm->state.name);
	if (!has(vm, MARK_FILE) && !has(vm, IDENTITY_FILE))
		return err_set(e, -ENOENT,
			       "%s has no mark to go back to; `mayctl mark %s` "
			       "sets one",
			       vm->state.name, vm->state.name);
	return 0;
}

/*
 * Who is killed between the two has left a guest that stands still, and another
 * reset makes good for it.
 */
int moment_reset(const char *name, bool keep_drives, struct err *e)
{
	struct still s;
	struct vm vm;
	char body[64];
	int rc = still_find(&s, &vm, name, e);

	snprintf(body, sizeof(body),
		 "{\"resume_vm\": true, \"keep_drives\": %s}",
		 keep_drives ? "true" : "false");
	rc = rc ? rc : judge(&vm, e);
	rc = rc ? rc
		: client_order(s.api, "PUT", "/snapshot/reset", body,
			       CLIENT_SAVE_S, e);
	rc = rc ? rc : renew(&s, &vm, has(&vm, MARK_FILE), e);
	still_fini(&s);
	vm_fini(&vm);
	return rc;
}
