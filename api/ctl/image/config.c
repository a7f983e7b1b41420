/*
 * The part of an OCI image configuration that says how to run it. JSON has
 * been parsed by jansson, which lets no NUL into a string.
 */
#include "api/ctl/image/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* An argument may be empty; whatever it is, execve() has to take it. */
static int is_argument(const char *text)
{
	(void)text;
	return 1;
}

static int is_env(const char *text)
{
	return text[0] != '=' && strchr(text, '=');
}

/* 80, 80/tcp, 8000-8010/udp, sctp for who has it. */
static int is_port(const char *text)
{
	const size_t digits = strspn(text, "0123456789-");
	const char *rest = text + digits;

	if (!digits || digits > 11 || text[0] == '-')
		return 0;
	return !*rest || !strcmp(rest, "/tcp") || !strcmp(rest, "/udp") ||
	       !strcmp(rest, "/sctp");
}

static int add_string(char **list, size_t at, const char *text,
		      const char *field, int (*is_fine)(const char *),
		      struct err *e)
{
	if (!text || strlen(text) > STRING_MAX || !is_fine(text))
		return err_set(e, -EINVAL,
			       "the image's configuration is damaged: %s holds "
			       "'%.64s'",
			       field, text ? text : "what is no string");
	list[at] = strdup(text);
	return list[at] ? 0 : out_of_memory(e);
}

/* A list of strings, the strings of an array or the keys of an object. */
static int read_list(const json_t *config, const char *field,
		     int (*is_fine)(const char *), char ***out, struct err *e)
{
	json_t *value = json_object_get(config, field);
	const int is_set = is_fine == is_port;
	size_t count = 0, i;
	const char *key;
	json_t *item;
	int r = 0;

	if (value && !json_is_null(value)) {
		if (is_set ? !json_is_object(value) : !json_is_array(value))
			return err_set(e, -EINVAL,
				       "the image's configuration is damaged: "
				       "%s is no %s",
				       field, is_set ? "object" : "list");
		count = is_set ? json_object_size(value)
			       : json_array_size(value);
	}
	if (count > LIST_MAX)
		return err_set(e, -E2BIG,
			       "the image's configuration has %zu strings in "
			       "%s; at most %d can be",
			       count, field, LIST_MAX);
	*out = calloc(count + 1, sizeof(**out));
	if (!*out)
		return out_of_memory(e);
	if (!count)
		return 0;
	i = 0;
	if (is_set) {
		json_object_foreach(value, key, item)
		{
			if (!r)
				r = add_string(*out, i++, key, field, is_fine,
					       e);
		}
		return r;
	}
	for (i = 0; !r && i < count; i++)
		r = add_string(*out, i,
			       json_string_value(json_array_get(value, i)),
			       field, is_fine, e);
	return r;
}

static int read_string(const json_t *config, const char *field,
		       const char *otherwise, char **out, struct err *e)
{
	const json_t *value = json_object_get(config, field);
	const char *text = json_string_value(value);

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

static int read_signal(const json_t *config, char **out, struct err *e)
{
	int r = read_string(config, "StopSignal", "SIGTERM", out, e);

	if (*out && (*out)[strspn(*out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789+-")])
		r = err_set(e, -EINVAL,
			    "the image's configuration is damaged: StopSignal "
			    "is '%.64s'",
			    *out);
	return r;
}

int image_config_parse(const json_t *config, struct image_config *out,
		       struct err *e)
{
	int r = 0;

	*out = (struct image_config){0};
	if (config && !json_is_null(config) && !json_is_object(config))
		r = err_set(e, -EINVAL,
			    "the image's configuration is damaged: config is "
			    "no object");
	if (!r)
		r = read_list(config, "Entrypoint", is_argument,
			      &out->entrypoint, e);
	if (!r)
		r = read_list(config, "Cmd", is_argument, &out->cmd, e);
	if (!r)
		r = read_list(config, "Env", is_env, &out->env, e);
	if (!r)
		r = read_list(config, "ExposedPorts", is_port,
			      &out->exposed_ports, e);
	if (!r)
		r = read_folder(config, &out->working_dir, e);
	if (!r)
		r = read_string(config, "User", "", &out->user, e);
	if (!r)
		r = read_signal(config, &out->stop_signal, e);
	if (r)
		image_config_fini(out);
	return r;
}
