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
#include "api/ctl/commands/run_options.h"
#include "api/ctl/vm/end.h"
#include "vmm/base/args.h"

enum { STOP_MS = 10000 };

/* The words of a command that takes names behind its options. */
struct words {
	const char *value; /* of -t or -s; NULL where it was not given */
	bool is_forced;
	char **names;
	int count;
};

static const struct arg time_option = {
	"time", "TIME", .offset = offsetof(struct words, value), .letter = 't'};
static const struct arg signal_option = {
	"signal", "SIGNAL", .offset = offsetof(struct words, value),
	.letter = 's'};
static const struct arg force_option = {
	"force", .offset = offsetof(struct words, is_forced), .letter = 'f'};

static int read_words(struct words *w, int argc, char **argv,
		      const struct arg *option)
{
	struct args a = {
		.table = option,
		.count = 1,
		.argc = argc,
		.argv = argv,
		.at = 1,
	};
	enum args_found found;

	*w = (struct words){0};
	while ((found = args_next(&a)) == ARGS_OPTION)
		(void)args_set(&a, w, NULL);
	if (found == ARGS_WORD) {
		w->names = argv + a.at - 1;
		w->count = argc - a.at + 1;
		return 0;
	}
	ctl_complain("%s: can't use '%s'; it takes names of microVMs, --help "
		     "shows how",
		     argv[0], found ? argv[a.at - 1] : "");
	return -EINVAL;
}

int ctl_stop(int argc, char **argv)
{
	uint64_t patience_ms = STOP_MS;
	int i, rc, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, &time_option))
		return CTL_USAGE;
	if (w.value && !strcmp(w.value, "0")) {
		patience_ms = 0;
	} else if (w.value && run_options_duration(w.value, &patience_ms, &e)) {
		ctl_complain("stop -t: %s", e.text);
		return CTL_USAGE;
	}
	/* A week is as long as for ever. */
	if (patience_ms > 7 * 86400000)
		patience_ms = 7 * 86400000;
	for (i = 0; i < w.count; i++) {
		rc = end_stop(w.names[i], patience_ms, &e);
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
	int i, signal = SIGKILL, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, &signal_option))
		return CTL_USAGE;
	if (w.value)
		signal = signals_parse(w.value);
	if (signal < 0) {
		ctl_complain("kill: '%s' is no signal; TERM, SIGTERM or 15 "
			     "would be",
			     w.value);
		return CTL_USAGE;
	}
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
	int i, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, &force_option))
		return CTL_USAGE;
	for (i = 0; i < w.count; i++) {
		if (!end_remove(w.names[i], w.is_forced, &e)) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	}
	return code;
}
