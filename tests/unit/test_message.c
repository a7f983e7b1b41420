/* HTTP as mayctl serve takes it and passes it on: heads, framing, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/ctl/serve/head.h"
#include "api/ctl/serve/message.h"

static struct message m;
static struct lane out;

/* Feeds text in pieces of step bytes up to the end; what is left is returned.
 */
static size_t feed(const char *text, size_t len, size_t step, bool is_chunked)
{
	size_t at = 0;

	while (at < len && m.stage != MESSAGE_DONE) {
		const size_t n = len - at < step ? len - at : step;
		const ssize_t used = message_feed(&m, text + at, n, NULL);

		if (used < 0)
			return SIZE_MAX;
		at += (size_t)used;
		if (m.stage == MESSAGE_JUDGED)
			message_open(&m, &out, is_chunked);
	}
	return len - at;
}

static size_t take(enum http_parser_type type, const char *text, size_t step,
		   bool is_chunked)
{
	message_init(&m, type);
	lane_take(&out, out.len);
	return feed(text, strlen(text), step, is_chunked);
}

static void assert_out(const char *want)
{
	assert_int_equal(out.len, strlen(want));
	assert_memory_equal(out.bytes + out.at, want, out.len);
}

static void a_request_is_read_in_any_pieces(void **state)
{
	static const char text[] =
		"POST /f/a?b HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n"
		"Content-Length: 5\r\n\r\nhelloGET";
	size_t step;

	(void)state;
	for (step = 1; step < sizeof(text); step++) {
		assert_int_equal(take(HTTP_REQUEST, text, step, false), 3);
		assert_string_equal(m.target, "/f/a?b");
		assert_string_equal(message_find(&m, "host"), "x");
		assert_string_equal(message_find(&m, "x-empty"), "");
		assert_null(message_find(&m, "x"));
		assert_out("hello");
		assert_int_equal(m.body_bytes, 5);
	}
}

static void chunks_are_made_anew(void **state)
{
	static const char text[] =
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		"\r\n003;a=b\r\nabc\r\n1\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n";

	(void)state;
	assert_int_equal(take(HTTP_REQUEST, text, 1000, true), 0);
	assert_out("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
	assert_null(message_find(&m, "X-Trailer"));
	assert_int_equal(take(HTTP_REQUEST, text, 1000, false), 0);
	assert_out("abcd");
}

static void framing_fits_what_was_fed(void **state)
{
	char text[4096] = "POST / HTTP/1.1\r\nHost: x\r\n"
			  "Transfer-Encoding: chunked\r\n\r\n";
	const size_t head = strlen(text);
	unsigned i;

	(void)state;
	for (i = 0; i < 500; i++)
		memcpy(text + head + 6 * i, "1\r\nx\r\n", 7);
	assert_int_equal(take(HTTP_REQUEST, text, sizeof(text), true), 0);
	assert_true(out.len <= strlen(text) - head + MESSAGE_FRAMING_MAX);
}

static void what_could_be_two_things_is_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
	} bad[] = {
		{"hello\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
		 "Content-Length: 1\r\n\r\nx",
		 400},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		 400},
		{"POST / HTTP/1.0\r\nHost: a\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		 400},
		{"POST / HTTP/1.1\r\nHost: a\r\n"
		 "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		 501},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
		 "99999999999999999999999\r\n\r\n",
		 400},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		 400},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(take(HTTP_REQUEST, bad[i].text, 1000, false),
				 SIZE_MAX);
		assert_int_equal(m.status, bad[i].status);
	}
}

static void heads_are_bounded(void **state)
{
	static char text[3 * MESSAGE_HEAD_MAX];
	size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	unsigned i;

	(void)state;
	memset(text + len, 'x', 2 * MESSAGE_HEAD_MAX);
	assert_int_equal(take(HTTP_REQUEST, text, 7, false), SIZE_MAX);
	assert_int_equal(m.status, 431);
	len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");
	for (i = 0; i <= MESSAGE_FIELDS_MAX; i++)
		len += (size_t)sprintf(text + len, "a: b\r\n");
	assert_int_equal(take(HTTP_REQUEST, text, 1000, false), SIZE_MAX);
	assert_int_equal(m.status, 431);
}

