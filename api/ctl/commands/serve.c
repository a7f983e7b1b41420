/* mayctl serve: functions behind an HTTP front. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/image/image.h"
#include "api/ctl/serve/front.h"
#include "api/ctl/serve/serve.h"

struct words {
	const char *listen, *max, *spare, *queue, *mode, *port;
	const char *wait, *timeout, *start_timeout, *drain;
	bool has_no_log;
	struct serve_plan plan;
	struct serve_image images[FRONT_FUNCTIONS_MAX];
	char memory[24], cpus[8];
};

static int take_memory(const struct args *a, void *into, struct err *e)
{
	struct words *w = into;
	uint64_t mib = 0;
	const int rc = value_memory(a->value, &mib, e);

	snprintf(w->memory, sizeof(w->memory), "%llum",
		 (unsigned long long)mib);
	return rc;
}

static int take_cpus(const struct args *a, void *into, struct err *e)
{
	struct words *w = into;
	unsigned count = 0;
	const int rc = value_cpus(a->value, &count, e);

	snprintf(w->cpus, sizeof(w->cpus), "%u", count);
	return rc;
}

/* A tap can't be several microVMs'. */
static int take_net(const struct args *a, void *into, struct err *e)
{
	struct words *w = into;

	if (strcmp(a->value, "none") != 0 && strcmp(a->value, "nat") != 0)
		return err_set(e, -EINVAL, "--net is none or nat, not '%s'",
			       a->value);
	w->plan.options.net = a->value;
	return 0;
}

#define AT(member) .offset = offsetof(struct words, member)

static const struct arg table[] = {
	{"listen", "ADDRESS", AT(listen)},
	{"mode", "MODE", AT(mode)},
	{"max", "N", AT(max)},
	{"spare", "N", AT(spare)},
	{"queue", "N", AT(queue)},
	{"port", "PORT", AT(port)},
	{"memory", "SIZE", take_memory, .letter = 'm'},
	{"cpus", "N", take_cpus},
	{"net", "NET", take_net},
	{"wait", "TIME", AT(wait)},
	{"timeout", "TIME", AT(timeout)},
	{"start-timeout", "TIME", AT(start_timeout)},
	{"drain", "TIME", AT(drain)},
	{"no-log", AT(has_no_log)},
	{"no-jail", AT(plan.options.has_no_jail)},
};

/* ---- what it says ------------------------------------------------------- */

static int read_count(const char *option, const char *text, uint64_t least,
		      uint64_t most, unsigned *out, struct err *e)
{
	uint64_t n;

	if (!text)
		return 0;
	if (!args_number(text, &n) || n < least || n > most)
		return err_set(e, -EINVAL, "--%s is %llu to %llu, not '%s'",
			       option, (unsigned long long)least,
			       (unsigned long long)most, text);
	*out = (unsigned)n;
	return 0;
}

static int read_mode(struct words *w, struct err *e)
{
	static const char *const modes[] = {"cold", "clone", "reset"};
	unsigned i;

	for (i = 0; w->mode && i < 3; i++)
		if (!strcmp(w->mode, modes[i])) {
			w->plan.options.mode = (enum function_mode)i;
			return 0;
		}
	return w->mode ? err_set(e, -EINVAL,
				 "--mode is cold, clone or reset, not '%s'",
				 w->mode)
		       : 0;
}

static int read_times(struct words *w, struct err *e)
{
	struct function_options *o = &w->plan.options;
	const struct {
		const char *text;
		uint64_t *ms;
	} times[] = {
		{w->wait, &o->wait_ms},
		{w->timeout, &o->timeout_ms},
		{w->start_timeout, &o->start_ms},
		{w->drain, &w->plan.drain_ms},
	};
	unsigned i;
	int rc = 0;

	for (i = 0; i < 4 && !rc; i++)
		if (times[i].text)
			rc = value_duration(times[i].text, times[i].ms, e);
	return rc;
}

static int judge(struct words *w, struct err *e)
{
	struct function_options *o = &w->plan.options;
	int rc = read_mode(w, e);

	o->spare = o->mode != FUNCTION_COLD;
	rc = rc ? rc : read_times(w, e);
	rc = rc ? rc : read_count("max", w->max, 1, 10000, &o->max, e);
	rc = rc ? rc : read_count("spare", w->spare, 0, 10000, &o->spare, e);
	rc = rc ? rc : read_count("queue", w->queue, 0, 100000, &o->queue, e);
	if (!rc && o->spare > o->max)
		return err_set(e, -EINVAL, "--spare is at most --max, %u",
			       o->max);
	if (!rc && !w->plan.image_count)
		return err_set(e, -EINVAL,
			       "give functions as NAME=IMAGE, such as "
			       "hello=registry.example/hello:1");
	return rc;
}

