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

struct option {
	const char *name;
	const char *value; /* "PATH": what --help calls it; NULL for a flag */
	bool repeats;
	/* Of what has a value; a flag only sets the bool at `flag`. */
	int (*take)(struct jail_options *o, const char *value, struct err *e);
	size_t flag;
	const char *help;
};

static bool parse_u64(const char *text, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !*end && !errno;
}

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

static int take_id(struct jail_options *o, const char *value, struct err *e)
{
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

/*
 * 2^32 - 1 is no user: setresuid() takes it for "leave as it is", which here
 * would be root.
 */
static int take_owner(const char *flag, const char *value, uint32_t *out,
		      struct err *e)
{
	uint64_t number;

	if (!parse_u64(value, &number) || number >= UINT32_MAX)
		return err_set(e, -EINVAL,
			       "--%s needs a number from 0 to %u, not '%.64s'",
			       flag, UINT32_MAX - 1, value);
	*out = (uint32_t)number;
	return 0;
}

static int take_uid(struct jail_options *o, const char *value, struct err *e)
{
	return take_owner("uid", value, &o->uid, e);
}

static int take_gid(struct jail_options *o, const char *value, struct err *e)
{
	return take_owner("gid", value, &o->gid, e);
}

static int take_base(struct jail_options *o, const char *value, struct err *e)
{
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

static int take_netns(struct jail_options *o, const char *value, struct err *e)
{
	(void)e;
	o->netns = value;
	return 0;
}

/* "3,4,7" */
static int take_pass_fds(struct jail_options *o, const char *value,
			 struct err *e)
{
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

static int take_cgroup(struct jail_options *o, const char *value, struct err *e)
{
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

static int take_cgroup_version(struct jail_options *o, const char *value,
			       struct err *e)
{
	if (strcmp(value, "1") && strcmp(value, "2"))
		return err_set(e, -EINVAL,
			       "--cgroup-version needs 1 or 2, not '%.64s'",
			       value);
	o->cgroup_version = (unsigned)(value[0] - '0');
	return 0;
}

static int take_parent_cgroup(struct jail_options *o, const char *value,
			      struct err *e)
{
	if (!is_plain_path(value))
		return err_set(e, -EINVAL,
			       "--parent-cgroup needs a path below the "
			       "hierarchy's root, as in vms/web, without a "
			       "leading '/', '.' or '..', not '%.128s'",
			       value);
	o->parent_cgroup = value;
	return 0;
}

static int take_resource_limit(struct jail_options *o, const char *value,
			       struct err *e)
{
	uint64_t number;

	if (!strncmp(value, "fsize=", 6) && parse_u64(value + 6, &number)) {
		o->fsize_bytes = number;
		o->has_fsize = true;
		return 0;
	}
	if (!strncmp(value, "no-file=", 8) && parse_u64(value + 8, &number)) {
		o->no_file = number;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "--resource-limit needs fsize=BYTES or no-file=COUNT, "
		       "not '%.64s'",
		       value);
}

#define TAKE(function) (function), 0
#define FLAG(member)   NULL, offsetof(struct jail_options, member)

static const struct option table[] = {
	{"id", "ID", false, TAKE(take_id),
	 "name of the jail: 1 to 64 letters, digits and hyphens"},
	{"exec-file", "PATH", false, TAKE(jail_options_exec_file),
	 "the monitor: a static program, copied into the jail"},
	{"uid", "UID", false, TAKE(take_uid), "user to run it as"},
	{"gid", "GID", false, TAKE(take_gid), "group to run it as"},
	{"chroot-base-dir", "PATH", false, TAKE(take_base),
	 "where jails are made (default /srv/jailer)"},
	{"netns", "PATH", false, TAKE(take_netns), "network namespace to join"},
	{"daemonize", NULL, false, FLAG(daemonize),
	 "a session of its own, /dev/null for input and output"},
	{"new-pid-ns", NULL, false, FLAG(new_pid_ns),
	 "a PID namespace of its own"},
	{"pass-fds", "N[,N]...", false, TAKE(take_pass_fds),
	 "keep these descriptors open, and make no devices"},
	{"minimal-dev", NULL, false, FLAG(minimal_dev),
	 "make /dev/kvm and /dev/net/tun only"},
	{"allow-root", NULL, false, FLAG(allow_root),
	 "let --uid and --gid be 0"},
	{"userns", NULL, false, FLAG(userns),
	 "a user namespace of its own; needs no root"},
	{"cgroup", "FILE=VALUE", true, TAKE(take_cgroup),
	 "make a cgroup and write VALUE into its FILE"},
	{"cgroup-version", "1|2", false, TAKE(take_cgroup_version),
	 "which kind of cgroup (default 1)"},
	{"parent-cgroup", "PATH", false, TAKE(take_parent_cgroup),
	 "where the cgroup is made (default: the program's name)"},
	{"resource-limit", "LIMIT", true, TAKE(take_resource_limit),
	 "fsize=BYTES or no-file=COUNT (default no-file=2048)"},
	{"version", NULL, false, FLAG(version), "print the version"},
	{"help", NULL, false, FLAG(help), "print this text"},
};

enum { OPTIONS = sizeof(table) / sizeof(table[0]), REQUIRED = 4 };

/* Finds `--name` or `--name=value`; *value is NULL where there is no `=`. */
static const struct option *option_find(const char *arg, const char **value)
{
	const char *name = arg + 2;
	size_t len = strcspn(name, "=");
	unsigned i;

	*value = name[len] ? name + len + 1 : NULL;
	for (i = 0; i < OPTIONS; i++)
		if (strlen(table[i].name) == len &&
		    !strncmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

/* Reads the argument at *i, and the next where that is its value. */
static int option_take(struct jail_options *o, int argc, char **argv, int *i,
		       bool *seen, struct err *e)
{
	const struct option *option = NULL;
	const char *value = NULL;

	if (!strncmp(argv[*i], "--", 2))
		option = option_find(argv[*i], &value);
	if (!option)
		return err_set(e, -EINVAL,
			       "unknown argument '%.64s'; --help lists what "
			       "there is, and the monitor's own go after --",
			       argv[*i]);
	if (seen[option - table] && !option->repeats)
		return err_set(e, -EINVAL, "--%s is given twice", option->name);
	seen[option - table] = true;
	if (!option->value && value)
		return err_set(e, -EINVAL, "--%s takes no value", option->name);
	if (option->value && !value && *i + 1 < argc &&
	    strncmp(argv[*i + 1], "--", 2) != 0)
		value = argv[++*i];
	if (option->value && (!value || !*value))
		return err_set(e, -EINVAL, "--%s needs a value: %s",
			       option->name, option->value);
	if (option->take)
		return option->take(o, value, e);
	*(bool *)((char *)o + option->flag) = true;
	return 0;
}

int jail_options_parse(struct jail_options *o, int argc, char **argv,
		       struct err *e)
{
	bool seen[OPTIONS] = {false};
	int i, rc;

	*o = (struct jail_options){
		.chroot_base_dir = "/srv/jailer",
		.cgroup_version = 1,
		.no_file = 2048,
	};
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--")) {
			o->extra = argv + i + 1;
			o->extra_count = argc - i - 1;
			break;
		}
		rc = option_take(o, argc, argv, &i, seen, e);
		if (rc)
			return rc;
	}
	if (o->help || o->version)
		return 0;
	for (i = 0; i < REQUIRED; i++)
		if (!seen[i])
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
	unsigned i;

	fprintf(to, "usage: mayfly-jailer --id ID --exec-file PATH --uid UID "
		    "--gid GID [OPTIONS]\n"
		    "                     [-- MONITOR'S OPTIONS]\n\n"
		    "Makes a jail in BASE/PROGRAM/ID/root and runs a monitor "
		    "in it without privileges.\nNeeds to be started as "
		    "root, or with --userns.\n\n");
	for (i = 0; i < OPTIONS; i++) {
		const struct option *o = &table[i];
		char left[48];

		snprintf(left, sizeof(left), "--%s%s%s", o->name,
			 o->value ? " " : "", o->value ? o->value : "");
		fprintf(to, "  %-26s%s%s\n", left, o->help,
			o->repeats ? "; can be repeated" : "");
	}
}

void jail_options_version(FILE *to)
{
	/* As the monitor's: the wire language's own first. */
	fprintf(to, "Jailer v%s\nmayfly-jailer v%s\n", WIRE_VERSION,
		MAYFLY_VERSION);
}
