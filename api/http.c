/*
 * The HTTP parser. A head is read line by line, a body by count. Every offset
 * is from the first byte of the request; the parser writes into the buffer in
 * two places only: a NUL over the blank after method and path, and the bytes of
 * chunks moved over their framing.
 */
#include "api/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void http_parser_init(struct http_parser *p, size_t body_max)
{
	memset(p, 0, sizeof(*p));
	p->body_max = body_max;
}

static enum http_result bad(struct err *e, const char *what)
{
	err_set(e, -EBADMSG, "Malformed HTTP request: %s.", what);
	return HTTP_BAD;
}

/* RFC 9110, 5.6.2: the characters of methods and header names. */
static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_len(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && is_token(text[n]))
		n++;
	return n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool word_is(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && !strncasecmp(text, word, len);
}

/*
 * RFC 9112, 3.2.2: the absolute form, http://host/path, which proxies use and
 * servers must take. Returns how many bytes come before the path.
 */
static size_t authority_len(const char *target, size_t len)
{
	static const char scheme[] = "http://";
	const size_t n = sizeof(scheme) - 1;
	size_t i;

	if (len <= n || strncasecmp(target, scheme, n) != 0)
		return 0;
	for (i = n; i < len; i++)
		if (target[i] == '/')
			return i;
	return 0;
}

/* METHOD SP TARGET SP HTTP/1.x, with single spaces. */
static enum http_result parse_request_line(struct http_parser *p, char *buf,
					   size_t len, struct err *e)
{
	char *line = buf + p->line;
	size_t method = token_len(line, len), target, skip, i;
	char *at;

	if (!method || method == len || line[method] != ' ')
		return bad(e, "a request line starts with a method");
	at = line + method + 1;
	len -= method + 1;
	for (target = 0; target < len && at[target] != ' '; target++)
		if (at[target] <= ' ' || at[target] >= 0x7f)
			return bad(e, "a path has printable characters only");
	if (target == len)
		return bad(e, "a request line ends with HTTP/1.1");
	skip = authority_len(at, target);
	if (at[skip] != '/')
		return bad(e, "a path starts with a slash");
	i = target + 1;
	if (len - i != 8 || memcmp(at + i, "HTTP/1.", 7) != 0 ||
	    (at[i + 7] != '0' && at[i + 7] != '1'))
		return bad(e, "the version must be HTTP/1.1 or HTTP/1.0");
	p->minor = (uint32_t)(at[i + 7] - '0');
	p->method = p->line;
	p->path = (size_t)(at + skip - buf);
	line[method] = '\0';
	at[target] = '\0';
	p->state = HTTP_HEADERS;
	return HTTP_MORE;
}

static enum http_result parse_length(struct http_parser *p, const char *value,
				     size_t len, struct err *e)
{
	size_t i;

	if (p->has_length)
		return bad(e, "it has two Content-Length headers");
	p->has_length = true;
	/* 18 digits can't overflow 64 bits. */
	if (!len || len > 18)
		return bad(e, "the Content-Length is not a length");
	for (i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return bad(e, "the Content-Length is not a number");
		p->left = p->left * 10 + (uint64_t)(value[i] - '0');
	}
	return HTTP_MORE;
}

static enum http_result parse_encoding(struct http_parser *p, const char *value,
				       size_t len, struct err *e)
{
	if (p->has_encoding)
		return bad(e, "it has two Transfer-Encoding headers");
	p->has_encoding = true;
	p->is_chunked = word_is(value, len, "chunked");
	if (!p->is_chunked)
		return bad(e, "the only Transfer-Encoding is chunked");
	if (!p->minor)
		return bad(e, "HTTP/1.0 has no Transfer-Encoding");
	return HTTP_MORE;
}

/* A list of words, of which two mean something to us. */
static void parse_connection(struct http_parser *p, const char *value,
			     size_t len)
{
	size_t at = 0, n;

	while (at < len) {
		if (is_blank(value[at]) || value[at] == ',') {
			at++;
			continue;
		}
		for (n = 0; at + n < len && value[at + n] != ',' &&
			    !is_blank(value[at + n]);)
			n++;
		p->says_close |= word_is(value + at, n, "close");
		p->says_keep_alive |= word_is(value + at, n, "keep-alive");
		at += n;
	}
}

static enum http_result parse_field(struct http_parser *p, const char *name,
				    size_t name_len, const char *value,
				    size_t len, struct err *e)
{
	if (word_is(name, name_len, "Content-Length"))
		return parse_length(p, value, len, e);
	if (word_is(name, name_len, "Transfer-Encoding"))
		return parse_encoding(p, value, len, e);
	if (word_is(name, name_len, "Connection"))
		parse_connection(p, value, len);
	if (word_is(name, name_len, "Expect")) {
		if (!word_is(value, len, "100-continue"))
			return bad(e, "the only Expect is 100-continue");
		p->expects_continue = p->minor;
	}
	return HTTP_MORE;
}

