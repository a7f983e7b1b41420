/* The history of runs: a line of JSON for each. */
#include "api/ctl/bench/past.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "api/json/json.h"

enum { FILE_MAX = 8 << 20, LINE_MAX_BYTES = 64 << 10 };

/* What such names are made of, so that they need no quotes anywhere. */
static bool take_name(char out[PAST_NAME_MAX], const json_t *value)
{
	const char *text = json_string_value(value);
	const size_t len = text ? strlen(text) : 0;

	if (!len || len >= PAST_NAME_MAX ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789-+.:_") != len)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

/* Positive, and neither beyond what a plot can show nor below. */
static bool take_number(double *out, const json_t *value)
{
	*out = json_is_number(value) ? json_number_value(value) : 0;
	return isfinite(*out) && *out >= 1e-6 && *out <= 1e9;
}

static void take_peer(struct past_run *run, const char *bench,
		      const json_t *peer)
{
	const json_t *interval = json_object_get(peer, "ratio_interval");
	struct past_ratio *r;

	if (run->count == PAST_RATIOS_MAX)
		return;
	r = &run->ratios[run->count];
	snprintf(r->bench, sizeof(r->bench), "%s", bench);
	if (take_name(r->peer, json_object_get(peer, "peer")) &&
	    take_number(&r->ratio, json_object_get(peer, "ratio")) &&
	    take_number(&r->low, json_array_get(interval, 0)) &&
	    take_number(&r->high, json_array_get(interval, 1)) &&
	    r->low <= r->high && !past_find(run, bench, r->peer))
		run->count++;
}

static void take_bench(struct past_run *run, const json_t *bench)
{
	const json_t *peers = json_object_get(bench, "peers");
	const json_t *peer;
	char name[PAST_NAME_MAX];
	size_t i;

	if (!take_name(name, json_object_get(bench, "name")))
		return;
	json_array_foreach(peers, i, peer)
	{
		take_peer(run, name, peer);
	}
}

int past_run_read(struct past_run *run, const json_t *report, struct err *e)
{
	const json_t *benches = json_object_get(report, "benches");
	const json_t *bench;
	size_t i;

	*run = (struct past_run){0};
	if (!take_name(run->time, json_object_get(report, "time")) ||
	    !take_name(run->version, json_object_get(report, "mayfly")) ||
	    !json_is_array(benches))
		return err_set(e, -EBADMSG,
			       "it is no report of mayctl bench: time, mayfly "
			       "or benches is missing");
	json_array_foreach(benches, i, bench)
	{
		take_bench(run, bench);
	}
	return 0;
}

const struct past_ratio *past_find(const struct past_run *run,
				   const char *bench, const char *peer)
{
	unsigned i;

	for (i = 0; i < run->count; i++)
		if (!strcmp(run->ratios[i].bench, bench) &&
		    !strcmp(run->ratios[i].peer, peer))
			return &run->ratios[i];
	return NULL;
}

int past_path(char out[PATH_MAX], struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char dir[PATH_MAX];
	int n, rc;

	if (state && *state == '/')
		n = snprintf(dir, sizeof(dir), "%s/mayfly-bench", state);
	else if (geteuid() == 0)
		n = snprintf(dir, sizeof(dir), "/var/lib/mayfly/bench");
	else if (home && *home == '/')
		n = snprintf(dir, sizeof(dir), "%s/.local/state/mayfly-bench",
			     home);
	else
		return err_set(e, -ENOENT,
			       "there is no place for the history: set "
			       "XDG_STATE_HOME to a directory of yours, or use "
			       "--no-history");
	if (n < 0 || n + 32 > PATH_MAX)
		return err_set(e, -ENAMETOOLONG,
			       "set XDG_STATE_HOME to a shorter path");
	rc = tree_make(dir);
	if (rc)
		return err_set(e, rc,
			       "can't make %s for the history: %s; "
			       "--no-history does without",
			       dir, strerror(-rc));
	if (access(dir, W_OK | X_OK))
		return err_errno(e,
				 "--no-history does without a history; can't "
				 "write to %s",
				 dir);
	snprintf(out, PATH_MAX, "%.*s/history.jsonl", n, dir);
	return 0;
}

static bool parse_line(struct past_run *run, const char *line, size_t len)
{
	json_t *report;
	int rc;

	if (len > LINE_MAX_BYTES)
		return false;
	report = json_parse(line, len, NULL);
	rc = past_run_read(run, report, NULL);
	json_decref(report);
	return !rc;
}

/* Where the last PAST_RUNS_MAX lines begin. */
static const char *last_lines(const char *text)
{
	const char *at = text + strlen(text);
	unsigned lines = 0;

	while (at > text) {
		if (at[-1] == '\n' && at[0] && ++lines == PAST_RUNS_MAX)
			break;
		at--;
	}
	return at;
}

int past_read(struct past *p, const char *path, struct err *e)
{
	char *text = NULL;
	const char *at;
	int rc;

	*p = (struct past){0};
	if (access(path, F_OK))
		return 0;
	rc = process_read_file(path, FILE_MAX, &text, e);
	if (rc)
		return rc;
	p->runs = calloc(PAST_RUNS_MAX + 1, sizeof(*p->runs));
	if (!p->runs) {
		free(text);
		return err_set(e, -ENOMEM, "no memory for the history");
	}
	for (at = last_lines(text); *at && p->count < PAST_RUNS_MAX;) {
		const size_t len = strcspn(at, "\n");

		if (parse_line(&p->runs[p->count], at, len))
			p->count++;
		else if (len)
			p->passed_over++;
		at += len + (at[len] == '\n');
	}
	free(text);
	return 0;
}

/* The old lines behind which the new one comes; "" where there are none. */
int past_add(const char *path, const json_t *report, struct err *e)
{
	char *line = json_dumps(report, JSON_COMPACT), *old = NULL, *all = NULL;
	const char *kept = "";
	int rc = line ? 0 : -ENOMEM;

	if (!rc && !access(path, F_OK)) {
		rc = process_read_file(path, FILE_MAX, &old, e);
		if (!rc)
			kept = last_lines(old);
	}
	if (!rc && asprintf(&all, "%s%s%s\n", kept,
			    *kept && kept[strlen(kept) - 1] != '\n' ? "\n" : "",
			    line) < 0)
		rc = -ENOMEM;
	if (rc == -ENOMEM)
		err_set(e, rc, "no memory for the history");
	if (!rc)
		rc = process_write_file(path, all, e);
	free(line);
	free(old);
	free(all);
	return rc;
}

void past_fini(struct past *p)
{
	free(p->runs);
	*p = (struct past){0};
}
