/*
 * mayctl restore, clone and fork: microVMs out of a folder that `mayctl
 * snapshot` has made, or out of one that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/restored.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/vm/place.h"
#include "api/ctl/vm/saving.h"
#include "api/ctl/vm/seal.h"
#include "vmm/base/args.h"
#include "vmm/base/fd.h"

enum { CLONES_MAX = 1000, START_TIMEOUT_MS = 120000 };

/* First, so that run's ways of reading options serve here. */
struct words {
	struct run_options options;
	const char *net;
	const char *count;
	const char *timeout;
	const char *key_file;
	const char *from; /* a folder, or a microVM's name */
	uint64_t clones;
	struct state_key key;
};

static int take_net(const struct args *a, void *into, struct err *e)
{
	((struct words *)into)->net = a->value;
	return run_take_net(a, into, e);
}

#define AT(member) .offset = offsetof(struct words, member)

static const struct arg table[] = {
	{"name", "NAME", AT(options.name)},
	{"hostname", "NAME", AT(options.hostname), .letter = 'h'},
	{"rm", AT(options.is_removed)},
	{"publish", "HOST:GUEST", run_take_port, .letter = 'p'},
	{"net", "NET", take_net},
	{"network", "NET", take_net},
	{"count", "N", AT(count), .letter = 'n'},
	{"timeout", "TIME", AT(timeout)},
	{"snapshot-key", "FILE", AT(key_file)},
	{"no-jail", AT(options.has_no_jail)},
	{"timing", AT(options.has_timing)},
};

static int judge(struct words *w, const char *command, struct err *e)
{
	const struct run_options *o = &w->options;
	int rc = o->name ? vm_check_name(o->name, e) : 0;

	if (!rc && o->hostname)
		rc = value_hostname(o->hostname, e);
	if (!rc && w->timeout)
		rc = value_duration(w->timeout, &w->options.timeout_ms, e);
	if (rc)
		return rc;
	if (w->count && (!args_number(w->count, &w->clones) || !w->clones ||
			 w->clones > CLONES_MAX))
		return err_set(e, -EINVAL, "--count is 1 to %d, not '%s'",
			       CLONES_MAX, w->count);
	if (w->clones > 1 && o->hostname)
		return err_set(
			e, -EINVAL,
			"--hostname is for one clone; several are called "
			"as their names");
	if (w->from)
		return 0;
	if (!strcmp(command, "restore"))
		return err_set(e, -EINVAL,
			       "give a folder that `mayctl snapshot` made");
	return err_set(e, -EINVAL, "give the name of a microVM%s",
		       !strcmp(command, "clone") ? ", or a folder" : "");
}

static int parse(struct words *w, struct args *a)
{
	enum args_found found;
	struct err e = {0};

	*w = (struct words){
		.clones = 1,
		.options.start_timeout_ms = START_TIMEOUT_MS,
	};
	while ((found = args_next(a)) == ARGS_OPTION || found == ARGS_WORD) {
		if (found == ARGS_WORD && w->from)
			break;
		if (found == ARGS_WORD) {
			w->from = a->word;
		} else if (args_set(a, w, &e)) {
			ctl_complain("%s: %s", a->argv[0], e.text);
			return -EINVAL;
		}
	}
	if (found != ARGS_END) {
		ctl_complain_of(a);
		return -EINVAL;
	}
	if (!judge(w, a->argv[0], &e))
		return 0;
	ctl_complain("%s: %s", a->argv[0], e.text);
	return -EINVAL;
}

/* NAME-1, NAME-2 … where there are several. */
static const char *name_clone(const struct words *w, uint64_t i,
			      char out[VM_NAME_MAX + 24])
{
	if (!w->options.name || w->clones == 1)
		return w->options.name;
	snprintf(out, VM_NAME_MAX + 24, "%s-%llu", w->options.name,
		 (unsigned long long)i + 1);
	return out;
}

static uint32_t make_all(const struct words *w, int folder_fd)
{
	struct run_options options = w->options;
	const struct restored_order order = {
		.options = &options,
		.has_net = w->net,
		.folder_fd = folder_fd,
		.key = &w->key,
	};
	char name[VM_NAME_MAX + 24];
	uint32_t code = CTL_OK;
	uint64_t i;

	for (i = 0; i < w->clones && code == CTL_OK; i++) {
		options.name = name_clone(w, i, name);
		code = restored_make(&order);
		if (i + 1 < w->clones)
			interrupt_hold();
	}
	return code;
}

static uint32_t of_folder(const struct words *w)
{
	CLEAN_FD int fd = open(w->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};

	if (fd >= 0)
		return make_all(w, fd);
	err_errno(&e, "can't open the folder %s", w->from);
	ctl_complain("%s", e.text);
	return CTL_FAILED;
}

/* Saved where microVMs have their disks, for as long as it takes. */
static uint32_t of_vm(const struct words *w, bool is_fork)
{
	const struct saving_how how = {
		.is_part = true,
		.is_unsynced = true,
		.is_fork = is_fork,
		.key = &w->key,
	};
	char place[PATH_MAX - 16], path[PATH_MAX];
	struct err e = {0};
	struct folder f = {.parent_fd = -1, .fd = -1};
	uint32_t code = CTL_FAILED;
	int rc = place_disk(place, sizeof(place), &e);

	interrupt_hold();
	snprintf(path, sizeof(path), "%s/clone", place);
	rc = rc ? rc : folder_begin(&f, path, &e);
	rc = rc ? rc : saving_make(w->from, &how, &f, &e);
	if (rc)
		ctl_complain("%s", e.text);
	else
		code = make_all(w, f.fd);
	interrupt_ignore();
	folder_fini(&f);
	return code;
}

static uint32_t of_running(const struct words *w)
{
	return of_vm(w, false);
}

static uint32_t of_forked(const struct words *w)
{
	return of_vm(w, true);
}

/* A name has no slash. */
static uint32_t of_either(const struct words *w)
{
	return strchr(w->from, '/') ? of_folder(w) : of_running(w);
}

static int make(int argc, char **argv, uint32_t (*how)(const struct words *w))
{
	struct args a = ARGS(table, 0, argc, argv);
	static struct words w;
	struct err e = {0};
	uint32_t code = CTL_FAILED;

	if (parse(&w, &a))
		return CTL_USAGE;
	if (seal_key(w.key_file, &w.key, &e))
		ctl_complain("%s", e.text);
	else
		code = how(&w);
	/* Where a signal has come, it is how we end. */
	interrupt_release();
	return (int)code;
}

int ctl_restore(int argc, char **argv)
{
	return make(argc, argv, of_folder);
}

int ctl_clone(int argc, char **argv)
{
	return make(argc, argv, of_either);
}

int ctl_fork(int argc, char **argv)
{
	return make(argc, argv, of_forked);
}