static enum http_result parse_header(struct http_parser *p, const char *line,
				     size_t len, struct err *e)
{
	size_t name = token_len(line, len), i;
	const char *value;

	if (len && is_blank(line[0]))
		return bad(e, "a header is folded over two lines");
	if (!name || name == len || line[name] != ':')
		return bad(e, "a header is a name, a colon and a value");
	for (i = name; i < len; i++)
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') ||
		    line[i] == 0x7f)
			return bad(e, "a header has a control character");
	value = line + name + 1;
	len -= name + 1;
	while (len && is_blank(value[0])) {
		value++;
		len--;
	}
	while (len && is_blank(value[len - 1]))
		len--;
	/* Trailers are checked and forgotten. */
	if (p->state == HTTP_TRAILERS)
		return HTTP_MORE;
	return parse_field(p, line, name, value, len, e);
}

static enum http_result too_large(struct http_parser *p, uint64_t bytes,
				  struct err *e)
{
	p->declared = bytes;
	err_set(e, -EMSGSIZE,
		"Request payload with size %" PRIu64
		" is larger than the limit of %zu allowed by server.",
		bytes, p->body_max);
	return HTTP_TOO_LARGE;
}

/* The empty line after the headers, which ends at `end`. */
static enum http_result finish_head(struct http_parser *p, size_t end,
				    size_t len, struct err *e)
{
	if (p->has_length && p->is_chunked)
		return bad(e, "it has Content-Length and Transfer-Encoding");
	p->body = end;
	if (p->left > p->body_max)
		return too_large(p, p->left, e);
	if (p->is_chunked)
		p->state = HTTP_CHUNK_SIZE;
	else
		p->state = p->left ? HTTP_BODY : HTTP_END;
	p->wants_continue = p->expects_continue && p->state != HTTP_END &&
			    end == len;
	return HTTP_MORE;
}

static enum http_result parse_chunk_size(struct http_parser *p,
					 const char *line, size_t len,
					 struct err *e)
{
	size_t i;
	uint64_t size = 0;

	for (i = 0; i < len; i++) {
		char c = line[i];
		uint64_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint64_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint64_t)((c | 0x20) - 'a' + 10);
		else
			break;
		if (i == 15)
			return bad(e, "a chunk's size is too long");
		size = size * 16 + digit;
	}
	if (!i || (i < len && line[i] != ';' && !is_blank(line[i])))
		return bad(e, "a chunk starts with its size");
	for (; i < len; i++)
		if ((unsigned char)line[i] < ' ' && line[i] != '\t')
			return bad(e, "a chunk's size has a control character");
	if (size > p->body_max || p->body_len + size > p->body_max)
		return too_large(p, p->body_len + size, e);
	p->left = size;
	p->state = size ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
	return HTTP_MORE;
}

static size_t line_limit(const struct http_parser *p)
{
	switch (p->state) {
	case HTTP_CHUNK_SIZE:
		return p->line + HTTP_LINE_MAX;
	case HTTP_TRAILERS:
		return p->line + HTTP_HEAD_MAX - p->trailer_len;
	default:
		return HTTP_HEAD_MAX;
	}
}

static enum http_result parse_line(struct http_parser *p, char *buf,
				   size_t text, size_t end, size_t len,
				   struct err *e)
{
	const char *line = buf + p->line;

	switch (p->state) {
	case HTTP_REQUEST_LINE:
		/* RFC 9112, 2.2: one empty line before a request is skipped. */
		if (text || p->skipped_line)
			return parse_request_line(p, buf, text, e);
		p->skipped_line = true;
		return HTTP_MORE;
	case HTTP_CHUNK_SIZE:
		return parse_chunk_size(p, line, text, e);
	case HTTP_TRAILERS:
		p->trailer_len += text + 2;
		if (text)
			return parse_header(p, line, text, e);
		p->state = HTTP_END;
		return HTTP_MORE;
	default:
		if (text)
			return parse_header(p, line, text, e);
		return finish_head(p, end, len, e);
	}
}

/* Takes one line if all of it is there. *took says whether. */
static enum http_result take_line(struct http_parser *p, char *buf, size_t len,
				  bool *took, struct err *e)
{
	const size_t limit = line_limit(p);
	char *lf = memchr(buf + p->scan, '\n', len - p->scan);
	size_t end = lf ? (size_t)(lf - buf) + 1 : len;
	enum http_result result;

	*took = false;
	if (end > limit || (!lf && len >= limit)) {
		err_set(e, -E2BIG,
			"Malformed HTTP request: request line and headers "
			"are longer than %d bytes, or a chunk's line is "
			"longer than %d.",
			HTTP_HEAD_MAX, HTTP_LINE_MAX);
		return HTTP_BAD;
	}
	p->scan = end;
	if (!lf)
		return HTTP_MORE;
	if (lf == buf + p->line || lf[-1] != '\r')
		return bad(e, "a line ends with CR and LF");
	result = parse_line(p, buf, (size_t)(lf - buf) - 1 - p->line, end, len,
			    e);
	p->line = end;
	*took = result == HTTP_MORE;
	return result;
}

