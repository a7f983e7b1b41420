/* mayctl serve: functions behind an HTTP front. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/functions_file.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/serve/serve.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

static struct words {
	const char *listen, *max, *spare, *queue, *port, *drain;
	const char *wait, *timeout, *start_timeout, *config;
	bool has_no_log, is_check;
	struct function_plan like; /* what all functions have in common */
	struct functions functions;
	uint64_t drain_ms;
	int word_count; /* of the command line */
} serving;

static int take_memory(const struct args *a, void *into, struct err *e)
{
	struct words *w = into;
	uint64_t mib = 0;
	const int rc = value_memory(a->value, &mib, e);

	snprintf(w->like.options.memory, sizeof(w->like.options.memory),
		 "%llum", (unsigned long long)mib);
	return rc;
}

static int take_cpus(const struct args *a, void *into, struct err *e)
{
	struct words *w = into;
	unsigned count = 0;
	const int rc = value_cpus(a->value, &count, e);

	snprintf(w->like.options.cpus, sizeof(w->like.options.cpus), "%u",
		 count);
	return rc;
}

static int take_net(const struct args *a, void *into, struct err *e)
{
	return functions_net(a->value, ((struct words *)into)->like.options.net,
			     e);
}

static int take_mode(const struct args *a, void *into, struct err *e)
{
	return functions_mode(a->value,
			      &((struct words *)into)->like.options.mode, e);
}

static int take_type(const struct args *a, void *into, struct err *e)
{
	return functions_type(a->value,
			      ((struct words *)into)->like.options.type, e);
}

#define AT(member) .offset = offsetof(struct words, member)

