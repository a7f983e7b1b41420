/* Tools' last words, made fit to print. They may quote hostile input. */
#include "api/ctl/image/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void image_words_add(struct image_words *w, const char *data, size_t len)
{
	const size_t max = sizeof(w->text) - 1;
	size_t keep;

	if (len > max) {
		data += len - max;
		len = max;
	}
	keep = w->len < max - len ? w->len : max - len;
	memmove(w->text, w->text + w->len - keep, keep);
	memcpy(w->text + keep, data, len);
	w->len = keep + len;
	w->text[w->len] = 0;
}

/* Copies a line without escape sequences, backslashes and what isn't ASCII. */
static void clean(const char *from, size_t len, char *to, size_t size)
{
	size_t at = 0;
	size_t i;

	for (i = 0; i < len && at + 1 < size; i++) {
		const char c = from[i];

		if (c == '\033' && i + 1 < len && from[i + 1] == '[') {
			for (i += 2;
			     i < len && (from[i] < '@' || from[i] > '~');)
				i++;
			continue;
		}
		if (c == '\\' && i + 1 < len && from[i + 1] == '"')
			continue;
		if (c >= ' ' && c <= '~' && (at || c != ' '))
			to[at++] = c;
	}
	while (at && to[at - 1] == ' ')
		at--;
	to[at] = 0;
}

/* What GNU's tools say last and nobody needs. */
static int is_advice(const char *line)
{
	return strstr(line, "Try '") || strstr(line, "Error is not recover") ||
	       strstr(line, "Exiting with failure status");
}

/* The last line that says something. */
static void last_line(const struct image_words *w, char *out, size_t size)
{
	size_t end = w->len;

	out[0] = 0;
	while (end && !out[0]) {
		size_t begin = end;

		while (begin && w->text[begin - 1] != '\n' &&
		       w->text[begin - 1] != '\r')
			begin--;
		clean(w->text + begin, end - begin, out, size);
		if (is_advice(out))
			out[0] = 0;
		end = begin ? begin - 1 : 0;
	}
}

/* time="…" level=fatal msg="…" of skopeo, and the prefixes of the others. */
static char *strip(char *line)
{
	static const char *const prefixes[] = {
		"<E> erofs: ", "tar: ", "gzip: ", "xz: ", "zstd: ", "bzip2: "};
	char *msg = strstr(line, " msg=\"");
	size_t len;
	unsigned i;

	if (!strncmp(line, "time=", 5) && msg) {
		line = msg + 6;
		len = strlen(line);
		if (len && line[len - 1] == '"')
			line[len - 1] = 0;
	}
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(line, prefixes[i], strlen(prefixes[i])))
			line += strlen(prefixes[i]);
	return line;
}

/* Whether any of the tool's words hold the text. */
static int has(const struct image_words *w, const char *text)
{
	return w->len && memmem(w->text, w->len, text, strlen(text)) != NULL;
}

/* What we know to advise; in order, the first that fits. */
static const struct {
	const char *said;
	const char *advice;
} known[] = {
	{"no image found in image index",
	 "the image is not made for this machine's architecture"},
	{"no image found in manifest list",
	 "the image is not made for this machine's architecture"},
	{"Digest did not match",
	 "the image is damaged: a digest does not match"},
	{"verified reader digest mismatch",
	 "the image is damaged: a digest does not match"},
	{"verified reader size mismatch",
	 "the image is damaged: a size does not match"},
	{"diffid mismatch", "the image is damaged: a digest does not match"},
	{"invalid checksum digest",
	 "the image is damaged: a digest in it is none"},
	{"unexpected EOF", "the image is cut off"},
	{"unexpected end of", "the image is cut off"},
	{"reading blob", "the image is damaged: a part of it can't be read"},
	{"reading config blob",
	 "the image is damaged: its configuration can't be read"},
	{": link: no such file",
	 "the image has a hard link to what is not in it"},
	{"manifest unknown", "the registry has no such image"},
	{"name unknown", "the registry has no such image"},
	{"connection refused", "nobody listens at the registry"},
	{"no such host", "the registry's name is not known"},
	{"authentication required",
	 "the registry wants a login (skopeo login) or has no such image"},
	{"server gave HTTP response to HTTPS client",
	 "the registry speaks no TLS, which is taken on loopback only"},
};

int image_words_judge(const struct image_words *w, const char *tool,
		      struct err *e)
{
	char line[480];
	const char *advice = NULL;
	const char *text;
	unsigned i;

	if (has(w, "o space left on device") || has(w, "ENOSPC"))
		return err_set(e, -ENOSPC,
			       "no space is left in the store's file system "
			       "(%s said so); make room, or set MAYFLY_STORE "
			       "to a larger one",
			       tool);
	last_line(w, line, sizeof(line));
	text = strip(line);
	for (i = 0; !advice && i < sizeof(known) / sizeof(known[0]); i++)
		if (has(w, known[i].said))
			advice = known[i].advice;
	if (advice)
		return err_set(e, -EIO, "%s; %s: %s", advice, tool, text);
	return err_set(e, -EIO, "%s failed: %s", tool,
		       *text ? text : "it said nothing");
}

const char *image_words_package(const char *tool)
{
	if (!strcmp(tool, "mkfs.erofs"))
		return "erofs-utils";
	if (!strcmp(tool, "xz"))
		return "xz-utils";
	if (!strcmp(tool, "sha256sum"))
		return "coreutils";
	return tool;
}
