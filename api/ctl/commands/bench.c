/* mayctl bench: measures mayfly beside its peers, and compares such runs. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/process.h"
#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/compare.h"
#include "api/ctl/bench/page.h"
#include "api/ctl/bench/past.h"
#include "api/ctl/bench/report.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/show.h"
#include "api/json/json.h"
#include "vmm/base/args.h"

enum {
	KINDS_MAX = 32,
	ROUNDS_USUAL = 30,
	ROUNDS_MAX = 100000,
	COUNT_MAX = 20000,
	LOAD_MS_USUAL = 500,
	LOAD_MS_MAX = 10000,
	RESULTS_MAX = KINDS_MAX + DISK_MAX * BENCH_MEASURES_MAX,
	REPORT_MAX = 64 << 20,
};

struct words {
	const char *peers[PEER_COUNT];
	const char *kernels[PEER_COUNT];
	const char *html;
	const char *prepare;
	const char *drives[DISK_MAX];
	unsigned drive_count;
	uint64_t rounds;
	uint64_t seconds;
	uint64_t count;
	uint64_t load_ms;
	bool is_json;
	bool is_csv;
	bool has_no_history;
	bool is_quiet;
	bool is_all;
	const struct bench_kind *kinds[KINDS_MAX];
	unsigned kind_count;
};

static int take_number(const struct args *a, void *into, uint64_t max,
		       struct err *e)
{
	uint64_t *n = (void *)((char *)into + a->arg->offset);

	if (args_number(a->value, n) && *n && *n <= max)
		return 0;
	return err_set(e, -EINVAL, "--%s takes a number from 1 to %llu, not %s",
		       a->arg->name, (unsigned long long)max, a->value);
}

static int take_rounds(const struct args *a, void *into, struct err *e)
{
	return take_number(a, into, ROUNDS_MAX, e);
}

static int take_count(const struct args *a, void *into, struct err *e)
{
	return take_number(a, into, COUNT_MAX, e);
}

static int take_load(const struct args *a, void *into, struct err *e)
{
	return take_number(a, into, LOAD_MS_MAX, e);
}

static int take_drive(const struct args *a, void *into, struct err *e)
{
	struct words *w = into;

	if (w->drive_count == DISK_MAX)
		return err_set(e, -E2BIG, "--drive can be given %d times",
			       DISK_MAX);
	w->drives[w->drive_count++] = a->value;
	return 0;
}

#define AT(member) offsetof(struct words, member)

static const struct arg options[] = {
	{"rounds", "N", take_rounds, AT(rounds)},
	{"seconds", "N", take_rounds, AT(seconds)},
	{"count", "N", take_count, AT(count)},
	{"prepare", "COMMAND", NULL, AT(prepare)},
	{"load", "MS", take_load, AT(load_ms)},
	{"drive", "PATH", take_drive, 0},
	{"json", NULL, NULL, AT(is_json)},
	{"csv", NULL, NULL, AT(is_csv)},
	{"html", "FILE", NULL, AT(html)},
	{"no-history", NULL, NULL, AT(has_no_history)},
	{"quiet", NULL, NULL, AT(is_quiet), .letter = 'q'},
	{"qemu", "PATH", NULL, AT(peers[PEER_QEMU])},
	{"firecracker", "PATH", NULL, AT(peers[PEER_FIRECRACKER])},
	{"cloud-hypervisor", "PATH", NULL, AT(peers[PEER_CLOUD_HYPERVISOR])},
	{"kvmtool", "PATH", NULL, AT(peers[PEER_KVMTOOL])},
	{"qemu-kernel", "PATH", NULL, AT(kernels[PEER_QEMU])},
	{"firecracker-kernel", "PATH", NULL, AT(kernels[PEER_FIRECRACKER])},
	{"crun", "PATH", NULL, AT(peers[PEER_CRUN])},
	{"runc", "PATH", NULL, AT(peers[PEER_RUNC])},
};

static bool has_kind(const struct words *w, const struct bench_kind *k)
{
	unsigned i;

	for (i = 0; i < w->kind_count; i++)
		if (w->kinds[i] == k)
			return true;
	return false;
}

static bool add_kind(struct words *w, const char *name)
{
	const struct bench_kind *k;

	if (!strcmp(name, "all")) {
		w->is_all = true;
		for (k = bench_kinds; k->run; k++)
			if (!has_kind(w, k))
				w->kinds[w->kind_count++] = k;
		return true;
	}
	k = bench_find(name);
	if (!k)
		return false;
	if (!has_kind(w, k))
		w->kinds[w->kind_count++] = k;
	return true;
}

static int parse(struct words *w, struct args *a)
{
	enum args_found found;
	struct err e = {0};

	while ((found = args_next(a)) == ARGS_OPTION || found == ARGS_WORD) {
		if (found == ARGS_OPTION) {
			if (!args_set(a, w, &e))
				continue;
			ctl_complain("%s", e.text);
			return -EINVAL;
		}
		if (!add_kind(w, a->word)) {
			ctl_complain("there is no bench '%s'; bench --help "
				     "lists them",
				     a->word);
			return -EINVAL;
		}
	}
	if (found != ARGS_END)
		ctl_complain_of(a);
	else if (!w->kind_count)
		ctl_complain("bench needs the name of a bench, or all");
	else if (w->is_json && w->is_csv)
		ctl_complain("--json and --csv both go to stdout; take one");
	else
		return 0;
	return -EINVAL;
}

/*
 * What was measured for minutes should not be lost: whether a page can be
 * written, which leaves nothing. A FIFO's reader would take an open for all.
 */
