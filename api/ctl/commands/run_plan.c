/* What `mayctl run` is to run, as docker would make it of image and options. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/base/signals.h"
#include "api/ctl/base/terminal.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run.h"
#include "api/ctl/commands/values.h"

static size_t count_of(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

/* Docker's rule: the image's command goes when another entrypoint is given. */
static int make_argv(struct run *r, struct err *e)
{
	const struct image_config *c = &r->image.config;
	const struct run_options *o = &r->options;
	char *const *command = o->command;
	size_t n = 0, i;

	if (!*command && !o->entrypoint)
		command = c->cmd;
	r->argv = calloc(count_of(c->entrypoint) + count_of(command) + 2,
			 sizeof(*r->argv));
	if (!r->argv)
		return err_set(e, -ENOMEM, "no memory for a command");
	if (o->entrypoint && *o->entrypoint)
		r->argv[n++] = o->entrypoint;
	for (i = 0; !o->entrypoint && c->entrypoint[i]; i++)
		r->argv[n++] = c->entrypoint[i];
	for (i = 0; command[i]; i++)
		r->argv[n++] = command[i];
	if (n)
		return 0;
	return err_set(e, -EINVAL,
		       "the image %s names no command; say one behind it",
		       o->image);
}

/* A later variable of the same name replaces an earlier. */
static void put_env(const char **env, size_t *n, const char *entry)
{
	const size_t len = strcspn(entry, "=");
	size_t i;

	for (i = 0; i < *n; i++)
		if (!strncmp(env[i], entry, len + 1))
			break;
	env[i] = entry;
	if (i == *n)
		(*n)++;
}

static bool has_env(const char *const *env, size_t n, const char *name)
{
	const size_t len = strlen(name);
	size_t i;

	for (i = 0; i < n; i++)
		if (!strncmp(env[i], name, len) && env[i][len] == '=')
			return true;
	return false;
}

static int make_env(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	char *const *image = r->image.config.env;
	size_t n = 0, i;

	r->env = calloc(count_of(image) + o->env.count + 4, sizeof(*r->env));
	if (!r->env)
		return err_set(e, -ENOMEM, "no memory for the environment");
	for (i = 0; image[i]; i++)
		if (strchr(image[i], '='))
			put_env(r->env, &n, image[i]);
	for (i = 0; i < o->env.count; i++)
		put_env(r->env, &n, o->env.list[i]);
	if (!has_env(r->env, n, "PATH"))
		r->env[n++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
			      "/usr/bin:/sbin:/bin";
	if (o->has_tty && !has_env(r->env, n, "TERM"))
		r->env[n++] = "TERM=xterm";
	return 0;
}

/* What docker's options say of the container itself. */
static void add_options(struct session_plan *s, const struct run_options *o)
{
	s->dns = o->dns.count ? o->dns.list : NULL;
	s->search = o->search.list;
	s->dns_options = o->dns_options.list;
	s->hosts = (const char *const *)o->hosts;
	memcpy(s->limits, o->limits, sizeof(s->limits));
	s->limit_count = o->limit_count;
	s->cap_add = o->cap_add;
	s->cap_drop = o->cap_drop;
	s->shm_bytes = o->shm_bytes;
	s->has_init = o->has_init;
	s->is_idle = o->is_idle;
	s->is_read_only = o->is_read_only;
	s->has_no_new_privs = o->has_no_new_privs;
}

const char *run_stop_signal(const struct run *r)
{
	return r->options.stop_signal ? r->options.stop_signal
				      : r->image.config.stop_signal;
}

int run_make_session(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	const struct image_config *c = &r->image.config;
	int rc = make_argv(r, e);

	if (!rc)
		rc = make_env(r, e);
	r->session = (struct session_plan){
		.kind = SESSION_RUN,
		.is_kept = true,
		.stop_signal = signals_parse(run_stop_signal(r)),
		.argv = r->argv,
		.env = r->env,
		.workdir = o->workdir ? o->workdir : c->working_dir,
		.user = o->user ? o->user : c->user,
		.has_tty = o->has_tty,
		.has_stdin = o->is_interactive,
		.size = terminal_size_now(),
	};
	if (r->session.stop_signal < 0)
		r->session.stop_signal = SIGTERM;
	add_options(&r->session, o);
	return rc;
}
