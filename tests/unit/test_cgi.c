/* A request as a program's environment. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/ctl/serve/cgi.h"

static struct message m;
static struct cgi cgi;

/* Of a head that the front would have let through. */
static int make(const char *head)
{
	struct cgi_caller who = {.function = "f", .peer = "192.0.2.1"};

	message_init(&m, HTTP_REQUEST);
	assert_true(message_feed(&m, head, strlen(head), NULL) > 0);
	assert_int_equal(m.stage, MESSAGE_JUDGED);
	who.path = m.target + 2;
	return cgi_make(&cgi, &m, &who);
}

/* The value of the one variable of that name; NULL for none. */
static const char *get(const char *name)
{
	const size_t len = strlen(name);
	const char *found = NULL;
	unsigned i;

	for (i = 0; cgi.env[i]; i++) {
		if (strncmp(cgi.env[i], name, len) != 0 ||
		    cgi.env[i][len] != '=')
			continue;
		assert_null(found);
		found = cgi.env[i] + len + 1;
	}
	assert_int_equal(i, cgi.count);
	return found;
}

static void a_request_is_told(void **state)
{
	(void)state;
	assert_int_equal(
		make("POST /f/a%20b%2Fc?x=%20 HTTP/1.1\r\nHost: h:1\r\n"
		     "Content-Type: a/b\r\nContent-Length: 5\r\n"
		     "Authorization: me\r\n\r\n"),
		0);
	assert_string_equal(get("GATEWAY_INTERFACE"), "CGI/1.1");
	assert_string_equal(get("SERVER_PROTOCOL"), "HTTP/1.1");
	assert_string_equal(get("REQUEST_METHOD"), "POST");
	assert_string_equal(get("REQUEST_URI"), "/f/a%20b%2Fc?x=%20");
	assert_string_equal(get("SCRIPT_NAME"), "/f");
	assert_string_equal(get("PATH_INFO"), "/a b/c");
	assert_string_equal(get("QUERY_STRING"), "x=%20");
	assert_string_equal(get("REMOTE_ADDR"), "192.0.2.1");
	assert_string_equal(get("CONTENT_TYPE"), "a/b");
	assert_string_equal(get("CONTENT_LENGTH"), "5");
	assert_string_equal(get("HTTP_HOST"), "h:1");
	assert_string_equal(get("HTTP_AUTHORIZATION"), "me");
	assert_null(get("HTTP_CONTENT_TYPE"));
	assert_null(get("HTTP_CONTENT_LENGTH"));
	assert_int_equal(make("GET /f HTTP/1.0\r\n\r\n"), 0);
	assert_string_equal(get("SERVER_PROTOCOL"), "HTTP/1.0");
	assert_string_equal(get("PATH_INFO"), "");
	assert_string_equal(get("QUERY_STRING"), "");
	assert_null(get("CONTENT_LENGTH"));
	assert_null(get("CONTENT_TYPE"));
}

static void several_of_a_name_are_one(void **state)
{
	(void)state;
	assert_int_equal(make("GET /f/ HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n"
			      "Cookie: a=1\r\nx-a: 2\r\nCookie: b=2\r\n\r\n"),
			 0);
	assert_string_equal(get("HTTP_X_A"), "1, 2");
	assert_string_equal(get("HTTP_COOKIE"), "a=1; b=2");
}

static void what_could_be_another_is_left_out(void **state)
{
	(void)state;
	assert_int_equal(
		make("GET /f/ HTTP/1.1\r\nHost: h\r\nProxy: evil\r\n"
		     "X_A: 1\r\nX.A: 2\r\nX-A: 3\r\nConnection: X-B\r\n"
		     "X-B: 4\r\nTE: trailers\r\nContent_Length: 9\r\n\r\n"),
		0);
	assert_null(get("HTTP_PROXY"));
	assert_string_equal(get("HTTP_X_A"), "3");
	assert_null(get("HTTP_X_B"));
	assert_null(get("HTTP_TE"));
	assert_null(get("HTTP_CONNECTION"));
	assert_null(get("HTTP_CONTENT_LENGTH"));
}

static void a_path_has_to_be_one(void **state)
{
	static const char *const bad[] = {"%",	 "%2",	"%zz",
					  "%00", "a%0", "%-1"};
	char head[100];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(head, sizeof(head),
			 "GET /f/%s?%%zz HTTP/1.1\r\nHost: h\r\n\r\n", bad[i]);
		assert_int_equal(make(head), -EINVAL);
	}
	assert_int_equal(make("GET /f/%7e?%zz HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
	assert_string_equal(get("PATH_INFO"), "/~");
	assert_string_equal(get("QUERY_STRING"), "%zz");
}

/* All that a head can hold: as many fields, and as long a target. */
static void the_longest_head_fits(void **state)
{
	static char head[MESSAGE_HEAD_MAX];
	size_t len;
	unsigned i;

	(void)state;
	len = (size_t)snprintf(head, sizeof(head),
			       "GET /f/?%08000d HTTP/1.1\r\nHost: h\r\n"
			       "Content-Type: %06000d\r\n"
			       "Content-Length: 1\r\n",
			       0, 0);
	for (i = 0; i < MESSAGE_FIELDS_MAX - 3; i++)
		len += (size_t)snprintf(head + len, sizeof(head) - len,
					"x%u: y\r\n", i);
	snprintf(head + len, sizeof(head) - len, "\r\n");
	assert_int_equal(make(head), 0);
	assert_true(cgi.len < sizeof(cgi.text) - 1);
	assert_true(cgi.count < CGI_VARS_MAX);
	assert_int_equal(strlen(get("QUERY_STRING")), 8000);
	assert_int_equal(strlen(get("CONTENT_TYPE")), 6000);
	assert_string_equal(get("HTTP_X96"), "y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_told),
		cmocka_unit_test(several_of_a_name_are_one),
		cmocka_unit_test(what_could_be_another_is_left_out),
		cmocka_unit_test(a_path_has_to_be_one),
		cmocka_unit_test(the_longest_head_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
