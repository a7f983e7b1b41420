/*
 * Bytes at a ttrpc server's socket: it answers, refuses or hangs up, and keeps
 * nothing. Every message that a request may hold is unpacked on the way, and
 * what was understood is packed again to what means the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <task.pb-c.h>
#include <unistd.h>

#include "api/ctl/ttrpc/server.h"
#include "vmm/base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop loop;
static bool is_open;

static const ProtobufCMessageDescriptor *const messages[] = {
	&task__process_request__descriptor, &task__create_request__descriptor,
	&task__exec_request__descriptor,    &task__kill_request__descriptor,
	&task__resize_request__descriptor,  &task__close_request__descriptor,
	&task__forward__descriptor,
};

static void again(struct ttrpc_call *c, const ProtobufCMessage *m)
{
	const size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = arena_take(&c->arena, len + 1);
	const ProtobufCMessage *same;

	if (!bytes)
		return;
	if (protobuf_c_message_pack(m, bytes) != len)
		abort();
	same = protobuf_c_message_unpack(m->descriptor, &c->arena.allocator,
					 len, bytes);
	if (same && protobuf_c_message_get_packed_size(same) != len)
		abort();
}

static void serve(struct ttrpc_server *s, struct ttrpc_call *c)
{
	Task__Empty empty = TASK__EMPTY__INIT;

	(void)s;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		const ProtobufCMessage *m = protobuf_c_message_unpack(
			messages[i], &c->arena.allocator, c->len, c->payload);

		if (m)
			again(c, m);
	}
	if (strlen(c->method) & 1)
		ttrpc_answer(c, &empty.base);
	else
		ttrpc_refuse(c, TTRPC_UNKNOWN, "%s", c->service);
}

static void stop(struct loop_timer *t)
{
	(void)t;
	loop_stop(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ttrpc_server server = {.serve = serve, .loop = &loop};
	struct loop_timer timer = {.fire = stop};
	int ends[2];

	if (!is_open && loop_open(&loop, NULL))
		abort();
	is_open = true;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	if (write(ends[1], data, size) != (ssize_t)size)
		abort();
	shutdown(ends[1], SHUT_WR);
	if (ttrpc_server_adopt(&server, ends[0], NULL))
		abort();
	for (unsigned i = 0; i < 1000 && server.count; i++) {
		loop.stopping = false;
		loop_arm(&loop, &timer, clock_now_ns());
		if (loop_run(&loop, NULL))
			abort();
	}
	if (server.count)
		abort();
	ttrpc_server_stop(&server);
	close(ends[1]);
	return 0;
}
