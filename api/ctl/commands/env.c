/* -e and --env-file, of run and of exec. */
#include "api/ctl/commands/env.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a request to the agent holds. */
enum { FILE_MAX = 256 << 10 };

static int insert(struct env *v, unsigned at, const char *text, struct err *e)
{
	const char *value = strchr(text, '=') ? "" : getenv(text);
	char *entry;

	/* NAME alone, of which there is none here. */
	if (!value)
		return 0;
	if (v->count == ENV_MAX)
		return err_set(e, -E2BIG, "there are more than %d variables",
			       ENV_MAX);
	if (asprintf(&entry, "%s%s%s", text, strchr(text, '=') ? "" : "=",
		     value) < 0)
		return err_set(e, -ENOMEM, "no memory for the environment");
	memmove(v->list + at + 1, v->list + at,
		(v->count - at) * sizeof(*v->list));
	v->list[at] = entry;
	v->count++;
	return 0;
}

int env_add(struct env *v, const char *text, struct err *e)
{
	if (!*text || *text == '=')
		return err_set(e, -EINVAL,
			       "-e takes NAME=VALUE, or NAME of a variable of "
			       "yours, not '%s'",
			       text);
	return insert(v, v->count, text, e);
}

static int add_line(struct env *v, char *line, const char *path, unsigned at,
		    struct err *e)
{
	size_t len = strlen(line);
	int rc;

	if (len && line[len - 1] == '\r')
		line[len - 1] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	if (!*line || *line == '#')
		return 0;
	len = strcspn(line, "=");
	if (!len || strcspn(line, " \t") < len)
		return err_set(e, -EINVAL,
			       "--env-file %s, line %u: a line is NAME=VALUE "
			       "or NAME, without blanks in the name",
			       path, at);
	rc = insert(v, v->of_files, line, e);
	v->of_files = rc || (!strchr(line, '=') && !getenv(line))
			      ? v->of_files
			      : v->of_files + 1;
	return rc;
}

/* It may be a pipe, as of <(command). */
static int read_text(const char *path, char **out, struct err *e)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(FILE_MAX + 1);
	size_t len;
	int rc = 0;

	if (!f || !text) {
		rc = err_errno(e, "--env-file %s", path);
		if (f)
			fclose(f);
		free(text);
		return rc;
	}
	len = fread(text, 1, FILE_MAX + 1, f);
	if (ferror(f))
		rc = err_errno(e, "--env-file %s", path);
	else if (len > FILE_MAX || memchr(text, '\0', len))
		rc = err_set(e, -EFBIG,
			     "--env-file %s is no text of at most %d KiB", path,
			     FILE_MAX >> 10);
	fclose(f);
	if (rc) {
		free(text);
		return rc;
	}
	text[len] = '\0';
	*out = text;
	return 0;
}

int env_add_file(struct env *v, const char *path, struct err *e)
{
	char *text = NULL, *rest, *line;
	unsigned at = 0;
	int rc = read_text(path, &text, e);

	if (rc)
		return rc;
	/* An editor's byte order mark, U+FEFF in UTF-8, is of no name. */
	rest = text;
	if (rest && !strncmp(rest, "\xef\xbb\xbf", 3))
		rest += 3;
	while (!rc && (line = strsep(&rest, "\n")))
		rc = add_line(v, line, path, ++at, e);
	free(text);
	return rc;
}

void env_fini(struct env *v)
{
	unsigned i;

	for (i = 0; i < v->count; i++)
		free(v->list[i]);
	*v = (struct env){0};
}
