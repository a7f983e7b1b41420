/* Functions as a command line or a file names them, and what is in their
 * images. */
#include "api/ctl/commands/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/image/image.h"

_Static_assert(sizeof(((struct function_plan *)0)->digest) ==
		       sizeof(((struct image *)0)->digest),
	       "a digest is the store's");

struct function_options functions_usual(void)
{
	return (struct function_options){
		.mode = FUNCTION_CLONE,
		.max = 8,
		.queue = 64,
		.wait_ms = 30000,
		.timeout_ms = 60000,
		.start_ms = 120000,
		.memory = "256m",
		.cpus = "1",
		.net = "none",
		.type = "application/octet-stream",
	};
}

/* ---- words -------------------------------------------------------------- */

int functions_mode(const char *text, enum function_mode *mode, struct err *e)
{
	unsigned i;

	for (i = FUNCTION_COLD; i <= FUNCTION_RESET; i++) {
		if (strcmp(text, function_modes[i]) != 0)
			continue;
		*mode = (enum function_mode)i;
		return 0;
	}
	return err_set(e, -EINVAL, "the mode is cold, clone or reset, not '%s'",
		       text);
}

/* RFC 9110, 8.3.1, as far as a head could be harmed by it. */
int functions_type(const char *text, char type[FUNCTION_TYPE_MAX + 1],
		   struct err *e)
{
	const size_t len = strlen(text);
	size_t i;

	for (i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			break;
	if (i < len || len > FUNCTION_TYPE_MAX || !strchr(text, '/'))
		return err_set(e, -EINVAL,
			       "the type of answers is one such as text/plain, "
			       "of at most %d characters",
			       FUNCTION_TYPE_MAX);
	memcpy(type, text, len + 1);
	return 0;
}

int functions_net(const char *text, char net[8], struct err *e)
{
	if (strcmp(text, "none") != 0 && strcmp(text, "nat") != 0)
		return err_set(e, -EINVAL,
			       "a function's network is none or nat, not '%s'",
			       text);
	snprintf(net, 8, "%s", text);
	return 0;
}

void functions_settle(struct function_options *o, bool has_spare)
{
	if (!has_spare)
		o->spare = o->mode != FUNCTION_COLD;
}

int functions_judge(const struct function_options *o, struct err *e)
{
	if (o->spare > o->max)
		return err_set(e, -EINVAL,
			       "there are at most %u microVMs at a time, so %u "
			       "can't be made before they are needed",
			       o->max, o->spare);
	return 0;
}

/* ---- the list ----------------------------------------------------------- */

int functions_add(struct functions *f, const struct function_plan *like,
		  const char *name, const char *image, struct err *e)
{
	struct function_plan *p = &f->list[f->count];
	unsigned n;

	if (f->count == FRONT_FUNCTIONS_MAX)
		return err_set(e, -E2BIG, "at most %d functions",
			       FRONT_FUNCTIONS_MAX);
	if (!function_is_name(name))
		return err_set(e, -EINVAL,
			       "a function's name has at most %d letters, "
			       "digits, - and _, not '%s'",
			       FUNCTION_NAME_MAX, name);
	if (!strcmp(name, "metrics"))
		return err_set(e, -EINVAL,
			       "/metrics is the host's own; call the function "
			       "something else");
	for (n = 0; n < f->count; n++)
		if (!strcmp(f->list[n].name, name))
			return err_set(e, -EEXIST, "there are two functions %s",
				       name);
	*p = *like;
	memcpy(p->name, name, strlen(name) + 1);
	p->image = strdup(image);
	if (!p->image)
		return err_set(e, -ENOMEM, "no memory for functions");
	f->count++;
	return 0;
}

void functions_fini(struct functions *f)
{
	unsigned i;

	for (i = 0; i < f->count; i++)
		function_plan_fini(&f->list[i]);
	f->count = 0;
}

/* ---- their images ------------------------------------------------------- */

/* The first TCP port that the image exposes. */
static unsigned long exposed_port(const struct image *image)
{
	char *const *port = image->config.exposed_ports;
	char *end;

	for (; *port; port++) {
		const unsigned long n = strtoul(*port, &end, 10);

		if (n && n <= UINT16_MAX && (!*end || !strcmp(end, "/tcp")))
			return n;
	}
	return 0;
}

static bool add_words(char **to, unsigned *n, char *const *words)
{
	for (; *words; words++) {
		to[*n] = strdup(*words);
		if (!to[*n])
			return false;
		(*n)++;
	}
	return true;
}

static unsigned count_words(char *const *words)
{
	unsigned n = 0;

	while (words[n])
		n++;
	return n;
}

static int take_command(struct function_plan *p, const struct image *image,
			struct err *e)
{
	char *const *entry = image->config.entrypoint;
	char *const *cmd = image->config.cmd;
	const unsigned count = count_words(entry) + count_words(cmd);
	unsigned n = 0;

	if (!count)
		return err_set(e, -EINVAL,
			       "%s names no command that could be run for each "
			       "request",
			       p->image);
	p->argv = calloc(count + 1, sizeof(*p->argv));
	if (!p->argv || !add_words(p->argv, &n, entry) ||
	    !add_words(p->argv, &n, cmd))
		return err_set(e, -ENOMEM, "no memory for a command");
	return 0;
}

static int take_port(struct function_plan *p, const struct image *image,
		     struct err *e)
{
	if (!p->port)
		p->port = (uint16_t)exposed_port(image);
	if (p->port)
		return 0;
	return err_set(e, -EINVAL,
		       "%s exposes no TCP port; say by --port where its server "
		       "listens, or --stdio where it is none",
		       p->image);
}

static int find_image(struct function_plan *p, bool imports, struct err *e)
{
	const struct image_import how = {
		.ref = p->image,
		.is_local = !imports,
	};
	struct image image = {.fd = -1};
	int rc = image_find_or_import(&how, &image, e);

	if (rc)
		return rc;
	memcpy(p->digest, image.digest, sizeof(p->digest));
	rc = p->is_stdio ? take_command(p, &image, e) : take_port(p, &image, e);
	image_fini(&image);
	return rc;
}

int functions_find_images(struct functions *f, bool imports, struct err *e)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < f->count && !rc; i++)
		rc = find_image(&f->list[i], imports, e);
	return rc;
}
