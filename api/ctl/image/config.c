/*
 * The part of an OCI image configuration that says how to run it. JSON has
 * been parsed by jansson, which lets no NUL into a string.
 */
#include "api/ctl/image/config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/ctl/base/signals.h"

enum { LIST_MAX = 4096, STRING_MAX = 128 * 1024 };

static int out_of_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "no memory for the image's configuration");
}

static void list_free(char **list)
{
	size_t i;

	for (i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void image_config_fini(struct image_config *c)
{
	list_free(c->entrypoint);
	list_free(c->cmd);
	list_free(c->env);
	list_free(c->exposed_ports);
	free(c->working_dir);
	free(c->user);
	free(c->stop_signal);
	*c = (struct image_config){0};
}

/* What is odd and does no harm. It quotes the image, and is for terminals. */
static void warn(image_warn *to, const char *field, const char *text,
		 const char *what)
{
	struct err e = {0};
	char *c;

	if (!to)
		return;
	err_set(&e, -EINVAL,
		"the image's configuration is odd: %s holds '%.64s', %s", field,
		text, what);
	for (c = e.text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	to(e.text);
}

/* ---- lists -------------------------------------------------------------- */

/* An argument may be empty; whatever it is, execve() has to take it. */
static char *take_argument(const char *text)
{
	return strdup(text);
}

static char *take_env(const char *text)
{
	errno = EINVAL;
	return text[0] != '=' && strchr(text, '=') ? strdup(text) : NULL;
}

static bool read_port(const char **at, unsigned *port)
{
	for (*port = 0; **at >= '0' && **at <= '9'; (*at)++)
		if ((*port = *port * 10 + (unsigned)(**at - '0')) > 65535)
			return false;
	return *port > 0;
}

/* 80, 80/tcp, 8000-8010/UDP, sctp for who has it; tcp if it says none. */
static char *take_port(const char *text)
{
	static const char *const protocols[] = {"/tcp", "/udp", "/sctp"};
	const char *at = text;
	const char *protocol;
	unsigned first, last, i;
	char *out = NULL;

	errno = EINVAL;
	if (!read_port(&at, &first))
		return NULL;
	if (*at == '-') {
		at++;
		if (!read_port(&at, &last) || last < first)
			return NULL;
	}
	protocol = *at ? at : "/tcp";
	for (i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (!strcasecmp(protocol, protocols[i])) {
			if (asprintf(&out, "%.*s%s", (int)(at - text), text,
				     protocols[i]) < 0)
				errno = ENOMEM;
			return out;
		}
	return NULL;
}

struct list {
	const char *field;
	char *(*take)(const char *text); /* NULL and EINVAL: it is odd */
	const char *odd;		 /* what becomes of that */
	bool is_word; /* one string is a list of one, as Docker has it */
	bool is_set;  /* the keys of an object */
	char **out;
	size_t count;
};

static int add_string(struct list *l, const char *text, image_warn *to,
		      struct err *e)
{
	char *taken;

	if (!text || strlen(text) > STRING_MAX)
		return err_set(e, -EINVAL,
			       "the image's configuration is damaged: %s holds "
			       "%s",
			       l->field,
			       text ? "too long a string"
				    : "what is no string");
	taken = l->take(text);
	if (taken)
		l->out[l->count++] = taken;
	else if (errno == EINVAL)
		warn(to, l->field, text, l->odd);
	else
		return out_of_memory(e);
	return 0;
}

/* How many strings there are; or what is wrong. */
static int count_strings(const struct list *l, const json_t *value,
			 size_t *count, struct err *e)
{
	*count = 0;
	if (!value || json_is_null(value))
		return 0;
	if (json_is_array(value))
		*count = json_array_size(value);
	else if (l->is_set && json_is_object(value))
		*count = json_object_size(value);
	else if (l->is_word && json_is_string(value))
		*count = 1;
	else
		return err_set(e, -EINVAL,
			       "the image's configuration is damaged: %s is no "
			       "%s",
			       l->field, l->is_set ? "object" : "list");
	if (*count > LIST_MAX)
		return err_set(e, -E2BIG,
			       "the image's configuration has %zu strings in "
			       "%s; at most %d can be",
			       *count, l->field, LIST_MAX);
	return 0;
}

static int read_list(const json_t *config, struct list *l, char ***out,
		     image_warn *to, struct err *e)
{
	json_t *value = json_object_get(config, l->field);
	const char *key;
	json_t *item;
	size_t count, i;
	int r = count_strings(l, value, &count, e);

	if (r)
		return r;
	*out = l->out = calloc(count + 1, sizeof(*l->out));
	if (!l->out)
		return out_of_memory(e);
	if (json_is_object(value)) {
		json_object_foreach(value, key, item)
		{
			if (!r)
				r = add_string(l, key, to, e);
		}
		return r;
	}
	if (json_is_string(value))
		return add_string(l, json_string_value(value), to, e);
	for (i = 0; !r && i < count; i++)
		r = add_string(l, json_string_value(json_array_get(value, i)),
			       to, e);
	return r;
}

/* ---- strings ------------------------------------------------------------ */

/* A number, of a user or a signal, may stand without its quotes. */
static int read_string(const json_t *config, const char *field,
		       const char *otherwise, char **out, struct err *e)
{
	const json_t *value = json_object_get(config, field);
	const char *text = json_string_value(value);
	char number[24];

	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(value));
		text = number;
	}
	if (value && !json_is_null(value) &&
	    (!text || strlen(text) > STRING_MAX))
		return err_set(e, -EINVAL,
			       "the image's configuration is damaged: %s is no "
			       "string",
			       field);
	*out = strdup(text && *text ? text : otherwise);
	return *out ? 0 : out_of_memory(e);
}

/* A relative one means from the root, as Docker takes it. */
static int read_folder(const json_t *config, char **out, struct err *e)
{
	char *given = NULL;
	int r = read_string(config, "WorkingDir", "/", &given, e);

	if (!given)
		return r;
	if (given[0] == '/') {
		*out = given;
		return 0;
	}
	if (asprintf(out, "/%s", given) < 0) {
		*out = NULL;
		r = out_of_memory(e);
	}
	free(given);
	return r;
}

/* sigquit, QUIT, SIGQUIT and 3 are one. */
static int read_signal(const json_t *config, char **out, image_warn *to,
		       struct err *e)
{
	char name[SIGNALS_NAME_SIZE];
	char *given = NULL;
	int r = read_string(config, "StopSignal", "SIGTERM", &given, e);
	int number;

	if (r)
		return r;
	number = signals_parse(given);
	if (number < 0)
		warn(to, "StopSignal", given,
		     "which is no signal; SIGTERM is taken");
	signals_name(number < 0 ? SIGTERM : number, name);
	*out = strdup(name);
	free(given);
	return *out ? 0 : out_of_memory(e);
}

static int read_lists(const json_t *config, struct image_config *out,
		      image_warn *to, struct err *e)
{
	struct list entrypoint = {"Entrypoint", take_argument, "",
				  .is_word = true};
	struct list cmd = {"Cmd", take_argument, "", .is_word = true};
	struct list env = {"Env", take_env,
			   "which is no variable and is left out"};
	struct list ports = {"ExposedPorts", take_port,
			     "which is no port and is left out",
			     .is_set = true};
	int r = read_list(config, &entrypoint, &out->entrypoint, to, e);

	if (!r)
		r = read_list(config, &cmd, &out->cmd, to, e);
	if (!r)
		r = read_list(config, &env, &out->env, to, e);
	if (!r)
		r = read_list(config, &ports, &out->exposed_ports, to, e);
	return r;
}

int image_config_parse(const json_t *config, struct image_config *out,
		       image_warn *to, struct err *e)
{
	int r = 0;

	*out = (struct image_config){0};
	if (config && !json_is_null(config) && !json_is_object(config))
		r = err_set(e, -EINVAL,
			    "the image's configuration is damaged: config is "
			    "no object");
	if (!r)
		r = read_lists(config, out, to, e);
	if (!r)
		r = read_folder(config, &out->working_dir, e);
	if (!r)
		r = read_string(config, "User", "", &out->user, e);
	if (!r)
		r = read_signal(config, &out->stop_signal, to, e);
	if (r)
		image_config_fini(out);
	return r;
}
