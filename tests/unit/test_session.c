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
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/proto.h"

static struct session session;
static int agent; /* the other end */

static const char *const argv[] = {"sh", "-c", "true", NULL};
static const char *const env[] = {"A=1", NULL};

static const struct session_plan plan = {
	.kind = SESSION_EXEC, .argv = argv, .env = env};

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

/* What the agent would read, one after the other. */
static const uint8_t *at;

static uint32_t get_number(void)
{
	const uint32_t n = proto_get32((const struct proto_le32 *)at);

	at += 4;
	return n;
}

static uint64_t get_long(void)
{
	const uint64_t n = proto_get64((const struct proto_le64 *)at);

	at += 8;
	return n;
}

static void get_string(const char *want)
{
	assert_int_equal(get_number(), strlen(want));
	assert_memory_equal(at, want, strlen(want));
	at += strlen(want);
}

static void get_list(const char *const *want)
{
	uint32_t n = get_number();

	for (; n; n--)
		get_string(*want++);
	assert_null(*want);
}

/* Its length. */
static size_t get_frame(uint8_t type)
{
	const struct proto_frame *f = (const struct proto_frame *)at;

	assert_int_equal(f->type, type);
	at += sizeof(*f);
	return proto_get32(&f->length);
}

static void get_configure(void)
{
	get_frame(PROTO_CONFIGURE);
	at += sizeof(struct proto_configure);
	get_string("box.example.com");
	get_string(SESSION_IMAGE_SERIAL);
	get_string(SESSION_UPPER_SERIAL);
	at += get_number(); /* entropy */
	assert_int_equal(get_number(), 0);
	get_list((const char *const[]){"192.0.2.1", "2001:db8::1", NULL});
	get_list((const char *const[]){"example.com", NULL});
	get_list((const char *const[]){"ndots:2", NULL});
}

static void get_mount(uint32_t flags, uint32_t mode, uint64_t bytes,
		      const char *serial, const char *target)
{
	assert_int_equal(get_number(), flags);
	assert_int_equal(get_number(), mode);
	assert_int_equal(get_long(), bytes);
	if (flags & PROTO_MOUNT_OWNER)
		assert_int_equal(get_long(), 8ull << 32);
	get_string(serial);
	get_string(target);
}

static void get_run(uint64_t capabilities)
{
	get_frame(PROTO_RUN);
	assert_int_equal(get_number(), PROTO_INIT | PROTO_IDLE |
					       PROTO_READ_ONLY |
					       PROTO_NO_NEW_PRIVS);
	get_number(); /* rows and columns */
	assert_int_equal(get_long(), capabilities);
	assert_int_equal(get_long(), 0);
	get_string("");
	get_string("");
	get_list(argv);
	get_list(env);
	assert_int_equal(get_number(), 15);
	assert_int_equal(get_number(), 0);
	assert_int_equal(get_long(), 4096);
	get_string("main");
	get_string("");
	get_string("box.example.com");
	assert_int_equal(get_number(), 3);
	get_mount(PROTO_MOUNT_READ_ONLY, 0, 0, "volume4", "/disk");
	get_mount(PROTO_MOUNT_NO_EXEC | PROTO_MOUNT_NO_SUID | PROTO_MOUNT_OWNER,
		  0700, 1 << 20, "", "/tmp");
	get_mount(PROTO_MOUNT_READ_ONLY | PROTO_MOUNT_FILE, 0, 0, "2", "/f");
	assert_int_equal(get_number(), 1);
	assert_int_equal(get_number(), 7);
	assert_int_equal(get_long(), 10);
	assert_int_equal(get_long(), UINT64_MAX);
	get_list((const char *const[]){"192.0.2.9 db", NULL});
}

/* One file, in pieces. */
static void get_files(size_t left)
{
	for (; left; left -= left > 3 ? PROTO_FILE_MAX : 3) {
		get_frame(PROTO_FILE);
		assert_int_equal(get_number(), 0640);
		assert_int_equal(get_number(), 5);
		assert_int_equal(get_number(), 6);
		get_string("2");
		assert_int_equal(get_number(), left > 3 ? PROTO_FILE_MAX : 3);
		at += left > 3 ? PROTO_FILE_MAX : 3;
	}
}

