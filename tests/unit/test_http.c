/*
 * The HTTP parser: every request is fed at once, byte by byte and in odd
 * pieces, and the outcome must be the same.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/http.h"

enum { BODY_MAX = 100, BUFFER = 65536 };

/* A run over one stream of bytes: what came out, as text. */
struct run {
	char out[BUFFER];
	size_t out_len;
	enum http_result last;
	uint64_t declared;
	unsigned continues;
	struct err e;
};

static void note(struct run *r, const struct http_request *q)
{
	int n = snprintf(r->out + r->out_len, sizeof(r->out) - r->out_len,
			 "%s %s %d %zu:%.*s\n", q->method, q->path,
			 q->keep_alive, q->body_len, (int)q->body_len, q->body);

	r->out_len += (size_t)n;
	assert_true(r->out_len < sizeof(r->out));
}

/*
 * Feeds as a connection does: the buffer starts with the request, is moved
 * before every call, and never holds more than the parser asks room for.
 */
static void feed(struct run *r, const char *bytes, size_t len, size_t piece)
{
	struct http_parser p;
	char *buf = NULL;
	size_t have = 0, at = 0;

	memset(r, 0, sizeof(*r));
	http_parser_init(&p, BODY_MAX);
	for (;;) {
		size_t room = http_parser_room(&p), n = len - at;
		char *moved;

		if (have) {
			r->last = http_parse(&p, buf, &have, &r->e);
			if (r->last == HTTP_DONE) {
				size_t used = http_parser_used(&p);

				note(r, &p.request);
				assert_true(used <= have);
				have -= used;
				memmove(buf, buf + used, have);
				http_parser_init(&p, BODY_MAX);
				continue;
			}
			if (r->last != HTTP_MORE) {
				r->declared = p.declared;
				break;
			}
			r->continues += p.wants_continue;
			p.wants_continue = false;
			room = http_parser_room(&p);
			assert_true(have < room);
		} else {
			r->last = HTTP_MORE;
		}
		if (n > piece)
			n = piece;
		if (n > room - have)
			n = room - have;
		if (!n)
			break;
		/* Exactly as large as it must be, so that asan sees overruns.
		 */
		moved = malloc(have + n);
		assert_non_null(moved);
		if (have)
			memcpy(moved, buf, have);
		memcpy(moved + have, bytes + at, n);
		free(buf);
		buf = moved;
		have += n;
		at += n;
	}
	free(buf);
}

static void feed_all_ways(struct run *r, const char *bytes, size_t len)
{
	static const size_t pieces[] = {1, 2, 3, 7, 64, 1000};
	static struct run other;
	unsigned i;

	feed(r, bytes, len, BUFFER);
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		feed(&other, bytes, len, pieces[i]);
		assert_int_equal(other.last, r->last);
		assert_string_equal(other.out, r->out);
		assert_string_equal(other.e.text, r->e.text);
		assert_true(other.declared == r->declared);
	}
}

static struct run run;

static void expect(const char *bytes, const char *out)
{
	feed_all_ways(&run, bytes, strlen(bytes));
	assert_string_equal(run.out, out);
	assert_int_equal(run.last, HTTP_MORE);
}

static void expect_bad(const char *bytes, const char *words)
{
	feed_all_ways(&run, bytes, strlen(bytes));
	if (run.last != HTTP_BAD || !strstr(run.e.text, words))
		fail_msg("%s\n  gave %d: %s\n  not: %s", bytes, run.last,
			 run.e.text, words);
}

static void simple_requests_pass(void **state)
{
	(void)state;
	expect("GET / HTTP/1.1\r\n\r\n", "GET / 1 0:\n");
	expect("PUT /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
	       "PUT /a 1 2:{}\n");
	expect("PUT /a HTTP/1.1\r\ncontent-LENGTH:2 \t\r\nX: y\r\n\r\n{}",
	       "PUT /a 1 2:{}\n");
	expect("POST /a?b=c%20 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
	       "POST /a?b=c%20 1 0:\n");
	expect("GET http://localhost/vm/config HTTP/1.1\r\nHost: x\r\n\r\n",
	       "GET /vm/config 1 0:\n");
	expect("\r\nGET / HTTP/1.1\r\nA:\r\nB: \xc3\xa4\r\n\r\n",
	       "GET / 1 0:\n");
}

