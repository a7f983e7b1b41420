/*
 * The command line by table: one row a flag with the function that reads its
 * value, and --help is the same table. Everything that will become a path or a
 * part of one is checked here, so that later steps join names that hold no
 * surprise.
 */
#include "jailer/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/args.h"
#include "vmm/base/version.h"

/*
 * A relative path that stays below where it starts: no empty part, no `.`, no
 * `..`.
 */
static bool is_plain_path(const char *path)
{
	size_t len;

	for (;; path += len + 1) {
		len = strcspn(path, "/");
		if (!len || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[len])
			return true;
	}
}

static int take_id(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	size_t len = strlen(value), i;

	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)value[i]) && value[i] != '-')
			break;
	if (i < len || len > 64)
		return err_set(e, -EINVAL,
			       "--id needs 1 to 64 letters, digits and "
			       "hyphens, not '%.80s'",
			       value);
	o->id = value;
	return 0;
}

int jail_options_exec_file(struct jail_options *o, const char *value,
			   struct err *e)
{
	const char *slash = strrchr(value, '/');
	const char *name = slash ? slash + 1 : value;

	if (!is_plain_path(name) || strlen(name) > JAIL_NAME_MAX)
		return err_set(e, -EINVAL,
			       "--exec-file needs the path of a program whose "
			       "name has at most %d bytes, not '%.128s'",
			       JAIL_NAME_MAX, value);
	o->exec_file = value;
	o->exec_name = name;
	return 0;
}

static int take_exec_file(const struct args *a, void *into, struct err *e)
{
	return jail_options_exec_file(into, a->value, e);
}

/*
 * 2^32 - 1 is no user: setresuid() takes it for "leave as it is", which here
 * would be root.
 */
static int take_owner(const struct args *a, void *into, struct err *e)
{
	uint32_t owner;
	uint64_t number;

	if (!args_number(a->value, &number) || number >= UINT32_MAX)
		return err_set(e, -EINVAL,
			       "--%s needs a number from 0 to %u, not '%.64s'",
			       a->arg->name, UINT32_MAX - 1, a->value);
	owner = (uint32_t)number;
	memcpy((char *)into + a->arg->offset, &owner, sizeof(owner));
	return 0;
}

static int take_base(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	const char *at = value;
	size_t len;

	for (; *at; at += len + (at[len] != 0)) {
		len = strcspn(at, "/");
		if (len == 2 && !strncmp(at, "..", 2))
			return err_set(e, -EINVAL,
				       "--chroot-base-dir needs a path without "
				       "'..', not '%.128s'",
				       value);
	}
	o->chroot_base_dir = value;
	return 0;
}

/* "3,4,7" */
static int take_pass_fds(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	const char *at = value;
	int last = 2;

	while (isdigit((unsigned char)*at) && o->fd_count < JAIL_FDS_MAX) {
		char *end;
		unsigned long fd;

		errno = 0;
		fd = strtoul(at, &end, 10);
		if (errno || fd > INT32_MAX || (int)fd <= last)
			break;
		o->fds[o->fd_count++] = last = (int)fd;
		if (!*end)
			return 0;
		if (*end != ',')
			break;
		at = end + 1;
	}
	return err_set(e, -EINVAL,
		       "--pass-fds needs up to %d descriptors of 3 or more in "
		       "ascending order, as in 3,4,7, not '%.64s'",
		       JAIL_FDS_MAX, value);
}

static int take_cgroup(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	const size_t len = strcspn(value, "=");
	const size_t controller_len = strcspn(value, ".=");
	struct jail_cgroup *c = &o->cgroups[o->cgroup_count];
	size_t i;

	if (o->cgroup_count == JAIL_CGROUPS_MAX)
		return err_set(e, -EINVAL, "--cgroup can be given %d times",
			       JAIL_CGROUPS_MAX);
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)value[i]) &&
		    !strchr("._-", value[i]))
			break;
	if (i < len || len >= JAIL_CGROUP_FILE_MAX || !value[len] ||
	    !value[len + 1] || !controller_len || controller_len + 1 >= len ||
	    !isalnum((unsigned char)value[0]))
		return err_set(e, -EINVAL,
			       "--cgroup needs CONTROLLER.FILE=VALUE, as in "
			       "cpu.shares=512, not '%.128s'",
			       value);
	memcpy(c->file, value, len);
	c->file[len] = 0;
	c->controller_len = controller_len;
	c->value = value + len + 1;
	o->cgroup_count++;
	return 0;
}

static int take_cgroup_version(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	if (strcmp(value, "1") && strcmp(value, "2"))
		return err_set(e, -EINVAL,
			       "--cgroup-version needs 1 or 2, not '%.64s'",
			       value);
	o->cgroup_version = (unsigned)(value[0] - '0');
	return 0;
}

static int take_parent_cgroup(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	if (!is_plain_path(value))
		return err_set(e, -EINVAL,
			       "--parent-cgroup needs a path below the "
			       "hierarchy's root, as in vms/web, without a "
			       "leading '/', '.' or '..', not '%.128s'",
			       value);
	o->parent_cgroup = value;
	return 0;
}

