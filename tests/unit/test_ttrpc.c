/*
 * ttrpc as containerd speaks it: bytes of a frame, calls answered in any order,
 * clients that break the protocol or go away, and letters that outlive their
 * reader.
 */
#include "api/ctl/ttrpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <task.pb-c.h>
#include <ttrpc.pb-c.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/ttrpc/client.h"
#include "api/ctl/ttrpc/wire.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

static struct loop loop;
static struct ttrpc_server server;
static struct wire client; /* the other end */
static struct ttrpc_call *kept;
static unsigned served, gone;
static char words[16][32]; /* ids that were served */

static void stop(struct loop_timer *t)
{
	(void)t;
	loop_stop(&loop);
}

/* All that there is to do now. */
static void turn(void)
{
	struct loop_timer t = {.fire = stop};

	for (unsigned i = 0; i < 4; i++) {
		loop.stopping = false;
		loop_arm(&loop, &t, clock_now_ns() + 1000000);
		assert_int_equal(loop_run(&loop, NULL), 0);
	}
}

static void went(struct ttrpc_call *c)
{
	assert_ptr_equal(c, kept);
	kept = NULL;
	gone++;
}

/* Answers State at once, keeps Wait, and knows nothing else. */
static void serve(struct ttrpc_server *s, struct ttrpc_call *c)
{
	Task__WaitResponse answer = TASK__WAIT_RESPONSE__INIT;
	const Task__ProcessRequest *r;

	(void)s;
	r = task__process_request__unpack(&c->arena.allocator, c->len,
					  c->payload);
	if (!r) {
		ttrpc_refuse(c, TTRPC_INVALID_ARGUMENT, "nonsense");
		return;
	}
	snprintf(words[served++ % 16], sizeof(words[0]), "%s", r->id);
	if (!strcmp(c->method, "Wait")) {
		c->gone = went;
		kept = c;
	} else if (!strcmp(c->method, "State")) {
		answer.exit_status = (uint32_t)strlen(r->id);
		ttrpc_answer(c, &answer.base);
	} else {
		ttrpc_refuse(c, TTRPC_UNIMPLEMENTED, "there is no %s",
			     c->method);
	}
}

