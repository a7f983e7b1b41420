/*
 * mayctl's side of the agent's protocol, against an agent that is hostile: what
 * it sends is bounded and judged, and nothing of it is believed unseen.
 */
#include "api/ctl/agent/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/proto.h"

static struct session session;
static int agent; /* the other end */

static const char *const argv[] = {"sh", "-c", "true", NULL};
static const char *const env[] = {"A=1", NULL};

static const struct session_plan plan = {
	.kind = SESSION_EXEC,
	.argv = argv,
	.env = env,
};

static int setup(void **state)
{
	int ends[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return -1;
	session_adopt(&session, ends[0]);
	agent = ends[1];
	return session_start(&session, &plan, NULL);
}

static int teardown(void **state)
{
	(void)state;
	session_fini(&session);
	close(agent);
	return 0;
}

static void say(uint8_t type, uint8_t stream, const void *bytes, size_t len)
{
	struct proto_frame f = {.type = type, .stream = stream};

	proto_put32(&f.length, (uint32_t)len);
	assert_int_equal(write(agent, &f, sizeof(f)), sizeof(f));
	if (len)
		assert_int_equal(write(agent, bytes, len), len);
}

static void say_hello(uint32_t version)
{
	struct proto_hello hello = {0};

	proto_put32(&hello.magic, PROTO_MAGIC);
	proto_put32(&hello.version, version);
	proto_put64(&hello.agent_us, 12);
	say(PROTO_HELLO, 0, &hello, sizeof(hello));
}

static void asks_in_one_go(void **state)
{
	uint8_t bytes[1024];
	struct proto_frame f;
	ssize_t n;

	(void)state;
	assert_int_equal(session_flush(&session), 0);
	n = read(agent, bytes, sizeof(bytes));
	memcpy(&f, bytes, sizeof(f));
	assert_int_equal(f.type, PROTO_HELLO);
	assert_int_equal(proto_get32(&f.length), sizeof(struct proto_hello));
	memcpy(&f, bytes + sizeof(f) + sizeof(struct proto_hello), sizeof(f));
	assert_int_equal(f.type, PROTO_EXEC);
	assert_int_equal((size_t)n, 2 * sizeof(f) + sizeof(struct proto_hello) +
					    proto_get32(&f.length));
}

static void takes_output_and_status(void **state)
{
	struct session_frame f;
	struct proto_exited exited = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(session_next(&session, &f, &e), -EAGAIN);
	say_hello(PROTO_VERSION);
	say(PROTO_STARTED, 0, &(struct proto_started){0},
	    sizeof(struct proto_started));
	say(PROTO_DATA, PROTO_STDERR, "oops", 4);
	proto_put32(&exited.status, 3);
	say(PROTO_EXITED, 0, &exited, sizeof(exited));
	assert_int_equal(session_next(&session, &f, &e), 0);
	assert_int_equal(f.event, SESSION_STARTED);
	assert_int_equal(session.agent_us, 12);
	assert_int_equal(session_next(&session, &f, &e), 0);
	assert_int_equal(f.event, SESSION_OUTPUT);
	assert_int_equal(f.stream, 2);
	assert_int_equal(f.len, 4);
	assert_memory_equal(f.bytes, "oops", 4);
	assert_int_equal(session_next(&session, &f, &e), 0);
	assert_int_equal(f.event, SESSION_EXITED);
	assert_int_equal(f.code, 3);
	close(agent);
	assert_int_equal(session_next(&session, &f, &e), -ECONNRESET);
}

static void takes_frames_byte_by_byte(void **state)
{
	const uint8_t frame[] = {1, 0, 0, 0, PROTO_DATA, 1, 0, 0, 'x'};
	struct session_frame f;
	size_t i;

	(void)state;
	say_hello(PROTO_VERSION);
	for (i = 0; i < sizeof(frame); i++) {
		assert_int_equal(session_next(&session, &f, NULL), -EAGAIN);
		assert_int_equal(write(agent, frame + i, 1), 1);
	}
	assert_int_equal(session_next(&session, &f, NULL), 0);
	assert_int_equal(f.bytes[0], 'x');
}

static void refuses_nonsense(void **state)
{
	const struct {
		uint8_t type, stream;
		size_t len;
	} cases[] = {
		{PROTO_RUN, 0, 0},    {0xff, 0, 0},
		{PROTO_DATA, 0, 1},   {PROTO_DATA, 3, 1},
		{PROTO_DATA, 255, 1}, {PROTO_CREDIT, 1, 4},
		{PROTO_CREDIT, 0, 3}, {PROTO_EXITED, 0, 7},
		{PROTO_ERROR, 0, 4},  {PROTO_HELLO, 0, 1},
		{PROTO_EXITED, 0, 8}, /* of a status of 0x61616161 */
		{PROTO_ERROR, 0, 64},
	};
	uint8_t bytes[64];
	unsigned i;

	memset(bytes, 'a', sizeof(bytes));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session_frame f;
		struct err e = {0};

		say_hello(PROTO_VERSION);
		say(cases[i].type, cases[i].stream, bytes, cases[i].len);
		if (session_next(&session, &f, &e) != -EPROTO)
			fail_msg("case %u was taken", i);
		assert_non_null(strstr(e.text, "nonsense"));
		teardown(state);
		setup(state);
	}
}

