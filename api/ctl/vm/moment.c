#include "api/ctl/vm/moment.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/still.h"

/* In the microVM's directory: it is there where there is a mark of ours. */
#define MARK_FILE "marked"

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
		/* The first failure is the one to be told of. */
		if (still_go_on(&s, rc ? NULL : e))
			rc = rc ? rc : -EIO;
	}
	still_fini(&s);
	vm_fini(&vm);
	return rc;
}

static int judge(const struct vm *vm, struct err *e)
{
	char path[VM_PATH_MAX];

	if (!vm->state.is_detached)
		return err_set(
			e, -EPERM,
			"%s is in the foreground, and a reset ends the "
			"connection that its command has there; start it "
			"with -d",
			vm->state.name);
	if (access(vm_path(vm, MARK_FILE, path), F_OK))
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
	struct session_identity same = {.hostname = ""};
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
	rc = rc ? rc : session_renew(s.vsock, &same, e);
	still_fini(&s);
	vm_fini(&vm);
	return rc;
}
