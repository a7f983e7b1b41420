/*
 * The command line by table: one row a flag, and --help is the same table. A
 * flag whose machinery this version does not have is known and refused, so
 * that a client learns it at once and not from what does not happen.
 */
#include "api/options.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/log.h"

enum option_type {
	OPTION_FLAG,	/* bool */
	OPTION_STRING,	/* const char * */
	OPTION_NUMBER,	/* uint64_t */
	OPTION_FD,	/* uint64_t, 3 to INT_MAX */
	OPTION_REFUSED, /* with a value */
	OPTION_REFUSED_FLAG,
};

struct option {
	const char *name;
	const char *value; /* "PATH": what --help calls it; NULL for a flag */
	enum option_type type;
	uint32_t offset;
	const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct option table[] = {
	{"api-fd", "N", OPTION_FD, AT(api_fd),
	 "descriptor of a listening Unix socket for the API"},
	{"api-sock", "PATH", OPTION_STRING, AT(api_sock),
	 "Unix socket of the API (default /run/firecracker.socket)"},
	{"boot-timer", NULL, OPTION_FLAG, AT(boot_timer),
	 "give the guest a place to say that it is up, and log the time"},
	{"config-file", "PATH", OPTION_STRING, AT(config_file),
	 "configure a microVM from a JSON file and start it"},
	{"help", NULL, OPTION_FLAG, AT(help), "print this text"},
	{"http-api-max-payload-size", "BYTES", OPTION_NUMBER,
	 AT(payload_max_bytes), "largest body of a request (default 51200)"},
	{"id", "ID", OPTION_STRING, AT(id),
	 "name of the microVM: 1 to 64 letters, digits and hyphens"},
	{"kvm-fd", "N", OPTION_FD, AT(kvm_fd),
	 "descriptor of /dev/kvm, which then is not opened"},
	{"level", "LEVEL", OPTION_STRING, AT(level),
	 "Off, Error, Warning, Info, Debug or Trace (default Warning; Info "
	 "with --log-path or --boot-timer)"},
	{"log-path", "PATH", OPTION_STRING, AT(log_path),
	 "file or FIFO for the log (default stderr)"},
	{"metrics-path", "PATH", OPTION_STRING, AT(metrics_path),
	 "file or FIFO for the metrics"},
	{"module", "PATH", OPTION_STRING, AT(module),
	 "log only what comes from sources below PATH"},
	{"no-api", NULL, OPTION_FLAG, AT(no_api),
	 "make no socket; needs --config-file"},
	{"no-seccomp", NULL, OPTION_FLAG, AT(no_seccomp),
	 "install no system call filters, and warn of it"},
	{"parent-cpu-time-us", "US", OPTION_NUMBER, AT(parent_cpu_time_us),
	 "CPU time of the process that started this one"},
	{"seccomp-filter", "PATH", OPTION_STRING, AT(seccomp_filter),
	 "system call filters from a JSON file instead of the built-in ones"},
	{"show-level", NULL, OPTION_FLAG, AT(show_level),
	 "write the level into every line of the log (as by default)"},
	{"show-log-origin", NULL, OPTION_FLAG, AT(show_log_origin),
	 "write the source's name into every line of the log"},
	{"start-time-cpu-us", "US", OPTION_NUMBER, AT(start_time_cpu_us),
	 "CPU time of this process when it was started"},
	{"start-time-us", "US", OPTION_NUMBER, AT(start_time_us),
	 "monotonic time at which this process was started"},
	{"timing", NULL, OPTION_FLAG, AT(timing),
	 "at the end print the phases of the run in microseconds to stderr"},
	{"version", NULL, OPTION_FLAG, AT(version),
	 "print the API's version, then mayfly's"},
	{"describe-snapshot", "PATH", OPTION_REFUSED, 0, NULL},
	{"enable-pci", NULL, OPTION_REFUSED_FLAG, 0, NULL},
	{"metadata", "PATH", OPTION_REFUSED, 0, NULL},
	{"mmds-size-limit", "BYTES", OPTION_REFUSED, 0, NULL},
	{"snapshot-version", NULL, OPTION_REFUSED_FLAG, 0, NULL},
};

enum { OPTIONS = sizeof(table) / sizeof(table[0]), ID_MAX = 64 };

/* 1 GiB: enough for anybody's metadata, and no overflow anywhere. */
static const uint64_t payload_limit = 1ULL << 30;

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

static int parse_number(const char *name, const char *text, uint64_t *out,
			struct err *e)
{
	char *end = NULL;

