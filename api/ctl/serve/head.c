#include "api/ctl/serve/head.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *head_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
#define ROW(number, name, text) {number, #text},
		HTTP_STATUS_MAP(ROW)
#undef ROW
	};
	unsigned i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

static bool put_text(struct lane *out, const char *text)
{
	return lane_put(out, text, strlen(text));
}

bool head_is_dropped(const struct message *m, const char *name)
{
	static const char *const own[] = {
		"Connection",
		"Keep-Alive",
		"Proxy-Connection",
		"Proxy-Authenticate",
		"Proxy-Authorization",
		"TE",
		"Trailer",
		"Transfer-Encoding",
		"Upgrade",
		"Expect",
		"Content-Length",
	};
	unsigned i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcasecmp(own[i], name))
			return true;
	for (i = 0; i < m->field_count; i++)
		if (!strcasecmp(m->fields[i].name, "Connection") &&
		    message_has_word(m->fields[i].value, name))
			return true;
	return false;
}

static bool put_fields(struct lane *out, const struct message *m)
{
	bool is_put = true;
	unsigned i;

	for (i = 0; i < m->field_count && is_put; i++) {
		const struct message_field *f = &m->fields[i];

		if (head_is_dropped(m, f->name))
			continue;
		is_put = put_text(out, f->name) && put_text(out, ": ") &&
			 put_text(out, f->value) && put_text(out, "\r\n");
	}
	return is_put;
}

static bool put_length(struct lane *out, const struct message *m)
{
	const char *length = message_find(m, "Content-Length");

	/* RFC 9110, 8.6; of HEAD and 304 it tells what else would have come. */
	if (m->parser.type == HTTP_RESPONSE &&
	    (m->parser.status_code < 200 || m->parser.status_code == 204))
		return true;
	return !length || (put_text(out, "Content-Length: ") &&
			   put_text(out, length) && put_text(out, "\r\n"));
}

bool head_put_request(struct lane *out, const struct message *m,
		      const char *path, const char *peer)
{
	return put_text(out, http_method_str(m->parser.method)) &&
	       put_text(out, " ") && put_text(out, path) &&
	       put_text(out, " HTTP/1.1\r\n") && put_fields(out, m) &&
	       put_length(out, m) &&
	       (!m->is_chunked ||
		put_text(out, "Transfer-Encoding: chunked\r\n")) &&
	       (!*peer || (put_text(out, "X-Forwarded-For: ") &&
			   put_text(out, peer) && put_text(out, "\r\n"))) &&
	       put_text(out, m->has_upgrade ? "Connection: Upgrade\r\n"
					      "Upgrade: websocket\r\n\r\n"
					    : "Connection: close\r\n\r\n");
}

static bool put_answer(struct lane *out, const struct message *m,
		       const struct head_answer *how)
{
	char line[96];

	snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n",
		 m->parser.status_code, head_reason(m->parser.status_code));
	if (!put_text(out, line) || !put_fields(out, m) || !put_length(out, m))
		return false;
	if (m->parser.status_code == 101)
		return put_text(out, "Connection: Upgrade\r\n"
				     "Upgrade: websocket\r\n\r\n");
	return (!how->is_chunked ||
		put_text(out, "Transfer-Encoding: chunked\r\n")) &&
	       put_text(out, how->is_kept_alive
				     ? "Connection: keep-alive\r\n\r\n"
				     : "Connection: close\r\n\r\n");
}

bool head_put_answer(struct lane *out, const struct message *m,
		     const struct head_answer *how)
{
	const size_t len = out->len;

	if (put_answer(out, m, how))
		return true;
	/* Half of one is none, for it is put again. */
	out->len = len;
	return false;
}

bool head_put_own(struct lane *out, int status, const char *type,
		  size_t body_len, unsigned retry_s, bool is_kept_alive)
{
	char text[400], retry[48] = "", length[48] = "";

	if (body_len == HEAD_CHUNKED)
		snprintf(length, sizeof(length),
			 "Transfer-Encoding: chunked\r\n");
	else if (body_len != HEAD_OPEN_ENDED)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n",
			 body_len);
	if (retry_s)
		snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", retry_s);
	snprintf(text, sizeof(text),
		 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n"
		 "%s%sConnection: %s\r\n\r\n",
		 status, head_reason(status), type, length, retry,
		 is_kept_alive ? "keep-alive" : "close");
	return put_text(out, text);
}