static void refuses_other_beginnings(void **state)
{
	struct session_frame f;
	struct err e = {0};

	say_hello(PROTO_VERSION + 1);
	assert_int_equal(session_next(&session, &f, &e), -EPROTO);
	assert_non_null(strstr(e.text, "another version"));
	teardown(state);
	setup(state);
	say(PROTO_DATA, 1, "x", 1);
	assert_int_equal(session_next(&session, &f, &e), -EPROTO);
}

static void refuses_lengths_it_has_no_room_for(void **state)
{
	const uint8_t frame[] = {0xff, 0xff, 0xff, 0xff, PROTO_DATA, 1, 0, 0};
	struct session_frame f;
	struct err e = {0};

	(void)state;
	say_hello(PROTO_VERSION);
	assert_int_equal(write(agent, frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(session_next(&session, &f, &e), -EPROTO);
}

/* However much room the agent says it has, ours is bounded. */
static void bounds_what_waits(void **state)
{
	static uint8_t bytes[64 << 10];
	struct proto_credit credit;
	struct session_frame f;
	size_t sent = 0, room;
	unsigned i;

	(void)state;
	say_hello(PROTO_VERSION);
	proto_put32(&credit.bytes, UINT32_MAX);
	for (i = 0; i < 100; i++)
		say(PROTO_CREDIT, PROTO_STDIN, &credit, sizeof(credit));
	assert_int_equal(session_next(&session, &f, NULL), -EAGAIN);
	while ((room = session_room(&session)) && sent < 10 * PROTO_WINDOW) {
		session_input(&session, bytes, room);
		sent += room;
	}
	assert_true(sent <= PROTO_WINDOW);
	assert_true(session.out_len <= SESSION_OUT_MAX);
}

static void makes_sentences_harmless(void **state)
{
	struct {
		struct proto_error error;
		struct proto_le32 len;
		char text[8];
	} said = {.text = "a\033[2Jb\r"};
	struct session_frame f;

	(void)state;
	say_hello(PROTO_VERSION);
	proto_put32(&said.error.status, 127);
	proto_put32(&said.error.error, 2);
	proto_put32(&said.len, 7);
	say(PROTO_ERROR, 0, &said, sizeof(said) - 1);
	assert_int_equal(session_next(&session, &f, NULL), 0);
	assert_int_equal(f.event, SESSION_FAILED);
	assert_int_equal(f.code, 127);
	assert_string_equal(f.text, "a?[2Jb?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asks_in_one_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(takes_output_and_status, setup,
						teardown),
		cmocka_unit_test_setup_teardown(takes_frames_byte_by_byte,
						setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_nonsense, setup,
						teardown),
		cmocka_unit_test_setup_teardown(refuses_other_beginnings, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			refuses_lengths_it_has_no_room_for, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_what_waits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(makes_sentences_harmless, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
