/*
 * The library is lenient where we are not: it is asked where a message's parts
 * are, and what stands in them is judged here. A message whose length two
 * readers could take for two things is refused, whoever sent it.
 */
#include "api/ctl/serve/message.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LAST_NONE, LAST_TARGET, LAST_NAME, LAST_VALUE };

/* ---- the head, as it comes ---------------------------------------------- */

static int refuse(struct message *m, int status)
{
	m->status = status;
	return -1;
}

static int put(struct message *m, const char *bytes, size_t len)
{
	if (len >= sizeof(m->text) - m->len)
		return refuse(m, 431);
	/* It would end what we take for a string. */
	if (memchr(bytes, 0, len))
		return refuse(m, 400);
	memcpy(m->text + m->len, bytes, len);
	m->len += len;
	m->text[m->len] = '\0';
	return 0;
}

/* What follows begins behind a NUL. Pointers are into text, which stays. */
static int begin(struct message *m, int what)
{
	if (m->last == what)
		return 0;
	if (m->last != LAST_NONE && ++m->len >= sizeof(m->text))
		return refuse(m, 431);
	m->last = what;
	m->text[m->len] = '\0';
	if (what == LAST_TARGET)
		m->target = m->text + m->len;
	if (what == LAST_NAME) {
		if (m->field_count == MESSAGE_FIELDS_MAX)
			return refuse(m, 431);
		m->fields[m->field_count++] =
			(struct message_field){m->text + m->len, ""};
	}
	if (what == LAST_VALUE)
		m->fields[m->field_count - 1].value = m->text + m->len;
	return 0;
}

static int took(struct http_parser *p, int what, const char *at, size_t len)
{
	struct message *m = p->data;

	/* Trailers say nothing that we would pass on. */
	if (m->stage != MESSAGE_HEAD)
		return 0;
	return begin(m, what) ? -1 : put(m, at, len);
}

static int on_url(struct http_parser *p, const char *at, size_t len)
{
	return took(p, LAST_TARGET, at, len);
}

static int on_name(struct http_parser *p, const char *at, size_t len)
{
	return took(p, LAST_NAME, at, len);
}

static int on_value(struct http_parser *p, const char *at, size_t len)
{
	return took(p, LAST_VALUE, at, len);
}

/* ---- the head, whole ---------------------------------------------------- */

/* RFC 9110, 5.6.2. */
static bool is_token(const char *text)
{
	const char *at = text;

	for (; *at; at++)
		if (!isalnum((unsigned char)*at) &&
		    !strchr("!#$%&'*+-.^_`|~", *at))
			return false;
	return at != text;
}

/* RFC 9110, 5.5: no control characters but a tab. */
static bool is_value(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') ||
		    *text == 127)
			return false;
	return true;
}

static bool is_target(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 127)
			return false;
	return true;
}

const char *message_find(const struct message *m, const char *name)
{
	unsigned i;

	for (i = 0; i < m->field_count; i++)
		if (!strcasecmp(m->fields[i].name, name))
			return m->fields[i].value;
	return NULL;
}

bool message_has_word(const char *list, const char *word)
{
	const size_t len = strlen(word);

	while (list && *list) {
		size_t n;

		list += strspn(list, " \t,");
		n = strcspn(list, " \t,");
		if (n == len && !strncasecmp(list, word, len))
			return true;
		list += n;
	}
	return false;
}

static unsigned count(const struct message *m, const char *name)
{
	unsigned i, n = 0;

	for (i = 0; i < m->field_count; i++)
		n += !strcasecmp(m->fields[i].name, name);
	return n;
}

static int judge_framing(struct message *m)
{
	const char *encoding = message_find(m, "Transfer-Encoding");
	const unsigned lengths = count(m, "Content-Length");

	m->has_length = lengths;
	m->is_chunked = encoding;
	if (lengths > 1 || count(m, "Transfer-Encoding") > 1 ||
	    (lengths && encoding))
		return refuse(m, 400);
	/* RFC 9112, 6.1: no other coding is known, and HTTP/1.0 has none. */
	if (encoding && strcasecmp(encoding, "chunked") != 0)
		return refuse(m, 501);
	return encoding && !m->parser.http_minor ? refuse(m, 400) : 0;
}

static int judge_request(struct message *m)
{
	const char *upgrade = message_find(m, "Upgrade");

	if (m->parser.method == HTTP_CONNECT || !m->target ||
	    *m->target != '/' || !is_target(m->target))
		return refuse(m, 400);
	/* RFC 9112, 3.2. */
	if (count(m, "Host") > 1 ||
	    (m->parser.http_minor && !message_find(m, "Host")))
		return refuse(m, 400);
	m->has_upgrade = m->parser.upgrade && upgrade &&
			 !strcasecmp(upgrade, "websocket") && !m->has_length &&
			 !m->is_chunked;
	m->parser.upgrade = m->has_upgrade;
	m->expects =
		m->parser.http_minor &&
		message_has_word(message_find(m, "Expect"), "100-continue");
	return 0;
}