static const struct arg table[] = {
	{"config", "FILE", AT(config)},
	{"check", AT(is_check)},
	{"listen", "ADDRESS", AT(listen)},
	{"mode", "MODE", take_mode},
	{"max", "N", AT(max)},
	{"spare", "N", AT(spare)},
	{"queue", "N", AT(queue)},
	{"port", "PORT", AT(port)},
	{"stdio", AT(like.is_stdio)},
	{"type", "TYPE", take_type},
	{"memory", "SIZE", take_memory, .letter = 'm'},
	{"cpus", "N", take_cpus},
	{"net", "NET", take_net},
	{"wait", "TIME", AT(wait)},
	{"timeout", "TIME", AT(timeout)},
	{"start-timeout", "TIME", AT(start_timeout)},
	{"drain", "TIME", AT(drain)},
	{"no-log", AT(has_no_log)},
	{"no-jail", AT(like.options.has_no_jail)},
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

static int read_times(struct words *w, struct err *e)
{
	struct function_options *o = &w->like.options;
	const struct {
		const char *text;
		uint64_t *ms;
	} times[] = {
		{w->wait, &o->wait_ms},
		{w->timeout, &o->timeout_ms},
		{w->start_timeout, &o->start_ms},
		{w->drain, &w->drain_ms},
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
	struct function_options *o = &w->like.options;
	unsigned port = 0;
	int rc = read_times(w, e);

	rc = rc ? rc : read_count("max", w->max, 1, FUNCTION_MOST, &o->max, e);
	rc = rc ? rc
		: read_count("spare", w->spare, 0, FUNCTION_MOST, &o->spare, e);
	rc = rc ? rc
		: read_count("queue", w->queue, 0, FUNCTION_QUEUE_MOST,
			     &o->queue, e);
	rc = rc ? rc : read_count("port", w->port, 1, UINT16_MAX, &port, e);
	w->like.port = (uint16_t)port;
	functions_settle(o, w->spare);
	if (!rc && w->like.is_stdio && port)
		return err_set(
			e, -EINVAL,
			"--port is of a server, and --stdio of a program "
			"that is none; leave one of them out");
	return rc ? rc : functions_judge(o, e);
}

/* "NAME=IMAGE" */
static int add_function(struct words *w, const char *word, struct err *e)
{
	char name[FUNCTION_NAME_MAX + 2] = "";
	const char *equals = strchr(word, '=');

	if (equals && (size_t)(equals - word) < sizeof(name))
		memcpy(name, word, (size_t)(equals - word));
	if (!equals || !equals[1] || !function_is_name(name))
		return err_set(e, -EINVAL,
			       "'%s' is not NAME=IMAGE, with a name of at most "
			       "%d letters, digits, - and _",
			       word, FUNCTION_NAME_MAX);
	return functions_add(&w->functions, &w->like, name, equals + 1, e);
}

static int add_functions(struct words *w, char *const *words, unsigned count,
			 struct err *e)
{
	unsigned i;
	int rc = 0;

	if (count && w->config)
		return err_set(e, -EINVAL,
			       "functions are in the file of --config or said "
			       "as NAME=IMAGE, not both");
	/* A reload says them again, and one more. */
	if (w->config && w->word_count >= MAKER_WORDS_MAX)
		return err_set(e, -E2BIG, "that is more than %d words",
			       MAKER_WORDS_MAX);
	if (!count && !w->config)
		return err_set(e, -EINVAL,
			       "give functions as NAME=IMAGE, such as "
			       "hello=registry.example/hello:1, or a file of "
			       "them by --config");
	for (i = 0; i < count && !rc; i++)
		rc = add_function(w, words[i], e);
	return rc;
}

/* Options count for all functions, wherever they stand among them. */
static int parse(struct words *w, struct args *a, struct err *e)
{
	enum args_found found;
	unsigned count = 0;
	int rc = 0;

	while (!rc &&
	       ((found = args_next(a)) == ARGS_OPTION || found == ARGS_WORD))
		if (found == ARGS_WORD)
			a->argv[1 + count++] = a->word;
		else
			rc = args_set(a, w, e);
	if (!rc && found != ARGS_END) {
		ctl_complain_of(a);
		return -EINVAL;
	}
	rc = rc ? rc : judge(w, e);
	rc = rc ? rc : add_functions(w, a->argv + 1, count, e);
	if (rc)
		ctl_complain("serve: %s", e->text);
	return rc;
}

/* The file is no wrong argument: what is in it may change. */
static int find_functions(struct words *w, bool imports, struct err *e)
{
	int rc = w->config ? functions_file_read(w->config, &w->like, w->spare,
						 &w->functions, e)
			   : 0;

	return rc ? rc : functions_find_images(&w->functions, imports, e);
}

/* ---- reading the file anew ---------------------------------------------- */

static int reread(struct function_plan *list, unsigned *count, struct err *e)
{
	struct functions *f = &serving.functions;
	int rc;

	f->count = 0;
	rc = find_functions(&serving, false, e);
	if (rc) {
		functions_fini(f);
		return rc;
	}
	memcpy(list, f->list, f->count * sizeof(*list));
	*count = f->count;
	f->count = 0;
	return 0;
}

/* Nobody may read what we say, and that is no reason to wait. */
static void reloaded(const struct roster_change *c)
{
	char line[120];
	const int n = snprintf(line, sizeof(line),
			       "mayctl: functions are read anew: %u added, %u "
			       "changed, %u removed\n",
			       c->added, c->changed, c->removed);

	(void)fd_write_ready(STDERR_FILENO, line, (size_t)n);
}

/* The words that we were started with, and one more. */
static void plan_reload(struct serve_plan *plan, int argc, char **argv)
{
	static const char *trial[MAKER_WORDS_MAX + 1];
	int i, n = 0;

	for (i = 0; i < argc && n < MAKER_WORDS_MAX - 1; i++)
		trial[n++] = argv[i];
	trial[n] = "--check";
	plan->trial = trial;
	plan->reread = reread;
	plan->reloaded = reloaded;
}

static void listening(const char *where)
{
	fprintf(stderr, "mayctl: serving at %s\n", where);
}

int ctl_serve(int argc, char **argv)
{
	struct args a = ARGS(table, 0, argc, argv);
	struct serve_plan plan = {.listening = listening};
	struct words *w = &serving;
	struct err e = {0};
	int rc;

	*w = (struct words){
		.listen = "127.0.0.1:8080",
		.like.options = functions_usual(),
		.drain_ms = 30000,
		.word_count = argc,
	};
	if (parse(w, &a, &e))
		return CTL_USAGE;
	log_set_id("serve");
	rc = find_functions(w, true, &e);
	if (w->config)
		plan_reload(&plan, argc, argv);
	plan.listen = w->listen;
	plan.functions = w->functions.list;
	plan.function_count = w->functions.count;
	plan.drain_ms = w->drain_ms;
	plan.log_fd = w->has_no_log ? -1 : STDOUT_FILENO;
	if (!rc && !w->is_check)
		rc = serve_run(&plan, &e);
	functions_fini(&w->functions);
	if (rc)
		ctl_complain("%s", e.text);
	return rc ? CTL_FAILED : CTL_OK;
}