static int check_page(const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd >= 0) {
		close(fd);
		unlink(path);
		return 0;
	}
	if (errno == EEXIST && !access(path, W_OK) && !stat(path, &st)) {
		if (!S_ISDIR(st.st_mode))
			return 0;
		errno = EISDIR;
	}
	return err_errno(e, "can't write %s", path);
}

static int check_places(const struct words *w, struct err *e)
{
	struct past past = {0};
	char path[PATH_MAX];
	int rc = w->has_no_history ? 0 : past_path(path, e);

	if (!rc && !w->has_no_history) {
		rc = past_read(&past, path, e);
		past_fini(&past);
		if (rc)
			return err_context(e, "--no-history does without");
	}
	return !rc && w->html ? check_page(w->html, e) : rc;
}

/* What was found, in all the forms that were asked for. */
static int tell(const struct words *w, const struct report *r, struct err *e)
{
	json_t *full = NULL, *brief = report_json(r, false);
	struct past past = {0};
	char path[PATH_MAX];
	FILE *page;
	int rc = 0;

	if (!w->has_no_history) {
		rc = past_path(path, e);
		if (!rc)
			rc = past_read(&past, path, e);
		if (!rc)
			rc = past_add(path, brief, e);
	}
	if (w->is_json) {
		full = report_json(r, true);
		(void)show_json(full, JSON_INDENT(1) | JSON_REAL_PRECISION(9),
				stdout);
		json_decref(full);
	} else if (w->is_csv) {
		report_csv(r, stdout);
	} else {
		report_text(r, stdout);
	}
	json_decref(brief);
	if (fflush(stdout) || ferror(stdout))
		rc = err_errno(e, "can't write to stdout");
	if (w->html) {
		page = fopen(w->html, "we");
		if (page)
			page_write(r, &past, page);
		if (!page || ferror(page) | fclose(page))
			rc = err_errno(e, "can't write %s", w->html);
	}
	past_fini(&past);
	return rc;
}

/* How all of it ended; see CTL_NOISY and CTL_NOT_RUN. */
struct outcome {
	bool is_noisy;
	bool is_not_run; /* one that was named */
	bool has_failed;
	unsigned measured;
};

/* All that is found, of which so many are there. */
struct found {
	struct result list[RESULTS_MAX];
	unsigned count;
};

static int run_kind(const struct words *w, const struct bench_kind *kind,
		    const struct bench *b, struct found *f, struct outcome *o)
{
	struct result *results = &f->list[f->count];
	struct err e = {0};
	unsigned n, i;
	int rc = bench_run(kind, b, results, &n, &e);

	f->count += n;
	for (i = 0; i < n; i++)
		o->is_noisy |= results[i].state == RESULT_NOISY;
	o->measured += !rc;
	o->is_not_run |= rc == -EOPNOTSUPP && !w->is_all;
	o->has_failed |= rc && rc != -EOPNOTSUPP && rc != -EINTR;
	return rc == -EINTR ? rc : 0;
}

static int run_kinds(const struct words *w, const struct disks *disks,
		     struct bench *b, struct found *f, struct outcome *o)
{
	unsigned i, k;
	int rc = 0;

