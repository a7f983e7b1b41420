/*
 * The second half of a load that was prepared: what the first could not know,
 * and the moment from which its clocks go on and at which it gets an id of its
 * own. All that takes long is done by then.
 */
#include <errno.h>

#include "api/snapshot.h"

static int check_order(const struct controller *c, struct err *e)
{
	if (c->state == CONTROLLER_PREPARED)
		return 0;
	if (c->state == CONTROLLER_NOT_STARTED)
		return err_set(e, -EPERM,
			       "There is nothing to finish: PUT "
			       "/snapshot/prepare comes first.");
	return err_set(e, -EPERM,
		       "The requested operation is not supported after "
		       "starting the microVM.");
}

/* What has its tap or socket since the prepare keeps it. */
static int check_late(const struct controller *c,
		      const struct snapshot_load *body, struct err *e)
{
	const struct snapshot_net *nets = body->nets.items;
	const struct assembly_late *late = &c->devices.late;
	uint32_t i;
	int at;

	for (i = 0; i < body->nets.count; i++) {
		at = config_find_net(&c->config, nets[i].iface_id, e);
		if (at < 0)
			return err_context(e, "network_overrides[%u]", i);
		if (!(late->nets & 1U << at))
			return err_set(e, -EINVAL,
				       "network_overrides[%u]: %s has its tap "
				       "since PUT /snapshot/prepare; name it "
				       "there or here",
				       i, nets[i].iface_id);
	}
	if (body->has_vsock && c->devices.vsock && !late->vsock)
		return err_set(e, -EINVAL,
			       "vsock_override: vsock has its socket since PUT "
			       "/snapshot/prepare; name it there or here");
	return 0;
}

static int finish(struct controller *c, struct snapshot_load *body,
		  struct err *e)
{
	const struct snapshot_drive *drives = body->drives.items;
	struct controller_finish how = {.clock_realtime = body->clock_realtime};
	uint32_t i;
	int at, rc = check_late(c, body, e);

	for (i = 0; i < body->drives.count && !rc; i++) {
		at = config_find_drive(&c->config, drives[i].drive_id, e);
		if (at < 0)
			return err_context(e, "drive_overrides[%u]", i);
		how.drives |= 1U << at;
	}
	rc = rc ? rc : snapshot_override(&c->config, body, e);
	return rc ? rc : controller_finish(c, &how, e);
}

int snapshot_finish(struct controller *c, struct snapshot_load *body,
		    struct err *e)
{
	int rc = check_order(c, e);

	if (rc)
		return rc;
	rc = finish(c, body, e);
	if (!rc && body->resume_vm)
		rc = controller_resume(c, e);
	if (rc)
		controller_fail(c, e);
	else
		controller_rest(c);
	return rc;
}
