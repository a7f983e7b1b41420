/*
 * Requests by their types, and the short ones.
 */
#include "guest/agent/agent.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 125 };

static int sync_all(void *arg, int in, int out, char *sentence, size_t len)
{
	(void)arg;
	(void)in;
	(void)out;
	(void)len;
	sentence[0] = '\0';
	sync();
	return 0;
}

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

void request_serve(struct session *s, uint8_t type, struct reader *r)
{
	switch (type) {
	case PROTO_CONFIGURE:
		machine_configure(s, r);
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
	case PROTO_FORWARD:
		forward_start(s, r);
		break;
	case PROTO_SYNC:
		process_help(s, PROCESS_HELPER, sync_all, NULL, NULL);
		break;
	case PROTO_CLOCK:
		serve_clock(s, r);
		break;
	case PROTO_IDENTITY:
		machine_identity(s, r);
		break;
	case PROTO_SHUTDOWN:
		machine_shutdown(s, r);
		break;
	default:
		session_error(s, EPROTO, FAILED, "there is no request 0x%02x",
			      type);
	}
}