/* Takes what there is of a chunk and moves it behind the body so far. */
static void take_chunk_data(struct http_parser *p, char *buf, size_t len)
{
	size_t n = len - p->line;

	if (n > p->left)
		n = p->left;
	memmove(buf + p->body + p->body_len, buf + p->line, n);
	p->body_len += n;
	p->left -= n;
	p->line += n;
	p->scan = p->line;
	if (!p->left)
		p->state = HTTP_CHUNK_END;
}

static enum http_result take_chunk_end(struct http_parser *p, const char *buf,
				       size_t len, bool *took, struct err *e)
{
	*took = len - p->line >= 2;
	if (len > p->line && buf[p->line] != '\r')
		return bad(e, "a chunk ends with CR and LF");
	if (!*took)
		return HTTP_MORE;
	if (buf[p->line + 1] != '\n')
		return bad(e, "a chunk ends with CR and LF");
	p->line += 2;
	p->scan = p->line;
	p->state = HTTP_CHUNK_SIZE;
	return HTTP_MORE;
}

/* One step of whatever comes next. *went says whether there may be another. */
static enum http_result step(struct http_parser *p, char *buf, size_t len,
			     bool *went, struct err *e)
{
	*went = false;
	switch (p->state) {
	case HTTP_BODY:
		if (len - p->body < p->left)
			return HTTP_MORE;
		p->body_len = (size_t)p->left;
		p->line = p->body + p->body_len;
		p->state = HTTP_END;
		*went = true;
		return HTTP_MORE;
	case HTTP_CHUNK_DATA:
		take_chunk_data(p, buf, len);
		*went = p->state == HTTP_CHUNK_END;
		return HTTP_MORE;
	case HTTP_CHUNK_END:
		return take_chunk_end(p, buf, len, went, e);
	default:
		return take_line(p, buf, len, went, e);
	}
}

/* Closes the gap between the joined chunks and what is not read yet. */
static void close_gap(struct http_parser *p, char *buf, size_t *len)
{
	const size_t body_end = p->body + p->body_len;
	size_t gap;

	if (!p->is_chunked || p->state <= HTTP_HEADERS || p->line <= body_end)
		return;
	gap = p->line - body_end;
	memmove(buf + body_end, buf + p->line, *len - p->line);
	p->line -= gap;
	p->scan -= gap;
	*len -= gap;
}

enum http_result http_parse(struct http_parser *p, char *buf, size_t *len,
			    struct err *e)
{
	enum http_result result = HTTP_MORE;
	bool went = true;

	while (went && result == HTTP_MORE && p->state != HTTP_END)
		result = step(p, buf, *len, &went, e);
	if (result != HTTP_MORE)
		return result;
	close_gap(p, buf, len);
	if (p->state != HTTP_END)
		return HTTP_MORE;
	p->request = (struct http_request){
		.method = buf + p->method,
		.path = buf + p->path,
		.body = buf + p->body,
		.body_len = p->body_len,
		.keep_alive = !p->says_close &&
			      (p->minor || p->says_keep_alive),
	};
	return HTTP_DONE;
}

size_t http_parser_used(const struct http_parser *p)
{
	return p->line;
}

size_t http_parser_room(const struct http_parser *p)
{
	switch (p->state) {
	case HTTP_REQUEST_LINE:
	case HTTP_HEADERS:
		return HTTP_HEAD_MAX;
	case HTTP_BODY:
		return p->body + (size_t)p->left;
	case HTTP_TRAILERS:
		return p->line + HTTP_HEAD_MAX;
	default:
		/* This chunk and the next one's size line. */
		return p->line + (size_t)p->left + 2 + HTTP_LINE_MAX;
	}
}

size_t http_response_head(char *out, const struct http_head *head)
{
	char length[128] = "";
	int n;

	/* Prometheus asks for the version of its format. */
	if (head->status != 100 && head->status != 204)
		snprintf(length, sizeof(length),
			 "Content-Type: %s\r\n"
			 "Content-Length: %zu\r\n",
			 head->is_text ? "text/plain; version=0.0.4"
				       : "application/json",
			 head->body_len);
	n = snprintf(out, HTTP_RESPONSE_HEAD_MAX,
		     "HTTP/1.1 %d \r\n"
		     "Server: Firecracker API\r\n"
		     "Connection: %s\r\n%s%s\r\n",
		     head->status, head->keep_alive ? "keep-alive" : "close",
		     head->is_deprecated ? "Deprecation: true\r\n" : "",
		     length);
	return n > 0 ? (size_t)n : 0;
}
