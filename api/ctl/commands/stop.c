/*
 * mayctl stop, kill and rm: the words of those who want a microVM ended, which
 * api/ctl/vm/end.c does.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/base/signals.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/docker.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/vm/end.h"
#include "vmm/base/args.h"

enum { STOP_MS = 10000 };

/* The words of a command that takes names, options before or among them. */
struct words {
	const char *time;
	const char *signal;
	bool is_forced;
	bool has_volumes; /* rm -v: they go with it anyway */
	char **names;
	int count;
};

#define AT(member) .offset = offsetof(struct words, member)

static const struct arg stop_options[] = {
	{"time", "TIME", AT(time), .letter = 't'},
	{"timeout", "TIME", AT(time)},
	{"signal", "SIGNAL", AT(signal), .letter = 's'},
};
static const struct arg kill_options[] = {
	{"signal", "SIGNAL", AT(signal), .letter = 's'},
};
static const struct arg rm_options[] = {
	{"force", AT(is_forced), .letter = 'f'},
	{"volumes", AT(has_volumes), .letter = 'v'},
};

/* The names are left at the beginning of argv, in their order. */
static int read_words(struct words *w, struct args *a)
{
	enum args_found found;

	*w = (struct words){.names = a->argv + 1};
	while ((found = args_next(a)) == ARGS_OPTION || found == ARGS_WORD) {
		if (found == ARGS_OPTION)
			(void)args_set(a, w, NULL);
		else
			w->names[w->count++] = a->word;
	}
	if (found == ARGS_END && w->count)
		return 0;
	if (found != ARGS_END)
		docker_complain(a->argv[0], a->word);
	else
		ctl_complain("%s: it takes names of microVMs; `mayctl ps -a` "
			     "lists them",
			     a->argv[0]);
	return -EINVAL;
}

/* Complains where that is none; absent where none is named. */
static int read_signal(const struct words *w, const char *command, int absent)
{
	const int signal = w->signal ? signals_parse(w->signal) : absent;

	if (signal < 0)
		ctl_complain("%s: '%s' is no signal; TERM, SIGTERM or 15 would "
			     "be",
			     command, w->signal);
	return signal;
}

int ctl_stop(int argc, char **argv)
{
	uint64_t patience_ms = STOP_MS;
	int i, rc, signal, code = CTL_OK;
	struct err e = {0};
	struct args a = ARGS(stop_options, 0, argc, argv);
	struct words w;

	if (read_words(&w, &a))
		return CTL_USAGE;
	signal = read_signal(&w, "stop", 0);
	if (signal < 0)
		return CTL_USAGE;
	if (w.time && !strcmp(w.time, "0")) {
		patience_ms = 0;
	} else if (w.time && !strcmp(w.time, "-1")) {
		patience_ms = UINT64_MAX;
	} else if (w.time && value_duration(w.time, &patience_ms, &e)) {
		ctl_complain("stop -t: %s", e.text);
		return CTL_USAGE;
	}
	/* A week is as long as for ever. */
	if (patience_ms > 7 * 86400000)
		patience_ms = 7 * 86400000;
	for (i = 0; i < w.count; i++) {
		rc = end_stop(w.names[i], signal, patience_ms, &e);
		if (rc)
			ctl_complain("%s", e.text);
		if (rc >= 0)
			puts(w.names[i]);
		else
			code = CTL_REFUSED;
	}
	return code;
}

int ctl_kill(int argc, char **argv)
{
	int i, signal, code = CTL_OK;
	struct err e = {0};
	struct args a = ARGS(kill_options, 0, argc, argv);
	struct words w;

	if (read_words(&w, &a))
		return CTL_USAGE;
	signal = read_signal(&w, "kill", SIGKILL);
	if (signal < 0)
		return CTL_USAGE;
	for (i = 0; i < w.count; i++) {
		if (!end_kill(w.names[i], signal, &e)) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	}
	return code;
}

int ctl_rm(int argc, char **argv)
{
	int i, rc, code = CTL_OK;
	struct err e = {0};
	struct args a = ARGS(rm_options, 0, argc, argv);
	struct words w;

	if (read_words(&w, &a))
		return CTL_USAGE;
	for (i = 0; i < w.count; i++) {
		rc = end_remove(w.names[i], w.is_forced, &e);
		if (!rc) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		/* As with docker's, -f of what is not there is no failure. */
		if (rc != -ENOENT || !w.is_forced)
			code = CTL_REFUSED;
	}
	return code;
}