static void an_unfinished_request_waits(void **state)
{
	(void)state;
	expect("", "");
	expect("GET / HT", "");
	expect("GET / HTTP/1.1\r\nA: b\r\n", "");
	expect("PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}", "");
	expect("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
	       "");
	expect("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "");
}

static void pipelined_requests_come_one_by_one(void **state)
{
	(void)state;
	expect("GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 1\r\n"
	       "\r\nxGET /3 HTTP/1.1\r\n\r\nPUT /4 HTTP/1.1\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\n"
	       "GET /5 HTTP/1.1\r\n\r\nGET",
	       "GET /1 1 0:\nPUT /2 1 1:x\nGET /3 1 0:\nPUT /4 1 1:y\n"
	       "GET /5 1 0:\n");
}

static void chunks_are_joined(void **state)
{
	(void)state;
	expect("PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
	       "5\r\nhello\r\n1;ext=\"v\"\r\n \r\n00A \r\n0123456789\r\n"
	       "0\r\nTrailer: x\r\n\r\n",
	       "PUT / 1 16:hello 0123456789\n");
	expect("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	       "PUT / 1 0:\n");
	/* A trailer can't say where the request ends. */
	expect("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
	       "Content-Length: 7\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	       "PUT / 1 0:\nGET / 1 0:\n");
}

static void broken_chunks_are_refused(void **state)
{
	static const char *const bodies[] = {
		"x\r\n",
		"\r\n",
		"-1\r\n",
		"0x1\r\na\r\n",
		"1\r\nab\r\n",
		"1\r\na\n0\r\n",
		"1\na\r\n",
		"1\r\na\rb",
		"10000000000000000\r\n",
		"1 \x01\r\na\r\n",
		"0\r\nno colon\r\n\r\n",
		"0\r\n folded: x\r\n\r\n",
		"0\r\nA: b\n\r\n",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text),
			 "PUT / HTTP/1.1\r\nTransfer-Encoding: "
			 "chunked\r\n\r\n%s",
			 bodies[i]);
		expect_bad(text, "Malformed HTTP request");
	}
}

static void broken_request_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"/ HTTP/1.1",
		"GET /",
		"GET  / HTTP/1.1",
		"GET / HTTP/1.1 ",
		"GET /  HTTP/1.1",
		" GET / HTTP/1.1",
		"GET\t/ HTTP/1.1",
		"G\x01T / HTTP/1.1",
		"G(T / HTTP/1.1",
		"GET x HTTP/1.1",
		"GET * HTTP/1.1",
		"GET /\x7f HTTP/1.1",
		"GET /\xc3\xa4 HTTP/1.1",
		"GET /a\rb HTTP/1.1",
		"GET / HTTP/2.0",
		"GET / HTTP/1.2",
		"GET / http/1.1",
		"GET / HTTP/1.",
		"GET / HTTP/1.10",
		"GET",
		"GET http://host HTTP/1.1",
		"GET ftp://host/ HTTP/1.1",
		"CONNECT host:1 HTTP/1.1",
		"\r\n",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text), "%s\r\n\r\n", lines[i]);
		expect_bad(text, "Malformed HTTP request");
	}
}

static void broken_headers_are_refused(void **state)
{
	static const struct {
		const char *headers;
		const char *words;
	} cases[] = {
		{"A: b\r\n c\r\n", "folded"},
		{"\tA: b\r\n", "folded"},
		{"A : b\r\n", "a name, a colon"},
		{": b\r\n", "a name, a colon"},
		{"A\r\n", "a name, a colon"},
		{"A\x80: b\r\n", "a name, a colon"},
		{"A: b\x01\r\n", "control character"},
		{"A: b\rc\r\n", "control character"},
		{"A: b\n", "CR and LF"},
		{"A: b\r\n\n", "CR and LF"},
		{"Content-Length: 1\r\nContent-Length: 1\r\n", "two Content"},
		{"Content-Length: 1, 1\r\n", "not a number"},
		{"Content-Length: +1\r\n", "not a number"},
		{"Content-Length: -1\r\n", "not a number"},
		{"Content-Length: 0x1\r\n", "not a number"},
		{"Content-Length:\r\n", "not a length"},
		{"Content-Length: 1000000000000000000\r\n", "not a length"},
		{"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
		 "Content-Length and Transfer-Encoding"},
		{"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
		 "Content-Length and Transfer-Encoding"},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: "
		 "chunked\r\n",
		 "two Transfer"},
		{"Transfer-Encoding: gzip, chunked\r\n", "only Transfer"},
		{"Transfer-Encoding: identity\r\n", "only Transfer"},
		{"Expect: 200-maybe\r\n", "only Expect"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\n%s\r\n",
			 cases[i].headers);
		expect_bad(text, cases[i].words);
	}
	expect_bad("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		   "HTTP/1.0");
	expect_bad("GET / HTTP/1.1\n\n", "CR and LF");
}