static void an_answer_may_end_with_its_connection(void **state)
{
	(void)state;
	assert_int_equal(
		take(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\n\r\nabc", 4, true), 0);
	assert_int_equal(m.stage, MESSAGE_BODY);
	assert_int_equal(message_end(&m, NULL), 0);
	assert_int_equal(m.stage, MESSAGE_DONE);
	take(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
	     100, false);
	assert_true(message_end(&m, NULL) < 0);
	take(HTTP_RESPONSE, "HTTP/1.1 200", 100, false);
	assert_true(message_end(&m, NULL) < 0);
}

/* RFC 9112, 6.3: a client would take what follows for its next answer. */
static void some_answers_end_with_their_head(void **state)
{
	static const char *const heads[] = {"100 Continue", "204 No Content",
					    "304 Not Modified"};
	static const char *const lengths[] = {
		"Content-Length: 5\r\n\r\nhello",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"\r\nhello"};
	char text[128];
	unsigned i, n;

	(void)state;
	for (i = 0; i < 3; i++)
		for (n = 0; n < 3; n++) {
			sprintf(text, "HTTP/1.1 %s\r\n%s", heads[i],
				lengths[n]);
			assert_true(take(HTTP_RESPONSE, text, 1000, false) > 0);
			assert_int_equal(m.stage, MESSAGE_DONE);
			assert_out("");
		}
	assert_int_equal(take(HTTP_RESPONSE,
			      "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
			      1000, false),
			 SIZE_MAX);
}

static void an_answer_without_body_has_no_length(void **state)
{
	const struct head_answer how = {.is_kept_alive = true};

	(void)state;
	take(HTTP_RESPONSE, "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", 1000,
	     false);
	assert_true(head_put_answer(&out, &m, &how));
	assert_out("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
	take(HTTP_RESPONSE, "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", 1000,
	     false);
	assert_true(head_put_answer(&out, &m, &how));
	assert_out("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n"
		   "Connection: keep-alive\r\n\r\n");
}

/* It is put again once there is room. */
static void half_a_head_is_not_put(void **state)
{
	static const char before[LANE_SIZE - 40];
	const struct head_answer how = {0};

	(void)state;
	take(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", 1000, false);
	assert_true(lane_put(&out, before, sizeof(before)));
	assert_false(head_put_answer(&out, &m, &how));
	assert_int_equal(out.len, sizeof(before));
	lane_take(&out, out.len);
	assert_true(head_put_answer(&out, &m, &how));
	assert_out("HTTP/1.1 200 OK\r\nX-A: b\r\nConnection: close\r\n\r\n");
}

static void empty_lines_begin_nothing(void **state)
{
	(void)state;
	take(HTTP_REQUEST, "\r\n\r\n", 1000, false);
	assert_false(m.has_begun);
	assert_int_equal(feed("\r\nG", 3, 1000, false), 0);
	assert_true(m.has_begun);
	message_init(&m, HTTP_REQUEST);
	assert_false(m.has_begun);
}

static void what_concerns_one_connection_stays(void **state)
{
	(void)state;
	take(HTTP_REQUEST,
	     "GET /f/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\n"
	     "X-Hop: secret\r\nTE: trailers\r\nX-Mine: b\r\n\r\n",
	     1000, false);
	lane_take(&out, out.len);
	assert_true(head_put_request(&out, &m, "/x", "10.0.0.1"));
	assert_out("GET /x HTTP/1.1\r\nHost: a\r\nX-Mine: b\r\n"
		   "X-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n");
}

static void a_lane_is_bounded(void **state)
{
	static char bytes[LANE_SIZE];

	(void)state;
	lane_take(&out, out.len);
	assert_true(lane_put(&out, bytes, LANE_SIZE - 1));
	assert_false(lane_put(&out, bytes, 2));
	lane_take(&out, 100);
	assert_true(lane_put(&out, bytes, 101));
	assert_int_equal(lane_room(&out), 0);
	lane_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read_in_any_pieces),
		cmocka_unit_test(chunks_are_made_anew),
		cmocka_unit_test(framing_fits_what_was_fed),
		cmocka_unit_test(what_could_be_two_things_is_refused),
		cmocka_unit_test(heads_are_bounded),
		cmocka_unit_test(an_answer_may_end_with_its_connection),
		cmocka_unit_test(some_answers_end_with_their_head),
		cmocka_unit_test(an_answer_without_body_has_no_length),
		cmocka_unit_test(half_a_head_is_not_put),
		cmocka_unit_test(empty_lines_begin_nothing),
		cmocka_unit_test(what_concerns_one_connection_stays),
		cmocka_unit_test(a_lane_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
