/*
 * mayctl snapshot, mark and reset: a microVM that runs as a folder, and back to
 * a moment of its own.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/vm/moment.h"
#include "api/ctl/vm/saving.h"
#include "api/ctl/vm/seal.h"
#include "vmm/base/args.h"

struct words {
	const char *output;
	const char *name;
	const char *key;
	bool is_ended;
	bool is_unsynced;
	bool keeps_drives;
};

#define AT(member) .offset = offsetof(struct words, member)

static const struct arg snapshot_options[] = {
	{"output", "DIR", AT(output), .letter = 'o'},
	{"stop", AT(is_ended)},
	{"no-sync", AT(is_unsynced)},
	{"snapshot-key", "FILE", AT(key)},
};

static const struct arg reset_options[] = {
	{"keep-drives", AT(keeps_drives)},
};

static int parse(struct words *w, struct args *a)
{
	enum args_found found;

	*w = (struct words){0};
	while ((found = args_next(a)) == ARGS_OPTION || found == ARGS_WORD) {
		if (found == ARGS_WORD && w->name)
			break;
		if (found == ARGS_WORD)
			w->name = a->word;
		else
			(void)args_set(a, w, NULL);
	}
	if (found != ARGS_END)
		ctl_complain_of(a);
	else if (!w->name)
		ctl_complain("%s needs the name of a microVM", a->argv[0]);
	else
		return 0;
	return -EINVAL;
}

/* How it has ended: what is printed, and the status. */
static int tell(int rc, const char *what, const struct err *e)
{
	if (rc)
		ctl_complain("%s", e->text);
	else
		puts(what);
	interrupt_release();
	return rc ? CTL_REFUSED : CTL_OK;
}

static int save(const struct words *w, struct err *e)
{
	struct state_key key;
	const struct saving_how how = {
		.is_ended = w->is_ended,
		.is_unsynced = w->is_unsynced,
		.key = &key,
	};
	struct folder f;
	int rc = seal_key(w->key, &key, e);

	rc = rc ? rc : folder_begin(&f, w->output, e);
	if (rc)
		return rc;
	rc = saving_make(w->name, &how, &f, e);
	interrupt_ignore();
	folder_fini(&f);
	return rc;
}

int ctl_snapshot(int argc, char **argv)
{
	struct args a = ARGS(snapshot_options, 0, argc, argv);
	struct err e = {0};
	struct words w;

	if (parse(&w, &a))
		return CTL_USAGE;
	if (!w.output) {
		ctl_complain("snapshot needs the folder to make: -o DIR");
		return CTL_USAGE;
	}
	interrupt_hold();
	return tell(save(&w, &e), w.output, &e);
}

int ctl_mark(int argc, char **argv)
{
	struct args a = ARGS(reset_options, 0, argc, argv);
	struct err e = {0};
	struct words w;

	a.count = 0;
	if (parse(&w, &a))
		return CTL_USAGE;
	interrupt_hold();
	return tell(moment_mark(w.name, &e), w.name, &e);
}

int ctl_reset(int argc, char **argv)
{
	struct args a = ARGS(reset_options, 0, argc, argv);
	struct err e = {0};
	struct words w;

	if (parse(&w, &a))
		return CTL_USAGE;
	interrupt_hold();
	return tell(moment_reset(w.name, w.keeps_drives, &e), w.name, &e);
}