static void a_nul_is_refused(void **state)
{
	static const char text[] = "GET /\0 HTTP/1.1\r\n\r\n";
	static const char header[] = "GET / HTTP/1.1\r\nA: \0\r\n\r\n";

	(void)state;
	feed_all_ways(&run, text, sizeof(text) - 1);
	assert_int_equal(run.last, HTTP_BAD);
	feed_all_ways(&run, header, sizeof(header) - 1);
	assert_int_equal(run.last, HTTP_BAD);
}

/* A request whose head has exactly len bytes. */
static char *head_of(size_t len)
{
	static const char start[] = "GET / HTTP/1.1\r\nA: ";
	char *text = malloc(len + 1);

	memset(text, 'a', len);
	memcpy(text, start, sizeof(start) - 1);
	memcpy(text + len - 4, "\r\n\r\n", 5);
	return text;
}

static void heads_end_at_8_kib(void **state)
{
	char *text = head_of(HTTP_HEAD_MAX);

	(void)state;
	expect(text, "GET / 1 0:\n");
	free(text);
	text = head_of(HTTP_HEAD_MAX + 1);
	expect_bad(text, "longer than 8192");
	free(text);
	text = malloc(20001);
	memset(text, 'A', 20000);
	text[20000] = '\0';
	expect_bad(text, "longer than 8192");
	/* Many short lines count together. */
	memcpy(text, "GET / HTTP/1.1\r\n", 16);
	for (size_t i = 16; i + 6 < 20000; i += 6)
		memcpy(text + i, "A: b\r\n", 6);
	expect_bad(text, "longer than 8192");
	free(text);
}

static void endless_chunk_lines_and_trailers_end(void **state)
{
	static const char head[] =
		"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
	char *text = malloc(20001);
	size_t at = sizeof(head) - 1;

	(void)state;
	memset(text, ' ', 20000);
	text[20000] = '\0';
	memcpy(text, head, at);
	text[at] = '1';
	expect_bad(text, "chunk's line");
	memcpy(text + at, "0\r\n", 3);
	for (size_t i = at + 3; i + 6 < 20000; i += 6)
		memcpy(text + i, "A: b\r\n", 6);
	expect_bad(text, "longer than 8192");
	free(text);
}

