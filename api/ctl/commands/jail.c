/* mayctl jail: what jails there are, and their removal. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "jailer/jails/jail.h"
#include "vmm/base/args.h"

struct request {
	const char *base;
	const char *id; /* ID or PROGRAM/ID */
	bool all_dead;
	bool force;
};

static const char *state(const struct jail_entry *entry)
{
	if (entry->pid_count)
		return "alive";
	return entry->was_started ? "dead" : "new";
}

static int list(const struct jail_list *l)
{
	size_t i, k;

	if (l->count)
		printf("%-24s %-12s %-6s %8s  %s\n", "ID", "PROGRAM", "STATE",
		       "PID", "CGROUPS");
	for (i = 0; i < l->count; i++) {
		const struct jail_entry *entry = &l->entries[i];
		char pid[16] = "-", groups[JAIL_CGROUPS_TEXT];

		if (entry->pid_count)
			snprintf(pid, sizeof(pid), "%d", entry->pids[0]);
		memcpy(groups, entry->cgroups, sizeof(groups));
		for (k = 0; groups[k]; k++)
			if (groups[k] == '\n')
				groups[k] = groups[k + 1] ? ' ' : 0;
		printf("%-24s %-12s %-6s %8s  %s\n", entry->id, entry->program,
		       state(entry), pid, *groups ? groups : "-");
	}
	return CTL_OK;
}

static bool is_named(const struct jail_entry *entry, const char *name)
{
	const size_t len = strlen(entry->program);

	return !strcmp(entry->id, name) ||
	       (!strncmp(entry->program, name, len) && name[len] == '/' &&
		!strcmp(entry->id, name + len + 1));
}

/* The list may be out of date by now, so processes are looked for once more. */
static int remove_one(const struct jail_list *l, struct jail_entry *entry,
		      bool force)
{
	struct err e = {0};
	int rc = force ? jail_kill(entry, &e) : jail_processes(entry, &e);

	if (rc > 0)
		rc = err_set(&e, -EBUSY,
			     "%s/%s is alive (process %d); end it through its "
			     "API, or give --force to kill it",
			     entry->program, entry->id, entry->pids[0]);
	if (!rc)
		rc = jail_remove(l, entry, &e);
	if (rc) {
		ctl_complain("%s", e.text);
		return CTL_REFUSED;
	}
	printf("removed %s/%s\n", entry->program, entry->id);
	return CTL_OK;
}

static int remove_dead(struct jail_list *l)
{
	int status = CTL_OK;
	size_t i;

	for (i = 0; i < l->count; i++)
		if (!l->entries[i].pid_count && l->entries[i].was_started &&
		    remove_one(l, &l->entries[i], false) != CTL_OK)
			status = CTL_REFUSED;
	return status;
}

static int remove_named(struct jail_list *l, const struct request *r)
{
	struct jail_entry *found = NULL;
	size_t i;

	for (i = 0; i < l->count; i++) {
		if (!is_named(&l->entries[i], r->id))
			continue;
		if (found) {
			ctl_complain("%s is the id of jails of %s and of %s; "
				     "say PROGRAM/ID",
				     r->id, found->program,
				     l->entries[i].program);
			return CTL_REFUSED;
		}
		found = &l->entries[i];
	}
	if (!found) {
		ctl_complain("there is no jail %s below %s", r->id, r->base);
		return CTL_REFUSED;
	}
	return remove_one(l, found, r->force);
}

static const struct arg table[] = {
	{"chroot-base-dir", "DIR", NULL, offsetof(struct request, base)},
	{"all-dead", NULL, NULL, offsetof(struct request, all_dead)},
	{"force", NULL, NULL, offsetof(struct request, force)},
};

static int parse(struct request *r, int argc, char **argv)
{
	/* argv[1] is ls or rm. */
	struct args a = ARGS(table, 0, argc - 1, argv + 1);
	enum args_found found;

	while ((found = args_next(&a))) {
		if (found == ARGS_OPTION) {
			(void)args_set(&a, r, NULL);
		} else if (found == ARGS_WORD && !r->id) {
			r->id = a.word;
		} else if (found == ARGS_VALUELESS) {
			ctl_complain("--chroot-base-dir needs a path");
			return CTL_USAGE;
		} else {
			ctl_complain("unknown argument '%s'", a.word);
			return CTL_USAGE;
		}
	}
	return CTL_OK;
}

int ctl_jail(int argc, char **argv)
{
	struct request r = {.base = "/srv/jailer"};
	struct jail_list l;
	struct err e = {0};
	const bool is_rm = argc > 1 && !strcmp(argv[1], "rm");
	int status = CTL_REFUSED;

	if (argc < 2 || (!is_rm && strcmp(argv[1], "ls") != 0)) {
		ctl_complain("jail ls or jail rm; --help says more");
		return CTL_USAGE;
	}
	if (parse(&r, argc, argv))
		return CTL_USAGE;
	if (is_rm ? !r.id == !r.all_dead || (r.all_dead && r.force)
		  : r.id || r.all_dead || r.force) {
		ctl_complain("jail rm needs an ID, which may be alive with "
			     "--force, or --all-dead; jail ls takes neither");
		return CTL_USAGE;
	}
	if (geteuid() != 0) {
		ctl_complain("only root sees whose a process's root is; use "
			     "sudo");
		return CTL_REFUSED;
	}
	if (jail_list_read(&l, r.base, &e))
		ctl_complain("%s", e.text);
	else if (!is_rm)
		status = list(&l);
	else
		status = r.all_dead ? remove_dead(&l) : remove_named(&l, &r);
	jail_list_fini(&l);
	return status;
}