	errno = 0;
	*out = 0;
	if (text && isdigit((unsigned char)*text))
		*out = strtoull(text, &end, 10);
	if (!end || *end || errno)
		return err_set(e, -EINVAL, "--%s needs a number, not '%.64s'",
			       name, text ? text : "");
	return 0;
}

static int option_set(struct options *o, const struct option *option,
		      const char *value, struct err *e)
{
	char *at = (char *)o + option->offset;
	uint64_t number;
	bool yes = true;
	int rc = 0;

	switch (option->type) {
	case OPTION_FLAG:
		memcpy(at, &yes, sizeof(yes));
		break;
	case OPTION_STRING:
		memcpy(at, &value, sizeof(value));
		break;
	case OPTION_NUMBER:
		rc = parse_number(option->name, value, &number, e);
		if (!rc)
			memcpy(at, &number, sizeof(number));
		break;
	case OPTION_FD:
		rc = parse_number(option->name, value, &number, e);
		if (!rc && (number < 3 || number > INT32_MAX))
			rc = err_set(e, -EINVAL,
				     "--%s needs the number of a descriptor, 3 "
				     "or more, not '%.64s'",
				     option->name, value);
		if (!rc)
			memcpy(at, &number, sizeof(number));
		break;
	default:
		rc = err_set(e, -EINVAL,
			     "--%s is not supported by this version of mayfly",
			     option->name);
		break;
	}
	return rc;
}

static int check_id(const char *id, struct err *e)
{
	size_t len = strlen(id), i;

	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)id[i]) && id[i] != '-')
			break;
	if (i < len || len < 1 || len > ID_MAX)
		return err_set(e, -EINVAL,
			       "--id needs 1 to %d letters, digits and "
			       "hyphens, not '%.80s'",
			       ID_MAX, id);
	return 0;
}

/* What no single flag can say. */
static int check_all(const struct options *o, struct err *e)
{
	enum log_level level;

	if (o->help || o->version)
		return 0;
	if (o->no_api && !o->config_file)
		return err_set(e, -EINVAL,
			       "--no-api needs --config-file: without a socket "
			       "nobody else can say what to start");
	if (o->no_seccomp && o->seccomp_filter)
		return err_set(e, -EINVAL,
			       "--seccomp-filter brings filters and "
			       "--no-seccomp wants none; leave one out");
	if (o->no_api && o->api_fd)
		return err_set(e, -EINVAL,
			       "--api-fd brings a socket and --no-api wants "
			       "none; leave one out");
	if (o->level && log_level_parse(o->level, &level))
		return err_set(e, -EINVAL,
			       "--level needs Off, Error, Warning, Info, Debug "
			       "or Trace, not '%.64s'",
			       o->level);
	if (!o->payload_max_bytes || o->payload_max_bytes > payload_limit)
		return err_set(e, -EINVAL,
			       "--http-api-max-payload-size needs 1 to %llu",
			       (unsigned long long)payload_limit);
	return check_id(o->id, e);
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	bool seen[OPTIONS] = {false};
	int i, rc;

	*o = (struct options){
		.api_sock = "/run/firecracker.socket",
		.id = "anonymous-instance",
		.payload_max_bytes = 51200,
	};
	for (i = 1; i < argc; i++) {
		const struct option *option = NULL;
		const char *value = NULL;

		if (!strncmp(argv[i], "--", 2))
			option = option_find(argv[i], &value);
		if (!option)
			return err_set(e, -EINVAL,
				       "unknown argument '%.64s'; --help lists "
				       "what there is",
				       argv[i]);
		if (seen[option - table])
			return err_set(e, -EINVAL, "--%s is given twice",
				       option->name);
		seen[option - table] = true;
		if (!option->value && value)
			return err_set(e, -EINVAL, "--%s takes no value",
				       option->name);
		if (option->value && !value && i + 1 < argc &&
		    strncmp(argv[i + 1], "--", 2) != 0)
			value = argv[++i];
		if (option->value && (!value || !*value))
			return err_set(e, -EINVAL, "--%s needs a value: %s",
				       option->name, option->value);
		rc = option_set(o, option, value, e);
		if (rc)
			return rc;
	}
	return check_all(o, e);
}

void options_help(FILE *to)
{
	unsigned i;

	fprintf(to, "usage: mayfly [OPTIONS]\n\n"
		    "Runs one microVM, told what to be over a Unix socket or "
		    "by a file.\n\n");
	for (i = 0; i < OPTIONS; i++) {
		const struct option *o = &table[i];
		char left[48];

		if (!o->help)
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", o->name,
			 o->value ? " " : "", o->value ? o->value : "");
		fprintf(to, "  %-34s%s\n", left, o->help);
	}
	fprintf(to, "\nKnown, and refused by this version:");
	for (i = 0; i < OPTIONS; i++)
		if (!table[i].help)
			fprintf(to, " --%s", table[i].name);
	fprintf(to, "\n\nEnds with 0 when the guest turns itself off or "
		    "reboots; 1 when the microVM\nfails, 152 for a bad "
		    "configuration, 153 for bad arguments, 156 on SIGHUP; "
		    "SIGTERM\nand SIGINT end it as a process that handles "
		    "neither.\n");
}

void options_version(FILE *to)
{
	/* Clients compare the whole of the first line behind its `v`. */
	fprintf(to, "Firecracker v%s\nmayfly v%s\n", WIRE_VERSION,
		MAYFLY_VERSION);
}
