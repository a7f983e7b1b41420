/*
 * mayctl stop, kill and rm: the words of those who want a microVM ended, which
 * api/ctl/vm/end.c does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/base/signals.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run_options.h"
#include "api/ctl/vm/end.h"

enum { STOP_MS = 10000 };

/* The words of a command that takes names and one option with a value. */
struct words {
	const char *value; /* of the option; NULL where it was not given */
	bool is_forced;
	char **names;
	int count;
};

static int read_words(struct words *w, int argc, char **argv,
		      const char *letter, const char *word)
{
	int i;

	*w = (struct words){0};
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *arg = argv[i];
		const char *value = NULL;

		if (word)
			value = ctl_option(argc, argv, &i, word);
		if (letter && !value)
			value = ctl_option(argc, argv, &i, letter);
		if (value && *value)
			w->value = value;
		else if (!word &&
			 (!strcmp(arg, "-f") || !strcmp(arg, "--force")))
			w->is_forced = true;
		else
			break;
	}
	w->names = argv + i;
	w->count = argc - i;
	if (w->count > 0 && w->names[0][0] != '-')
		return 0;
	ctl_complain("%s: can't use '%s'; it takes names of microVMs, --help "
		     "shows how",
		     argv[0], w->count > 0 ? w->names[0] : "");
	return -EINVAL;
}

int ctl_stop(int argc, char **argv)
{
	uint64_t patience_ms = STOP_MS;
	int i, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, "-t", "--time"))
		return CTL_USAGE;
	if (w.value && !strcmp(w.value, "0")) {
		patience_ms = 0;
	} else if (w.value && run_options_duration(w.value, &patience_ms, &e)) {
		ctl_complain("stop -t: %s", e.text);
		return CTL_USAGE;
	}
	if (patience_ms > INT32_MAX)
		patience_ms = INT32_MAX;
	for (i = 0; i < w.count; i++) {
		if (!end_stop(w.names[i], patience_ms, &e)) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	}
	return code;
}

int ctl_kill(int argc, char **argv)
{
	int i, signal = SIGKILL, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, "-s", "--signal"))
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

	if (read_words(&w, argc, argv, NULL, NULL))
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
