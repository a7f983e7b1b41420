/* Marks, and going back to one in place. */
#include <errno.h>

#include "api/snapshot.h"
#include "api/snapshot_overlays.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/state/state.h"

/* What is in memory at the mark is of a drive that has gone on meanwhile. */
static int check_drives(const struct controller *c, bool keep, struct err *e)
{
	uint32_t i;

	for (i = 0; i < c->config.drive_count && !keep; i++)
		if (!c->config.drives[i].is_read_only &&
		    !c->config.drives[i].has_overlay)
			return err_set(e, -EPERM,
				       "the drive %s can be written to, and a "
				       "reset takes nothing of that back; give "
				       "it an overlay, make it read-only, or "
				       "say keep_drives where the guest has it "
				       "not mounted",
				       c->config.drives[i].drive_id);
	return 0;
}

static int mark(struct controller *c, struct err *e)
{
	struct state *s = state_new();
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the state");
	rc = machine_save(c->machine, s, e);
	rc = rc ? rc : machine_mark(c->machine, s, e);
	if (rc) {
		state_free(s);
		return rc;
	}
	snapshot_overlays_mark(c);
	state_free(c->kept);
	c->kept = s;
	return 0;
}

int snapshot_mark(struct controller *c, struct err *e)
{
	const bool was_running = c->state == CONTROLLER_RUNNING;
	int rc = controller_pause(c, e);

	rc = rc ? rc : machine_quiet(c->machine, e);
	if (!rc) {
		rc = mark(c, e);
		machine_unquiet(c->machine);
	}
	if (was_running)
		(void)controller_resume(c, NULL);
	return rc;
}

/* Whether a reset that failed has changed nothing. */
static bool is_refusal(int rc)
{
	return rc == -EPERM || rc == -EOPNOTSUPP || rc == -EBUSY;
}

int snapshot_reset(struct controller *c, const struct snapshot_reset *body,
		   struct err *e)
{
	const uint64_t begin_ns = clock_now_ns();
	const bool was_running = c->state == CONTROLLER_RUNNING;
	const bool runs = body->has_resume_vm ? body->resume_vm : was_running;
	int rc = check_drives(c, body->keep_drives, e);

	rc = rc ? rc : controller_pause(c, e);
	rc = rc ? rc : machine_reset(c->machine, e);
	if (!rc) {
		snapshot_overlays_reset(c);
		/* Nothing is refused any more. */
		rc = assembly_identify_again(&c->devices, e) ? -EIO : 0;
	}
	if (rc && !is_refusal(rc))
		controller_fail(c, e);
	else if (rc && was_running)
		(void)controller_resume(c, NULL);
	if (!rc && runs)
		rc = controller_resume(c, e);
	if (!rc)
		log_debug("a reset took %llu us",
			  (unsigned long long)(clock_now_ns() - begin_ns) /
				  1000);
	return rc;
}
