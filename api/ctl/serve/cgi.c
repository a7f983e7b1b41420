/*
 * A variable's name has letters, digits and _ alone, so X-A, X_A and X.A would
 * be one: fields with anything but letters, digits and - in their names have
 * none. Nor has what concerns one connection, nor Proxy, whose HTTP_PROXY many
 * programs take for the proxy that they are to use (CVE-2016-5385).
 */
#include "api/ctl/serve/cgi.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "api/ctl/serve/head.h"

static void put(struct cgi *c, const char *bytes, size_t len)
{
	/* All of it fits: see CGI_TEXT_MAX. */
	if (len > sizeof(c->text) - 1 - c->len)
		len = sizeof(c->text) - 1 - c->len;
	memcpy(c->text + c->len, bytes, len);
	c->len += len;
}

static void begin(struct cgi *c, const char *name)
{
	c->env[c->count++] = c->text + c->len;
	put(c, name, strlen(name));
	put(c, "=", 1);
}

static void end(struct cgi *c)
{
	put(c, "", 1);
}

static void add(struct cgi *c, const char *name, const char *value)
{
	if (!value)
		return;
	begin(c, name);
	put(c, value, strlen(value));
	end(c);
}

/* ---- the target --------------------------------------------------------- */

static int hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 3875, 4.1.5: decoded, up to the query. */
static int add_path(struct cgi *c, const char *path)
{
	const size_t len = strcspn(path, "?");
	size_t i;

	begin(c, "PATH_INFO");
	for (i = 0; i < len; i++) {
		char byte = path[i];

		if (byte == '%') {
			const int high = hex(path[i + 1]);
			const int low = high < 0 ? -1 : hex(path[i + 2]);

			if (low < 0 || (!high && !low))
				return -EINVAL;
			byte = (char)(high << 4 | low);
			i += 2;
		}
		put(c, &byte, 1);
	}
	end(c);
	add(c, "QUERY_STRING", path[len] ? path + len + 1 : "");
	return 0;
}

/* ---- fields ------------------------------------------------------------- */

/* RFC 3875, 4.1.18. */
static bool is_told(const struct message *m, unsigned i)
{
	const char *name = m->fields[i].name;

	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '-')
			return false;
	name = m->fields[i].name;
	return strcasecmp(name, "Content-Type") != 0 &&
	       strcasecmp(name, "Proxy") != 0 && !head_is_dropped(m, name);
}

static bool is_first(const struct message *m, unsigned i)
{
	unsigned n;

	for (n = 0; n < i; n++)
		if (!strcasecmp(m->fields[n].name, m->fields[i].name))
			return false;
	return true;
}

/* Several of a name are one list (RFC 9110, 5.3; of Cookie RFC 6265, 5.4). */
static void add_field(struct cgi *c, const struct message *m, unsigned first)
{
	const char *name = m->fields[first].name;
	const char *comma = strcasecmp(name, "Cookie") ? ", " : "; ";
	unsigned i;

	c->env[c->count++] = c->text + c->len;
	put(c, "HTTP_", 5);
	for (; *name; name++) {
		const char letter =
			*name == '-' ? '_'
				     : (char)toupper((unsigned char)*name);

		put(c, &letter, 1);
	}
	put(c, "=", 1);
	name = m->fields[first].name;
	for (i = first; i < m->field_count; i++) {
		if (strcasecmp(m->fields[i].name, name) != 0)
			continue;
		if (i != first)
			put(c, comma, 2);
		put(c, m->fields[i].value, strlen(m->fields[i].value));
	}
	end(c);
}

int cgi_make(struct cgi *c, const struct message *m,
	     const struct cgi_caller *who)
{
	unsigned i;

	c->len = c->count = 0;
	add(c, "GATEWAY_INTERFACE", "CGI/1.1");
	add(c, "SERVER_PROTOCOL",
	    m->parser.http_minor ? "HTTP/1.1" : "HTTP/1.0");
	add(c, "REQUEST_METHOD", http_method_str(m->parser.method));
	add(c, "REQUEST_URI", m->target);
	begin(c, "SCRIPT_NAME");
	put(c, "/", 1);
	put(c, who->function, strlen(who->function));
	end(c);
	if (add_path(c, who->path))
		return -EINVAL;
	add(c, "REMOTE_ADDR", *who->peer ? who->peer : NULL);
	add(c, "CONTENT_TYPE", message_find(m, "Content-Type"));
	add(c, "CONTENT_LENGTH", message_find(m, "Content-Length"));
	for (i = 0; i < m->field_count; i++)
		if (is_told(m, i) && is_first(m, i))
			add_field(c, m, i);
	c->env[c->count] = NULL;
	return 0;
}