static int judge(struct message *m)
{
	unsigned i;

	if (m->parser.http_major != 1 || m->parser.http_minor > 1)
		return refuse(m, 505);
	for (i = 0; i < m->field_count; i++)
		if (!is_token(m->fields[i].name) ||
		    !is_value(m->fields[i].value))
			return refuse(m, 400);
	if (judge_framing(m))
		return -1;
	m->is_kept_alive = http_should_keep_alive(&m->parser);
	return m->parser.type == HTTP_REQUEST ? judge_request(m) : 0;
}

bool message_is_bodiless(const struct message *m)
{
	const unsigned status = m->parser.status_code;

	return m->has_no_body || status < 200 || status == 204 || status == 304;
}

static int on_head(struct http_parser *p)
{
	struct message *m = p->data;

	if (judge(m))
		return -1;
	m->stage = MESSAGE_JUDGED;
	http_parser_pause(p, 1);
	/* What follows is none of it, or it would be taken for an answer. */
	return p->type == HTTP_RESPONSE && message_is_bodiless(m) ? 1 : 0;
}

/* ---- the body ----------------------------------------------------------- */

static int on_body(struct http_parser *p, const char *at, size_t len)
{
	struct message *m = p->data;
	char size[24];
	int n;

	m->body_bytes += len;
	if (!m->sink || !len)
		return 0;
	if (!m->is_sunk_chunked)
		return lane_put(m->sink, at, len) ? 0 : -1;
	n = snprintf(size, sizeof(size), "%zx\r\n", len);
	return lane_put(m->sink, size, (size_t)n) &&
			       lane_put(m->sink, at, len) &&
			       lane_put(m->sink, "\r\n", 2)
		       ? 0
		       : -1;
}

static int on_end(struct http_parser *p)
{
	struct message *m = p->data;

	m->stage = MESSAGE_DONE;
	http_parser_pause(p, 1);
	if (m->sink && m->is_sunk_chunked)
		return lane_put(m->sink, "0\r\n\r\n", 5) ? 0 : -1;
	return 0;
}

static const struct http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_message_complete = on_end,
};

/* ---- for the owner ------------------------------------------------------ */

void message_init(struct message *m, enum http_parser_type type)
{
	/* text is not looked at before it is written. */
	memset(m, 0, offsetof(struct message, text));
	m->len = 0;
	m->last = LAST_NONE;
	m->text[0] = '\0';
	http_parser_init(&m->parser, type);
	http_parser_set_max_header_size(MESSAGE_HEAD_MAX);
	m->parser.data = m;
}

/* The library does not like to be asked once it has refused. */
static bool resume(struct message *m)
{
	const enum http_errno why = HTTP_PARSER_ERRNO(&m->parser);

	if (why != HPE_OK && why != HPE_PAUSED)
		return false;
	http_parser_pause(&m->parser, 0);
	return true;
}

static bool is_empty_lines(const char *bytes, size_t len)
{
	while (len && (*bytes == '\r' || *bytes == '\n'))
		bytes++, len--;
	return !len;
}

ssize_t message_feed(struct message *m, const void *bytes, size_t len,
		     struct err *e)
{
	enum http_errno why;
	size_t n;

	if (m->stage == MESSAGE_JUDGED || m->stage == MESSAGE_DONE || !len)
		return 0;
	if (!resume(m))
		return err_set(e, -EPROTO, "it is not HTTP as it has to be");
	/* Empty lines may come before it (RFC 9112, 2.2). */
	m->has_begun = m->has_begun || !is_empty_lines(bytes, len);
	n = http_parser_execute(&m->parser, &settings, bytes, len);
	why = HTTP_PARSER_ERRNO(&m->parser);
	if (why == HPE_OK || why == HPE_PAUSED)
		return (ssize_t)n;
	if (why == HPE_HEADER_OVERFLOW)
		m->status = 431;
	if (!m->status)
		m->status = 400;
	return err_set(e, -EPROTO, "it is not HTTP as it has to be: %s",
		       http_errno_description(why));
}

size_t message_may_feed(const struct lane *from, const struct lane *to)
{
	const size_t room = lane_room(to);

	if (room <= MESSAGE_FRAMING_MAX)
		return 0;
	return from->len < room - MESSAGE_FRAMING_MAX
		       ? from->len
		       : room - MESSAGE_FRAMING_MAX;
}

void message_open(struct message *m, struct lane *sink, bool is_chunked)
{
	m->stage = MESSAGE_BODY;
	m->sink = sink;
	m->is_sunk_chunked = is_chunked;
}

int message_end(struct message *m, struct err *e)
{
	if (m->stage == MESSAGE_DONE)
		return 0;
	if (m->stage == MESSAGE_BODY && resume(m))
		(void)http_parser_execute(&m->parser, &settings, NULL, 0);
	return m->stage == MESSAGE_DONE
		       ? 0
		       : err_set(e, -EPROTO, "it ended in the middle");
}
