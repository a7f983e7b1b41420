/* Building a kernel command line within its limit. */
#include "vmm/boot/cmdline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int check_text(const char *text, struct err *e)
{
	const char *p;

	for (p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(e, -EINVAL,
				       "the kernel command line has a control "
				       "character (0x%02x) at byte %zu",
				       (unsigned char)*p, (size_t)(p - text));
	return 0;
}

/* Within double quotes "--" separates nothing (next_arg() in the kernel). */
static size_t find_tail(const char *text)
{
	bool is_quoted = false;
	const char *p;

	for (p = text; *p; p++) {
		if (*p == '"')
			is_quoted = !is_quoted;
		else if (!is_quoted && !strncmp(p, " --", 3) &&
			 (p[3] == ' ' || !p[3]))
			break;
	}
	return (size_t)(p - text);
}

int cmdline_init(struct cmdline *c, char *buf, size_t size, const char *text,
		 struct err *e)
{
	/* A line that begins with "--" gets the blank that we look for. */
	const size_t gap = !strcmp(text, "--") || !strncmp(text, "-- ", 3);
	const size_t len = strlen(text) + gap;
	int rc = check_text(text, e);

	if (rc)
		return rc;
	if (len >= size)
		return err_set(e, -E2BIG,
			       "the kernel command line has %zu bytes; the "
			       "kernel takes at most %zu",
			       len, size - 1);
	buf[0] = ' ';
	memcpy(buf + gap, text, len - gap + 1);
	*c = (struct cmdline){.text = buf, .size = size, .len = len};
	c->tail = find_tail(buf);
	return 0;
}

int cmdline_add(struct cmdline *c, struct err *e, const char *fmt, ...)
{
	char word[256];
	size_t len, gap;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(word, sizeof(word), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(word))
		return err_set(e, -E2BIG, "a kernel parameter of %d bytes", n);
	rc = check_text(word, e);
	if (rc)
		return rc;
	len = (size_t)n;
	gap = c->tail > 0;
	if (c->len + gap + len >= c->size)
		return err_set(e, -E2BIG,
			       "the kernel command line has %zu bytes with "
			       "\"%s\"; the kernel takes at most %zu",
			       c->len + gap + len, word, c->size - 1);
	memmove(c->text + c->tail + gap + len, c->text + c->tail,
		c->len - c->tail + 1);
	if (gap)
		c->text[c->tail] = ' ';
	memcpy(c->text + c->tail + gap, word, len);
	c->tail += gap + len;
	c->len += gap + len;
	return 0;
}

/* The length of the parameter at p: up to a blank outside double quotes. */
static size_t parameter_len(const char *p)
{
	bool is_quoted = false;
	size_t n;

	for (n = 0; p[n] && (is_quoted || p[n] != ' '); n++)
		is_quoted ^= p[n] == '"';
	return n;
}

/* The kernel takes a dash for an underscore (parameq()). */
static bool is_same(const char *p, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((p[i] == '-' ? '_' : p[i]) != word[i])
			return false;
	return true;
}

/* Whether one is there that is word, up to its = where only the name counts. */
static bool find(const struct cmdline *c, const char *word, bool is_name)
{
	const size_t len = strlen(word);
	const char *p = c->text, *end = c->text + c->tail;

	while (p < end) {
		const size_t n = parameter_len(p);
		const char *equals = is_name ? memchr(p, '=', n) : NULL;

		if ((equals ? (size_t)(equals - p) : n) == len &&
		    is_same(p, word, len))
			return true;
		p += n;
		p += strspn(p, " ");
	}
	return false;
}

bool cmdline_has(const struct cmdline *c, const char *word)
{
	return find(c, word, false);
}

bool cmdline_names(const struct cmdline *c, const char *name)
{
	return find(c, name, true);
}