	for (i = 0; i < w->kind_count && !rc; i++) {
		const struct bench_kind *kind = w->kinds[i];

		b->disk = NULL;
		if (!kind->has_disks)
			rc = run_kind(w, kind, b, f, o);
		for (k = 0; kind->has_disks && k < disks->count && !rc; k++) {
			b->disk = &disks->list[k];
			rc = run_kind(w, kind, b, f, o);
			/* It is the same sentence for all. */
			if (f->list[f->count - 1].state == RESULT_NOT_RUN)
				break;
		}
	}
	return rc;
}

static int exit_of(const struct outcome *o)
{
	if (o->has_failed)
		return CTL_REFUSED;
	if (o->is_not_run || !o->measured)
		return CTL_NOT_RUN;
	return o->is_noisy ? CTL_NOISY : CTL_OK;
}

/* Each microVM has a pipe of ours, and there are to be a thousand. */
static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

/* Absolute, for they stand in configurations. */
static int find_kernels(struct bench *b, const struct words *w,
			char paths[PEER_COUNT][PATH_MAX], struct err *e)
{
	unsigned i;

	for (i = 0; i < PEER_COUNT; i++) {
		if (!w->kernels[i])
			continue;
		if (!realpath(w->kernels[i], paths[i]) ||
		    access(paths[i], R_OK))
			return err_errno(e, "--%s-kernel: can't read %s",
					 peer_name(i), w->kernels[i]);
		b->kernels[i] = paths[i];
	}
	return 0;
}

static int measure(const struct words *w)
{
	static struct found found;
	static struct parts parts;
	static struct disks disks;
	static char kernels[PEER_COUNT][PATH_MAX];
	struct host host;
	struct bench b = {
		.parts = &parts,
		.host = &host,
		.pace = {.warm_ups = 2,
			 .rounds = (unsigned)w->rounds,
			 .seconds = (double)w->seconds,
			 .is_told = !w->is_quiet && isatty(STDERR_FILENO),
			 .prepare = w->prepare},
		.count = (unsigned)w->count,
		.load_ms = (unsigned)w->load_ms,
	};
	struct report report = {&host, &parts, found.list, 0};
	struct outcome o = {0};
	struct err e = {0};
	unsigned i;
	int rc;

	host_read(&host);
	raise_limit();
	interrupt_hold();
	rc = check_places(w, &e);
	if (!rc)
		rc = find_kernels(&b, w, kernels, &e);
	if (!rc)
		rc = disks_find(&disks, w->drives, w->drive_count, &e);
	if (!rc)
		rc = parts_find(&parts, w->peers, &e);
	if (!rc)
		rc = run_kinds(w, &disks, &b, &found, &o);
	report.count = found.count;
	/* Before all that is told: who reads it may be gone (SIGPIPE). */
	parts_fini(&parts);
	if (!rc)
		rc = tell(w, &report, &e);
	for (i = 0; i < found.count; i++)
		result_fini(&found.list[i]);
	interrupt_release();
	if (rc)
		ctl_complain("%s", rc == -EINTR ? "ended by a signal" : e.text);
	return rc ? CTL_REFUSED : exit_of(&o);
}

static int read_report(const char *path, struct past_run *run, struct err *e)
{
	char *text = NULL;
	json_t *report;
	int rc = process_read_file(path, REPORT_MAX, &text, e);

	if (rc)
		return rc;
	report = json_parse(text, strlen(text), e);
	rc = report ? past_run_read(run, report, e) : -EBADMSG;
	json_decref(report);
	free(text);
	return rc ? err_context(e, "%s", path) : 0;
}

static int compare(int argc, char **argv)
{
	static const int exits[] = {
		[COMPARE_ALIKE] = CTL_OK,
		[COMPARE_CANT_TELL] = CTL_NOISY,
		[COMPARE_DIFFERENT] = CTL_REFUSED,
		[COMPARE_NOTHING] = CTL_NOISY,
	};
	static struct past_run runs[2];
	struct err e = {0};

	if (argc != 4) {
		ctl_complain("bench compare takes two files that --json made");
		return CTL_USAGE;
	}
	if (read_report(argv[2], &runs[0], &e) ||
	    read_report(argv[3], &runs[1], &e)) {
		ctl_complain("%s", e.text);
		return CTL_REFUSED;
	}
	return exits[compare_runs(&runs[0], &runs[1], stdout)];
}

int ctl_bench(int argc, char **argv)
{
	struct args a = ARGS(options, 0, argc, argv);
	struct words w = {.rounds = ROUNDS_USUAL, .load_ms = LOAD_MS_USUAL};

	if (argc > 1 && !strcmp(argv[1], "compare"))
		return compare(argc, argv);
	return parse(&w, &a) ? CTL_USAGE : measure(&w);
}