static int setup(void **state)
{
	int ends[2];

	(void)state;
	served = gone = 0;
	kept = NULL;
	server = (struct ttrpc_server){.serve = serve, .loop = &loop};
	if (loop_open(&loop, NULL) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -1;
	wire_init(&client, ends[1]);
	return ttrpc_server_adopt(&server, ends[0], NULL);
}

static int teardown(void **state)
{
	(void)state;
	ttrpc_server_stop(&server);
	wire_fini(&client);
	loop_close(&loop);
	return 0;
}

static void ask(uint32_t stream, const char *method, const char *id)
{
	Task__ProcessRequest body = TASK__PROCESS_REQUEST__INIT;
	Ttrpc__Request r = TTRPC__REQUEST__INIT;
	uint8_t payload[256], bytes[512];
	char service[] = "containerd.task.v2.Task", name[32], text[64];
	struct wire_frame f = {
		.stream = stream, .type = WIRE_REQUEST, .bytes = bytes};

	snprintf(name, sizeof(name), "%s", method);
	snprintf(text, sizeof(text), "%s", id);
	body.id = text;
	r.service = service;
	r.method = name;
	r.payload.data = payload;
	r.payload.len = task__process_request__pack(&body, payload);
	f.len = ttrpc__request__pack(&r, bytes);
	assert_int_equal(wire_put(&client, &f), 0);
	assert_int_equal(wire_flush(&client), 0);
}

/* The next answer: its code; *status is what Wait and State say. */
static int answer(uint32_t stream, uint32_t *status)
{
	Task__WaitResponse *w;
	Ttrpc__Response *r;
	struct wire_frame f;
	int code;

	assert_int_equal(wire_next(&client, &f), 0);
	assert_int_equal(f.type, WIRE_RESPONSE);
	assert_int_equal(f.stream, stream);
	r = ttrpc__response__unpack(NULL, f.len, f.bytes);
	assert_non_null(r);
	code = r->status ? r->status->code : 0;
	w = task__wait_response__unpack(NULL, r->payload.len, r->payload.data);
	assert_non_null(w);
	if (status)
		*status = w->exit_status;
	task__wait_response__free_unpacked(w, NULL);
	ttrpc__response__free_unpacked(r, NULL);
	return code;
}

static bool is_closed(void)
{
	struct wire_frame f;

	return wire_next(&client, &f) == -ECONNRESET;
}

/* Of a State for "abc" by containerd 1.6's own client, and what it expects. */
static void bytes_are_containerds(void **state)
{
	static const uint8_t asked[] = "\0\0\0\x27\0\0\0\1\1\0"
				       "\x0a\x17"
				       "containerd.task.v2.Task"
				       "\x12\x05State\x1a\x05\x0a\x03"
				       "abc";
	static const uint8_t want[] = "\0\0\0\4\0\0\0\1\2\0\x12\2\x08\3";
	uint8_t got[64];

	(void)state;
	assert_int_equal(write(client.fd, asked, sizeof(asked) - 1),
			 sizeof(asked) - 1);
	turn();
	assert_int_equal(recv(client.fd, got, sizeof(got), MSG_DONTWAIT),
			 sizeof(want) - 1);
	assert_memory_equal(got, want, sizeof(want) - 1);
}

static void answers_come_in_any_order(void **state)
{
	Task__WaitResponse late = TASK__WAIT_RESPONSE__INIT;
	uint32_t status = 0;

	(void)state;
	ask(1, "Wait", "one");
	ask(3, "State", "three");
	ask(5, "Dance", "five");
	turn();
	assert_int_equal(answer(3, &status), 0);
	assert_int_equal(status, 5);
	assert_int_equal(answer(5, NULL), TTRPC_UNIMPLEMENTED);
	late.exit_status = 137;
	ttrpc_answer(kept, &late.base);
	assert_int_equal(answer(1, &status), 0);
	assert_int_equal(status, 137);
	assert_int_equal(gone, 0);
}

/* Bytes come as they like. */
static void frames_come_in_parts(void **state)
{
	uint8_t bytes[512];
	ssize_t n;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct wire w;

	wire_init(&w, ends[0]);
	struct wire was = client;

	client = w;
	ask(1, "State", "parts");
	ask(3, "State", "p");
	n = read(ends[1], bytes, sizeof(bytes));
	assert_true(n > 40);
	wire_fini(&client);
	close(ends[1]);
	client = was;
	for (ssize_t i = 0; i < n; i++) {
		assert_int_equal(write(client.fd, bytes + i, 1), 1);
		if (i % 7 == 0)
			turn();
	}
	turn();
	assert_int_equal(served, 2);
	assert_int_equal(answer(1, NULL), 0);
	assert_int_equal(answer(3, NULL), 0);
}

static void who_goes_is_let_go(void **state)
{
	(void)state;
	ask(1, "Wait", "one");
	turn();
	assert_non_null(kept);
	wire_fini(&client);
	turn();
	assert_int_equal(gone, 1);
	assert_int_equal(server.count, 0);
}

/* A request too long, of an even stream, of another type, of no sense. */
static void nonsense_ends_the_connection(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"\0\x40\0\1\0\0\0\1\1\0", 10},
		{"\xff\xff\xff\xff\0\0\0\1\1\0", 10},
		{"\0\0\0\0\0\0\0\2\1\0", 10},
		{"\0\0\0\0\0\0\0\1\2\0", 10},
		{"\0\0\0\0\0\0\0\1\3\1", 10},
		{"\0\0\0\1\0\0\0\1\1\0\xff", 11},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (i) {
			teardown(state);
			assert_int_equal(setup(state), 0);
		}
		assert_int_equal(write(client.fd, bad[i].bytes, bad[i].len),
				 bad[i].len);
		turn();
		assert_true(is_closed());
		assert_int_equal(served, 0);
	}
}

static void a_stream_is_refused(void **state)
{
	struct wire_frame f = {.stream = 1, .type = WIRE_REQUEST, .flags = 2};

	(void)state;
	assert_int_equal(wire_put(&client, &f), 0);
	assert_int_equal(wire_flush(&client), 0);
	turn();
	assert_int_equal(answer(1, NULL), TTRPC_UNIMPLEMENTED);
}

/* Two bytes a mount: 4 MiB of them would be 100 MiB of structs. */
static void what_grows_is_bounded(void **state)
{
	const size_t len = 3 << 20;
	uint8_t *bytes = malloc(len);
	struct arena arena;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < len; i += 2) {
		bytes[i] = 0x1a;
		bytes[i + 1] = 0;
	}
	arena_init(&arena, TTRPC_MEMORY);
	assert_null(task__create_request__unpack(&arena.allocator, len, bytes));
	arena_fini(&arena);
	arena_init(&arena, TTRPC_MEMORY);
	assert_non_null(
		task__create_request__unpack(&arena.allocator, 2000, bytes));
	arena_fini(&arena);
	free(bytes);
}

static void post(struct ttrpc_client *c, const char *id)
{
	Task__ProcessRequest body = TASK__PROCESS_REQUEST__INIT;
	char text[32];

	snprintf(text, sizeof(text), "%s", id);
	body.id = text;
	assert_int_equal(ttrpc_client_send(c, "service", "State", &body.base),
			 0);
}