static int take_resource_limit(const struct args *a, void *into, struct err *e)
{
	struct jail_options *o = into;
	const char *value = a->value;
	uint64_t number;

	if (!strncmp(value, "fsize=", 6) && args_number(value + 6, &number)) {
		o->fsize_bytes = number;
		o->has_fsize = true;
		return 0;
	}
	if (!strncmp(value, "no-file=", 8) && args_number(value + 8, &number)) {
		o->no_file = number;
		o->has_no_file = true;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "--resource-limit needs fsize=BYTES or no-file=COUNT, "
		       "not '%.64s'",
		       value);
}

#define AT(member) offsetof(struct jail_options, member)

static const struct arg table[] = {
	{"id", "ID", take_id, 0,
	 "name of the jail: 1 to 64 letters, digits and hyphens"},
	{"exec-file", "PATH", take_exec_file, 0,
	 "the monitor: a static program, copied into the jail"},
	{"uid", "UID", take_owner, AT(uid), "user to run it as"},
	{"gid", "GID", take_owner, AT(gid), "group to run it as"},
	{"chroot-base-dir", "PATH", take_base, 0,
	 "where jails are made (default /srv/jailer)"},
	{"netns", "PATH", NULL, AT(netns), "network namespace to join"},
	{"daemonize", NULL, NULL, AT(daemonize),
	 "a session of its own, /dev/null for input and output"},
	{"new-pid-ns", NULL, NULL, AT(new_pid_ns),
	 "a PID namespace of its own"},
	{"memory-exec", NULL, NULL, AT(memory_exec),
	 "run the monitor out of memory: no program in the jail"},
	{"die-with-parent", NULL, NULL, AT(die_with_parent),
	 "kill the monitor when whoever started this ends"},
	{"pass-fds", "N[,N]...", take_pass_fds, 0,
	 "keep these descriptors open, and make no devices"},
	{"minimal-dev", NULL, NULL, AT(minimal_dev),
	 "make /dev/kvm and /dev/net/tun only"},
	{"allow-root", NULL, NULL, AT(allow_root), "let --uid and --gid be 0"},
	{"userns", NULL, NULL, AT(userns),
	 "a user namespace of its own; needs no root"},
	{"cgroup", "FILE=VALUE", take_cgroup, 0,
	 "make a cgroup and write VALUE into its FILE", .repeats = true},
	{"cgroup-version", "1|2", take_cgroup_version, 0,
	 "which kind of cgroup (default 1)"},
	{"parent-cgroup", "PATH", take_parent_cgroup, 0,
	 "where the cgroup is made (default: the program's name)"},
	{"resource-limit", "LIMIT", take_resource_limit, 0,
	 "fsize=BYTES or no-file=COUNT (default no-file=2048)",
	 .repeats = true},
	{"version", NULL, NULL, AT(version), "print the version"},
	{"help", NULL, NULL, AT(help), "print this text"},
};

enum { OPTIONS = sizeof(table) / sizeof(table[0]), REQUIRED = 4 };

int jail_options_parse(struct jail_options *o, int argc, char **argv,
		       struct err *e)
{
	struct args a = ARGS(table, ARGS_WIRE | ARGS_REST, argc, argv);
	unsigned i;
	int rc;

	*o = (struct jail_options){
		.chroot_base_dir = "/srv/jailer",
		.cgroup_version = 1,
		.no_file = 2048,
	};
	a.hint = "--help lists what there is, and the monitor's own go after "
		 "--";
	rc = args_read(&a, o, e);
	if (rc)
		return rc;
	if (a.at < argc) {
		o->extra = argv + a.at;
		o->extra_count = argc - a.at;
	}
	if (o->help || o->version)
		return 0;
	for (i = 0; i < REQUIRED; i++)
		if (!args_has(&a, i))
			return err_set(e, -EINVAL, "--%s %s is missing",
				       table[i].name, table[i].value);
	if ((!o->uid || !o->gid) && !o->allow_root)
		return err_set(e, -EINVAL,
			       "--%s 0 is root, who owns the host's files even "
			       "without capabilities; give each jail a user of "
			       "its own, or --allow-root",
			       o->uid ? "gid" : "uid");
	return 0;
}

void jail_options_help(FILE *to)
{
	fprintf(to, "usage: mayfly-jailer --id ID --exec-file PATH --uid UID "
		    "--gid GID [OPTIONS]\n"
		    "                     [-- MONITOR'S OPTIONS]\n\n"
		    "Makes a jail in BASE/PROGRAM/ID/root and runs a monitor "
		    "in it without privileges.\nNeeds to be started as "
		    "root, or with --userns.\n\n");
	args_help(table, OPTIONS, 26, to);
}

void jail_options_version(FILE *to)
{
	/* As the monitor's: the wire language's own first. */
	fprintf(to, "Jailer v%s\nmayfly-jailer v%s\n", WIRE_VERSION,
		MAYFLY_VERSION);
}