static void bodies_end_at_the_limit(void **state)
{
	char text[512];

	(void)state;
	snprintf(text, sizeof(text),
		 "PUT / HTTP/1.1\r\nContent-Length: 100\r\n\r\n%0100d", 0);
	feed_all_ways(&run, text, strlen(text));
	assert_int_equal(run.last, HTTP_MORE);
	assert_int_equal(run.out_len, strlen("PUT / 1 100:\n") + 100);
	snprintf(text, sizeof(text),
		 "PUT / HTTP/1.1\r\nContent-Length: 101\r\n\r\n");
	feed_all_ways(&run, text, strlen(text));
	assert_int_equal(run.last, HTTP_TOO_LARGE);
	assert_true(run.declared == 101);
	assert_string_equal(run.e.text,
			    "Request payload with size 101 is larger than the "
			    "limit of 100 allowed by server.");
	snprintf(text, sizeof(text),
		 "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "32\r\n%050d\r\n33\r\n",
		 0);
	feed_all_ways(&run, text, strlen(text));
	assert_int_equal(run.last, HTTP_TOO_LARGE);
	assert_true(run.declared == 101);
	snprintf(text, sizeof(text),
		 "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "fffffffffffffff\r\n");
	feed_all_ways(&run, text, strlen(text));
	assert_int_equal(run.last, HTTP_TOO_LARGE);
}

static void connections_stay_or_close(void **state)
{
	(void)state;
	expect("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET / 0 0:\n");
	expect("GET / HTTP/1.1\r\nConnection: te , Close\r\n\r\n",
	       "GET / 0 0:\n");
	expect("GET / HTTP/1.1\r\nConnection: closed\r\n\r\n", "GET / 1 0:\n");
	expect("GET / HTTP/1.0\r\n\r\n", "GET / 0 0:\n");
	expect("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
	       "GET / 1 0:\n");
	expect("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
	       "GET / 0 0:\n");
}

static void a_continue_is_asked_for_once(void **state)
{
	static const char head[] = "PUT / HTTP/1.1\r\nContent-Length: 2\r\n"
				   "Expect: 100-continue\r\n\r\n";
	char whole[128];

	(void)state;
	feed(&run, head, sizeof(head) - 1, BUFFER);
	assert_int_equal(run.continues, 1);
	snprintf(whole, sizeof(whole), "%s{}", head);
	feed(&run, whole, strlen(whole), 1);
	assert_int_equal(run.continues, 1);
	assert_string_equal(run.out, "PUT / 1 2:{}\n");
	/* Not where the body is there already, and not for HTTP/1.0. */
	feed(&run, whole, strlen(whole), BUFFER);
	assert_int_equal(run.continues, 0);
	memcpy(whole + 12, "0", 1);
	whole[sizeof(head) - 1] = '\0';
	memcpy(whole, "PUT / HTTP/1.0", 14);
	feed(&run, whole, strlen(whole), BUFFER);
	assert_int_equal(run.continues, 0);
}

static void responses_have_the_known_form(void **state)
{
	char head[HTTP_RESPONSE_HEAD_MAX];

	(void)state;
	head[http_response_head(
		head, &(struct http_head){.status = 400,
					  .body_len = 17,
					  .is_deprecated = false,
					  .keep_alive = true})] = '\0';
	assert_string_equal(head, "HTTP/1.1 400 \r\n"
				  "Server: Firecracker API\r\n"
				  "Connection: keep-alive\r\n"
				  "Content-Type: application/json\r\n"
				  "Content-Length: 17\r\n\r\n");
	head[http_response_head(
		head, &(struct http_head){.status = 204,
					  .body_len = 0,
					  .is_deprecated = false,
					  .keep_alive = true})] = '\0';
	assert_string_equal(head, "HTTP/1.1 204 \r\n"
				  "Server: Firecracker API\r\n"
				  "Connection: keep-alive\r\n\r\n");
	head[http_response_head(
		head, &(struct http_head){.status = 204,
					  .body_len = 0,
					  .is_deprecated = true,
					  .keep_alive = false})] = '\0';
	assert_string_equal(head, "HTTP/1.1 204 \r\n"
				  "Server: Firecracker API\r\n"
				  "Connection: close\r\n"
				  "Deprecation: true\r\n\r\n");
	assert_true(http_response_head(
			    head, &(struct http_head){.status = 400,
						      .body_len = SIZE_MAX,
						      .is_deprecated = true,
						      .keep_alive = true}) <
		    HTTP_RESPONSE_HEAD_MAX - 1);
}

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* Mangled streams come out the same however they are cut. */
static void mutations_read_the_same_in_any_pieces(void **state)
{
	static const char seed[] =
		"PUT /drives/a HTTP/1.1\r\nContent-Length: 5\r\nExpect: "
		"100-continue\r\n\r\nhelloPUT http://h/b HTTP/1.1\r\n"
		"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1e\r\n"
		"0123456789012345678901234567ab\r\n0\r\nT: x\r\n\r\n"
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
	static const char salt[] = "\r\n: ;0159afAF\t/.HTCE-,x";
	static struct run other;
	uint32_t x = 88172645U;
	unsigned done = 0, bad = 0;
	int round;

	(void)state;
	for (round = 0; round < 50000; round++) {
		char text[sizeof(seed)];
		uint32_t n = random_next(&x) % 3 + 1;
		size_t len = sizeof(seed) - 1;

		memcpy(text, seed, sizeof(seed));
		while (n--) {
			size_t at = random_next(&x) % len;

			if (random_next(&x) % 4 == 0) {
				memmove(text + at, text + at + 1, len - at - 1);
				len--;
			} else if (random_next(&x) % 4 == 0) {
				text[at] = (char)random_next(&x);
			} else {
				text[at] = salt[random_next(&x) %
						(sizeof(salt) - 1)];
			}
		}
		feed(&run, text, len, BUFFER);
		feed(&other, text, len, random_next(&x) % 9 + 1);
		assert_int_equal(other.last, run.last);
		assert_string_equal(other.out, run.out);
		assert_string_equal(other.e.text, run.e.text);
		done += run.last == HTTP_MORE;
		bad += run.last == HTTP_BAD;
	}
	assert_true(done > 1000);
	assert_true(bad > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(simple_requests_pass),
		cmocka_unit_test(an_unfinished_request_waits),
		cmocka_unit_test(pipelined_requests_come_one_by_one),
		cmocka_unit_test(chunks_are_joined),
		cmocka_unit_test(broken_chunks_are_refused),
		cmocka_unit_test(broken_request_lines_are_refused),
		cmocka_unit_test(broken_headers_are_refused),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(heads_end_at_8_kib),
		cmocka_unit_test(endless_chunk_lines_and_trailers_end),
		cmocka_unit_test(bodies_end_at_the_limit),
		cmocka_unit_test(connections_stay_or_close),
		cmocka_unit_test(a_continue_is_asked_for_once),
		cmocka_unit_test(responses_have_the_known_form),
		cmocka_unit_test(mutations_read_the_same_in_any_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