/* "NAME=IMAGE" */
static int add_function(struct words *w, const char *word, struct err *e)
{
	struct serve_image *i = &w->images[w->plan.image_count];
	const char *equals = strchr(word, '=');
	unsigned n;

	if (w->plan.image_count == FRONT_FUNCTIONS_MAX)
		return err_set(e, -E2BIG, "at most %d functions",
			       FRONT_FUNCTIONS_MAX);
	*i = (struct serve_image){0};
	if (equals && (size_t)(equals - word) < sizeof(i->name))
		memcpy(i->name, word, (size_t)(equals - word));
	if (!equals || !equals[1] || !function_is_name(i->name))
		return err_set(e, -EINVAL,
			       "'%s' is not NAME=IMAGE, with a name of at most "
			       "%d letters, digits, - and _",
			       word, FUNCTION_NAME_MAX);
	if (!strcmp(i->name, "metrics"))
		return err_set(e, -EINVAL,
			       "/metrics is the host's own; call the function "
			       "something else");
	for (n = 0; n < w->plan.image_count; n++)
		if (!strcmp(w->images[n].name, i->name))
			return err_set(e, -EEXIST, "there are two functions %s",
				       i->name);
	i->image = equals + 1;
	w->plan.image_count++;
	return 0;
}

static int parse(struct words *w, struct args *a, struct err *e)
{
	enum args_found found;
	int rc = 0;

	while (!rc &&
	       ((found = args_next(a)) == ARGS_OPTION || found == ARGS_WORD))
		rc = found == ARGS_WORD ? add_function(w, a->word, e)
					: args_set(a, w, e);
	if (!rc && found != ARGS_END) {
		ctl_complain_of(a);
		return -EINVAL;
	}
	rc = rc ? rc : judge(w, e);
	if (rc)
		ctl_complain("serve: %s", e->text);
	return rc;
}

/* ---- its images --------------------------------------------------------- */

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

static int find_image(const struct words *w, struct serve_image *i,
		      struct err *e)
{
	const struct image_import how = {.ref = i->image};
	struct image image = {.fd = -1};
	unsigned port = 0;
	int rc = image_find_or_import(&how, &image, e);

	if (rc)
		return rc;
	port = (unsigned)exposed_port(&image);
	image_fini(&image);
	rc = read_count("port", w->port, 1, UINT16_MAX, &port, e);
	if (!rc && !port)
		return err_set(e, -EINVAL,
			       "%s exposes no TCP port; say by --port where "
			       "its server listens",
			       i->image);
	i->port = (uint16_t)port;
	return rc;
}

static void listening(const char *where)
{
	fprintf(stderr, "mayctl: serving at %s\n", where);
}

int ctl_serve(int argc, char **argv)
{
	struct args a = ARGS(table, 0, argc, argv);
	static struct words w;
	struct err e = {0};
	unsigned i;
	int rc = 0;

	w = (struct words){
		.memory = "256m",
		.cpus = "1",
		.listen = "127.0.0.1:8080",
		.plan = {.options = {.mode = FUNCTION_CLONE,
				     .max = 8,
				     .queue = 64,
				     .wait_ms = 30000,
				     .timeout_ms = 60000,
				     .start_ms = 120000,
				     .net = "none"},
			 .drain_ms = 30000},
	};
	if (parse(&w, &a, &e))
		return CTL_USAGE;
	for (i = 0; i < w.plan.image_count && !rc; i++)
		rc = find_image(&w, &w.images[i], &e);
	w.plan.listen = w.listen;
	w.plan.images = w.images;
	w.plan.options.memory = w.memory;
	w.plan.options.cpus = w.cpus;
	w.plan.log_fd = w.has_no_log ? -1 : STDOUT_FILENO;
	w.plan.listening = listening;
	rc = rc ? rc : serve_run(&w.plan, &e);
	if (rc)
		ctl_complain("%s", e.text);
	return rc ? CTL_FAILED : CTL_OK;
}
