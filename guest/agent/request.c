/*
 * Requests by their types, and the short ones.
 */
#include "guest/agent/request.h"

#include "guest/agent/child.h"
#include "guest/agent/configure.h"
#include "guest/agent/container.h"
#include "guest/agent/file.h"
#include "guest/agent/forward.h"
#include "guest/agent/freezer.h"
#include "guest/agent/group.h"
#include "guest/agent/machine.h"
#include "guest/agent/progress.h"
#include "guest/agent/ready.h"
#include "guest/agent/share.h"
#include "guest/agent/shutdown.h"

#include <errno.h>
#include <string.h>

enum { FAILED = 125 };

static void serve_clock(struct session *s, struct reader *r)
{
	const struct proto_clock *head = reader_take(r, sizeof(*head));
	const int rc = head ? machine_clock_set(proto_get64(&head->time_ns))
			    : -EPROTO;

	if (rc)
		session_error(s, -rc, FAILED, "cannot set the clock: %s",
			      strerror(-rc));
	else
		session_done(s);
}

static void serve_file(struct session *s, struct reader *r)
{
	const struct proto_file *head = reader_take(r, sizeof(*head));
	const struct bytes name = reader_string(r);
	const struct bytes content = reader_bytes(r);
	int rc = -EPROTO;

	if (reader_done(r) && content.len <= PROTO_FILE_MAX)
		rc = file_add(head, name.at, name.len, content.at, content.len);
	if (rc)
		session_error(s, -rc, FAILED, "cannot take the file %.*s: %s",
			      (int)(name.len > 64 ? 64 : name.len), name.at,
			      strerror(-rc));
	else
		session_done(s);
}

/* What makes a process, which would not stand still. */
static bool needs_process(uint8_t type)
{
	return type == PROTO_RUN || type == PROTO_EXEC ||
	       type == PROTO_COPY_IN || type == PROTO_COPY_OUT ||
	       type == PROTO_SYNC || type == PROTO_REMOVE ||
	       type == PROTO_PREPARE || type == PROTO_SHARED;
}

/* What may take as long as who asked for it likes. */
static bool has_no_end(uint8_t type)
{
	return type == PROTO_EXEC || type == PROTO_LOGS || type == PROTO_WAIT ||
	       type == PROTO_OOM || type == PROTO_COPY_IN ||
	       type == PROTO_COPY_OUT || type == PROTO_FORWARD ||
	       type == PROTO_SHARED;
}

/* Those that are about a container's control group. */
static bool serve_group(struct session *s, uint8_t type, struct reader *r)
{
	switch (type) {
	case PROTO_GROUP:
		group_limit(s, r);
		return true;
	case PROTO_STATS:
		group_stats(s, r);
		return true;
	case PROTO_OOM:
		group_oom(s, r);
		return true;
	default:
		return false;
	}
}

/* Those that name no container. */
static void serve_machine(struct session *s, uint8_t type, struct reader *r)
{
	switch (type) {
	case PROTO_CONFIGURE:
		configure_machine(s, r);
		break;
	case PROTO_FORWARD:
		forward_start(s, r);
		break;
	case PROTO_SYNC:
		progress_watch(s);
		child_help(s, PROCESS_HELPER, child_sync, NULL, NULL);
		break;
	case PROTO_CLOCK:
		serve_clock(s, r);
		break;
	case PROTO_IDENTITY:
		configure_identity(s, r);
		break;
	case PROTO_FREEZE:
		freezer_freeze(s, r);
		break;
	case PROTO_THAW:
		freezer_thaw(s, r);
		break;
	case PROTO_RENEW:
		configure_renew(s, r);
		break;
	case PROTO_PREPARE:
		ready_make(s, r);
		break;
	case PROTO_SHARED:
		share_renew(s, r);
		break;
	case PROTO_SHUTDOWN:
		shutdown_begin(s, r);
		break;
	default:
		session_error(s, EPROTO, FAILED, "there is no request 0x%02x",
			      type);
	}
}

void request_serve(struct session *s, uint8_t type, struct reader *r)
{
	if (freezer_is_on() && needs_process(type)) {
		session_error(s, EBUSY, FAILED, "the guest is frozen");
		return;
	}
	if (has_no_end(type) && sessions_are_scarce()) {
		session_error(
			s, EAGAIN, FAILED,
			"the guest has %d connections already, and keeps "
			"the last %d for those that stop it; end an exec, "
			"a copy or a connection to a port first",
			PROTO_SESSIONS - PROTO_RESERVED, PROTO_RESERVED);
		return;
	}
	switch (type) {
	case PROTO_FILE:
		serve_file(s, r);
		break;
	case PROTO_RUN:
		container_run(s, r);
		break;
	case PROTO_EXEC:
		container_exec(s, r);
		break;
	case PROTO_ATTACH:
		container_attach(s, r);
		break;
	case PROTO_LOGS:
		container_logs(s, r);
		break;
	case PROTO_WAIT:
		container_wait(s, r);
		break;
	case PROTO_KILL:
		container_kill(s, r);
		break;
	case PROTO_REMOVE:
		container_remove(s, r);
		break;
	case PROTO_LIST:
		container_list(s, r);
		break;
	case PROTO_COPY_IN:
	case PROTO_COPY_OUT:
		container_copy(s, r, type);
		break;
	default:
		if (!serve_group(s, type, r))
			serve_machine(s, type, r);
	}
}
