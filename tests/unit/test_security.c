/*
 * A container's walls on their way to the agent, as guest/proto_security.h has
 * them, and EXEC's part of them.
 */
#include "api/ctl/agent/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/proto_security.h"

static struct session session;
static int agent; /* the other end */
static uint8_t bytes[4096];
static const uint8_t *at, *end;

static const char *const argv[] = {"sh", NULL};

static const struct session_device devices[] = {
	{SESSION_CHAR, "/dev/fuse", 10, 229, 0660, 7, 8, true},
};
static const struct session_rule rules[] = {
	{SESSION_RULE_BLOCK, 7, SESSION_ANY, SESSION_READ | SESSION_MAKE, true},
};
static const struct session_security security = {
	.has_sets = true,
	.bounding = 1,
	.effective = 2,
	.permitted = 4,
	.inheritable = 8,
	.ambient = 16,
	.has_umask = true,
	.umask = 077,
	.has_score = true,
	.score = -5,
	.filter = "12345678",
	.filter_len = 8,
	.filter_flags = 2,
	.propagation = 3,
	.is_sys_writable = true,
	.has_nodes = true,
	.ipc = "main",
	.pid = "c1",
	.hidden = (const char *const[]){"/proc/kcore", NULL},
	.sysctls = (const char *const[]){"net/x", "1", NULL},
	.devices = devices,
	.device_count = 1,
	.rules = rules,
	.rule_count = 1,
};

static int setup(void **state)
{
	int ends[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return -1;
	session_adopt(&session, ends[0]);
	agent = ends[1];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	session_fini(&session);
	close(agent);
	return 0;
}

static uint32_t get_number(void)
{
	at += 4;
	return proto_get32((const struct proto_le32 *)(at - 4));
}

static uint64_t get_long(void)
{
	at += 8;
	return proto_get64((const struct proto_le64 *)(at - 8));
}

static void get_string(const char *want)
{
	assert_int_equal(get_number(), strlen(want));
	assert_memory_equal(at, want, strlen(want));
	at += strlen(want);
}

/* Sends it, and stands behind its process. */
static void ask(enum session_kind kind)
{
	const struct session_plan plan = {
		.kind = kind,
		.argv = argv,
		.security = &security,
		.is_another = true,
	};
	const uint32_t type = kind == SESSION_RUN ? PROTO_RUN : PROTO_EXEC;
	ssize_t n;

	assert_int_equal(session_start(&session, &plan, NULL), 0);
	assert_int_equal(session_flush(&session), 0);
	n = read(agent, bytes, sizeof(bytes));
	assert_true(n > 0);
	at = bytes;
	end = bytes + n;
	for (;;) {
		const struct proto_frame *f = (const struct proto_frame *)at;

		at += sizeof(*f);
		if (f->type == type)
			break;
		at += proto_get32(&f->length);
	}
	assert_int_equal(get_number() & PROTO_SECURITY, PROTO_SECURITY);
	get_number(); /* rows and columns */
	assert_int_equal(get_long(), 1);
	assert_int_equal(get_long(), 16);
	get_string("");
	get_string("");
	assert_int_equal(get_number(), 1);
	get_string("sh");
	assert_int_equal(get_number(), 0);
}

static void get_rights(void)
{
	assert_int_equal(get_number(),
			 PROTO_SECURITY_SETS | PROTO_SECURITY_UMASK |
				 PROTO_SECURITY_SCORE | PROTO_SECURITY_SYS |
				 PROTO_SECURITY_NODES);
	assert_int_equal(get_number(), 077);
	assert_int_equal((int32_t)get_number(), -5);
	assert_int_equal(get_long(), 2);
	assert_int_equal(get_long(), 4);
	assert_int_equal(get_long(), 8);
}

static void an_exec_has_its_rights(void **state)
{
	(void)state;
	ask(SESSION_EXEC);
	get_string("main");
	get_rights();
	assert_ptr_equal(at, end);
}

static void a_run_has_all_of_it(void **state)
{
	(void)state;
	ask(SESSION_RUN);
	at += sizeof(struct proto_run);
	get_string("main");
	get_string("");
	get_string("");
	for (int i = 0; i < 3; i++) /* mounts, limits, hosts */
		assert_int_equal(get_number(), 0);
	get_rights();
	assert_int_equal(get_number(), 2);
	assert_int_equal(get_number(), 3);
	get_string("12345678");
	get_string("main");
	get_string("");
	get_string("c1");
	assert_int_equal(get_number(), 1);
	get_string("/proc/kcore");
	assert_int_equal(get_number(), 0);
	assert_int_equal(get_number(), 2);
	get_string("net/x");
	get_string("1");
	assert_int_equal(get_number(), 1);
	assert_int_equal(get_number(), PROTO_DEVICE_CHAR);
	assert_int_equal(get_number(), 10);
	assert_int_equal(get_number(), 229);
	assert_int_equal(get_number(), 0660);
	assert_int_equal(get_number(), 7);
	assert_int_equal(get_number(), 8);
	assert_int_equal(get_number(), 1);
	get_string("/dev/fuse");
	assert_int_equal(get_number(), 1);
	assert_int_equal(get_number(), PROTO_DEVICE_BLOCK);
	assert_int_equal(get_number(), 7);
	assert_int_equal(get_number(), PROTO_ANY);
	assert_int_equal(get_number(), PROTO_READ | PROTO_MAKE);
	assert_int_equal(get_number(), 1);
	assert_ptr_equal(at, end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_exec_has_its_rights, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_run_has_all_of_it, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