/* The reader is not there yet, goes away, and comes back. */
static void letters_wait_for_their_reader(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ttrpc_client c;
	int fd;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/tmp/mayfly-test-ttrpc.%d", getpid());
	unlink(address.sun_path);
	assert_int_equal(ttrpc_client_init(&c, &loop, address.sun_path, NULL),
			 0);
	post(&c, "first");
	post(&c, "second");
	turn();
	assert_false(ttrpc_client_is_idle(&c));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&address, sizeof(address)),
		0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(ttrpc_server_start(&server, &loop, fd, NULL), 0);
	for (unsigned i = 0; i < 2000 && !ttrpc_client_is_idle(&c); i++)
		turn();
	assert_int_equal(served, 2);
	/* Its connection breaks without a word. */
	post(&c, "third");
	turn();
	ttrpc_server_stop(&server);
	assert_int_equal(ttrpc_server_start(&server, &loop, fd, NULL), 0);
	post(&c, "fourth");
	for (unsigned i = 0; i < 2000 && !ttrpc_client_is_idle(&c); i++)
		turn();
	assert_int_equal(served, 4);
	assert_string_equal(words[0], "first");
	assert_string_equal(words[1], "second");
	assert_string_equal(words[2], "third");
	assert_string_equal(words[3], "fourth");
	ttrpc_client_fini(&c);
	close(fd);
	unlink(address.sun_path);
}

/* Listens where a client of letters is to find it. */
static int listen_at(struct sockaddr_un *address, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path),
		 "/tmp/mayfly-test-ttrpc.%d", getpid());
	unlink(address->sun_path);
	assert_int_equal(
		bind(fd, (const struct sockaddr *)address, sizeof(*address)),
		0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* Nothing tells when there is room again: it has to ask. */
static void a_full_queue_is_tried_again(void **state)
{
	struct sockaddr_un address;
	struct ttrpc_client c;
	int fd = listen_at(&address, 0), others[8], rc = 0;
	unsigned n;

	(void)state;
	for (n = 0; !rc && n < 8; n++) {
		others[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		rc = connect(others[n], (const struct sockaddr *)&address,
			     sizeof(address));
	}
	assert_int_equal(rc, -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ttrpc_client_init(&c, &loop, address.sun_path, NULL),
			 0);
	post(&c, "patient");
	turn();
	assert_int_equal(ttrpc_server_start(&server, &loop, fd, NULL), 0);
	for (unsigned i = 0; i < 2000 && !ttrpc_client_is_idle(&c); i++)
		turn();
	assert_true(ttrpc_client_is_idle(&c));
	assert_string_equal(words[0], "patient");
	ttrpc_client_fini(&c);
	while (n)
		close(others[--n]);
	close(fd);
	unlink(address.sun_path);
}

/* One that answers what nobody asked, and one that answers nothing. */
static void a_bad_reader_of_letters_does_no_harm(void **state)
{
	const struct wire_frame nobodys = {.type = WIRE_RESPONSE};
	struct sockaddr_un address;
	struct ttrpc_client c;
	struct wire reader;
	int fd = listen_at(&address, 8);

	(void)state;
	assert_int_equal(ttrpc_client_init(&c, &loop, address.sun_path, NULL),
			 0);
	post(&c, "first");
	turn();
	wire_init(&reader, accept(fd, NULL, NULL));
	assert_int_equal(
		wire_put(&reader, &(struct wire_frame){.stream = 1,
						       .type = WIRE_RESPONSE}),
		0);
	assert_int_equal(wire_put(&reader, &nobodys), 0);
	assert_int_equal(wire_flush(&reader), 0);
	turn();
	assert_true(ttrpc_client_is_idle(&c));
	for (unsigned i = 0; i < TTRPC_LETTERS + 10; i++)
		post(&c, "more");
	assert_int_equal(c.count, TTRPC_LETTERS);
	assert_int_not_equal(c.stream, 0);
	turn();
	assert_int_equal(c.count, TTRPC_LETTERS);
	ttrpc_client_fini(&c);
	wire_fini(&reader);
	close(fd);
	unlink(address.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_are_containerds, setup,
						teardown),
		cmocka_unit_test_setup_teardown(answers_come_in_any_order,
						setup, teardown),
		cmocka_unit_test_setup_teardown(frames_come_in_parts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_goes_is_let_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nonsense_ends_the_connection,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_grows_is_bounded, setup,
						teardown),
		cmocka_unit_test_setup_teardown(letters_wait_for_their_reader,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_queue_is_tried_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_bad_reader_of_letters_does_no_harm, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