/* What the session sends, to its end. */
static size_t read_all(uint8_t *bytes, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int sent;

	do {
		sent = session_flush(&session);
		n = recv(agent, bytes + len, size - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	} while (sent || n > 0);
	return len;
}

/* All that a RUN can say, a file of two pieces before it. */
static void runs_with_all_there_is(void **state)
{
	static uint8_t bytes[1 << 20], file[PROTO_FILE_MAX + 3];
	struct session_plan full = {
		.kind = SESSION_RUN,
		.hostname = "box.example.com",
		.argv = argv,
		.env = env,
		.stop_signal = 15,
		.mounts = {{.volume = 4,
			    .target = "/disk",
			    .is_read_only = true},
			   {.kind = SESSION_TMPFS,
			    .target = "/tmp",
			    .is_no_exec = true,
			    .is_no_suid = true,
			    .mode = 0700,
			    .gid = 8,
			    .tmp_bytes = 1 << 20},
			   {.kind = SESSION_FILE,
			    .target = "/f",
			    .is_read_only = true,
			    .mode = 0640,
			    .uid = 5,
			    .gid = 6,
			    .bytes = file,
			    .len = sizeof(file)}},
		.mount_count = 3,
		.dns = (const char *const[]){"192.0.2.1", "2001:db8::1", NULL},
		.search = (const char *const[]){"example.com", NULL},
		.dns_options = (const char *const[]){"ndots:2", NULL},
		.hosts = (const char *const[]){"192.0.2.9 db", NULL},
		.limits = {{.resource = 7, .soft = 10, .hard = UINT64_MAX}},
		.limit_count = 1,
		.cap_add = 1ull << 21,
		.cap_drop = UINT64_MAX,
		.shm_bytes = 4096,
		.has_init = true,
		.is_idle = true,
		.is_read_only = true,
		.has_upper = true,
		.has_no_new_privs = true,
	};
	size_t len;

	(void)state;
	assert_int_equal(session_flush(&session), 0);
	assert_true(read(agent, bytes, sizeof(bytes)) > 0);
	memset(file, 'x', sizeof(file));
	assert_int_equal(session_start(&session, &full, NULL), 0);
	len = read_all(bytes, sizeof(bytes));
	at = bytes;
	at += get_frame(PROTO_HELLO);
	get_configure();
	get_files(sizeof(file));
	get_run(1ull << 21);
	assert_ptr_equal(at, bytes + len);
	assert_int_equal(session.done_due, 3);
}

/* ALL added, and ALL but one. Others are what docker gives. */
static void counts_capabilities(void **state)
{
	struct session_plan p = plan;
	uint8_t bytes[2048];
	const uint64_t usual = 0xa80425fb;
	const uint64_t all = UINT64_MAX;
	const uint64_t cases[][3] = {
		{0, 0, usual},	       {1 << 12, 1, (usual & ~1ull) | 1 << 12},
		{0, all, 0},	       {all, 0, all},
		{all, 2, all & ~2ull}, {4, all, 4},
	};

	(void)state;
	p.kind = SESSION_RUN;
	p.stop_signal = 15;
	assert_int_equal(session_flush(&session), 0);
	assert_true(read(agent, bytes, sizeof(bytes)) > 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct proto_process *process;

		p.cap_add = cases[i][0];
		p.cap_drop = cases[i][1];
		assert_int_equal(session_start(&session, &p, NULL), 0);
		assert_int_equal(session_flush(&session), 0);
		assert_true(read(agent, bytes, sizeof(bytes)) > 0);
		at = bytes;
		at += get_frame(PROTO_HELLO);
		at += get_frame(PROTO_CONFIGURE);
		get_frame(PROTO_RUN);
		process = (const struct proto_process *)at;
		assert_int_equal(proto_get64(&process->capabilities),
				 cases[i][2]);
	}
}

static void execs_for_nobody_to_wait(void **state)
{
	const struct proto_process *process;
	struct session_plan p = plan;
	uint8_t bytes[2048];

	(void)state;
	p.kind = SESSION_EXEC;
	p.is_kept = p.is_detached = true;
	assert_int_equal(session_flush(&session), 0);
	assert_true(read(agent, bytes, sizeof(bytes)) > 0);
	assert_int_equal(session_start(&session, &p, NULL), 0);
	assert_int_equal(session_flush(&session), 0);
	assert_true(read(agent, bytes, sizeof(bytes)) > 0);
	at = bytes;
	at += get_frame(PROTO_HELLO);
	get_frame(PROTO_EXEC);
	process = (const struct proto_process *)at;
	assert_int_equal(proto_get32(&process->flags) &
				 (PROTO_KEEP | PROTO_DETACH),
			 PROTO_KEEP | PROTO_DETACH);
}

static void refuses_too_many_files(void **state)
{
	struct session_plan p = plan;
	struct err e = {0};

	(void)state;
	p.kind = SESSION_RUN;
	p.mount_count = 2;
	for (int i = 0; i < 2; i++)
		p.mounts[i] = (struct session_mount){
			.kind = SESSION_FILE,
			.target = "/f",
			.len = PROTO_FILES_MAX / 2,
		};
	assert_int_equal(session_start(&session, &p, &e), -E2BIG);
	assert_non_null(strstr(e.text, "give their directory"));
}

static void say_progress(uint64_t written, uint64_t left)
{
	struct proto_progress p;

	proto_put64(&p.written, written);
	proto_put64(&p.left, left);
	say(PROTO_PROGRESS, 0, &p, sizeof(p));
}

/* Whoever says the same again makes none. */
static void counts_progress(void **state)
{
	static const struct {
		uint64_t written, left, moves;
	} said[] = {{10, 100, 1}, {10, 100, 1}, {11, 100, 2}, {11, 99, 3},
		    {5, 200, 3},  {5, 200, 3},	{6, 300, 4}};
	struct session_frame f;
	struct err e = {0};

	(void)state;
	say_hello(PROTO_VERSION);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		say_progress(said[i].written, said[i].left);
		assert_int_equal(session_next(&session, &f, &e), -EAGAIN);
		assert_int_equal(session.moves, said[i].moves);
	}
	assert_int_equal(session.written, 6);
	assert_int_equal(session.left, 300);
	/* And does not make one wait. */
	for (int i = 0; i < 10; i++)
		say_progress(6, 300);
	assert_int_equal(session_await(&session, &f, 50, &e), -ETIMEDOUT);
	say(PROTO_PROGRESS, 0, "short", 5);
	assert_int_equal(session_next(&session, &f, &e), -EPROTO);
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
		char text[9];
	} said = {.text = "a\033[2J\xc2\x9b\r"};
	struct session_frame f;

	(void)state;
	say_hello(PROTO_VERSION);
	proto_put32(&said.error.status, 127);
	proto_put32(&said.error.error, 2);
	proto_put32(&said.len, 8);
	say(PROTO_ERROR, 0, &said, sizeof(said) - 1);
	assert_int_equal(session_next(&session, &f, NULL), 0);
	assert_int_equal(f.event, SESSION_FAILED);
	assert_int_equal(f.code, 127);
	assert_string_equal(f.text, "a\\x1b[2J\\xc2\\x9b\\x0d");
}

/* One more than may wait for a monitor that takes none. */
static void dials_and_does_not_wait(void **state)
{
	struct sockaddr_un here = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct session s[9];
	int n, rc = 0;

	(void)state;
	snprintf(here.sun_path, sizeof(here.sun_path), "/tmp/mayfly-session-%d",
		 getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(fd, 3), 0);
	alarm(20);
	for (n = 0; n < 9 && !rc; n++)
		rc = session_dial(&s[n], here.sun_path, NULL);
	alarm(0);
	assert_int_equal(rc, -EAGAIN);
	while (n--)
		session_fini(&s[n]);
	unlink(here.sun_path);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asks_in_one_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(runs_with_all_there_is, setup,
						teardown),
		cmocka_unit_test_setup_teardown(counts_capabilities, setup,
						teardown),
		cmocka_unit_test_setup_teardown(execs_for_nobody_to_wait, setup,
						teardown),
		cmocka_unit_test_setup_teardown(refuses_too_many_files, setup,
						teardown),
		cmocka_unit_test_setup_teardown(counts_progress, setup,
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
		cmocka_unit_test(dials_and_does_not_wait),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
