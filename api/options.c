/*
 * The command line by table: one row a flag, and --help is the same table. A
 * flag whose machinery this version does not have is known and refused, so
 * that a client learns it at once and not from what does not happen.
 */
#include "api/options.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/base/args.h"
#include "vmm/base/log.h"
#include "vmm/base/passed.h"
#include "vmm/base/version.h"

/* 1 GiB: enough for anybody's metadata, and no overflow anywhere. */
static const uint64_t payload_limit = 1ULL << 30;

enum { ID_MAX = 64 };

static int take_number(const struct args *a, void *into, struct err *e)
{
	uint64_t number;

	if (!args_number(a->value, &number))
		return err_set(e, -EINVAL, "--%s needs a number, not '%.64s'",
			       a->arg->name, a->value);
	memcpy((char *)into + a->arg->offset, &number, sizeof(number));
	return 0;
}

static int take_fd(const struct args *a, void *into, struct err *e)
{
	uint64_t number;

	if (args_number(a->value, &number) &&
	    (number < 3 || number > INT32_MAX))
		return err_set(e, -EINVAL,
			       "--%s needs the number of a descriptor, 3 or "
			       "more, not '%.64s'",
			       a->arg->name, a->value);
	return take_number(a, into, e);
}

/* A list of them, which from here on may be named as files. */
static int take_files(const struct args *a, void *into, struct err *e)
{
	(void)into;
	return passed_take(a->value, e);
}

static int refuse(const struct args *a, void *into, struct err *e)
{
	(void)into;
	return err_set(e, -EINVAL,
		       "--%s is not supported by this version of mayfly",
		       a->arg->name);
}

#define AT(member) offsetof(struct options, member)

static const struct arg table[] = {
	{"api-fd", "N", take_fd, AT(api_fd),
	 "descriptor of a listening Unix socket for the API"},
	{"api-sock", "PATH", NULL, AT(api_sock),
	 "Unix socket of the API (default /run/firecracker.socket)"},
	{"boot-timer", NULL, NULL, AT(boot_timer),
	 "give the guest a place to say that it is up, and log the time"},
	{"config-file", "PATH", NULL, AT(config_file),
	 "configure a microVM from a JSON file and start it"},
	{"describe-snapshot", "PATH", NULL, AT(describe),
	 "print what a state file has: its version, then all else"},
	{"file-fds", "N[,N]...", take_files, 0,
	 "descriptors of files, which then may be named fd:N"},
	{"help", NULL, NULL, AT(help), "print this text"},
	{"http-api-max-payload-size", "BYTES", take_number,
	 AT(payload_max_bytes), "largest body of a request (default 51200)"},
	{"id", "ID", NULL, AT(id),
	 "name of the microVM: 1 to 64 letters, digits and hyphens"},
	{"kvm-fd", "N", take_fd, AT(kvm_fd),
	 "descriptor of /dev/kvm, which then is not opened"},
	{"level", "LEVEL", NULL, AT(level),
	 "Off, Error, Warning, Info, Debug or Trace (default Warning; Info "
	 "with --log-path or --boot-timer)"},
	{"log-path", "PATH", NULL, AT(log_path),
	 "file or FIFO for the log (default stderr)"},
	{"metrics-path", "PATH", NULL, AT(metrics_path),
	 "file or FIFO for the metrics"},
	{"module", "PATH", NULL, AT(module),
	 "log only what comes from sources below PATH"},
	{"no-api", NULL, NULL, AT(no_api),
	 "make no socket; needs --config-file"},
	{"no-seccomp", NULL, NULL, AT(no_seccomp),
	 "install no system call filters, and warn of it"},
	{"parent-cpu-time-us", "US", take_number, AT(parent_cpu_time_us),
	 "CPU time of the process that started this one"},
	{"seccomp-filter", "PATH", NULL, AT(seccomp_filter),
	 "system call filters from a JSON file instead of the built-in ones"},
	{"show-level", NULL, NULL, AT(show_level),
	 "write the level into every line of the log (as by default)"},
	{"show-log-origin", NULL, NULL, AT(show_log_origin),
	 "write the source's name into every line of the log"},
	{"snapshot-key", "PATH", NULL, AT(snapshot_key),
	 "file of a secret that vouches for state files: 16 to 64 bytes"},
	{"snapshot-version", NULL, NULL, AT(snapshot_version),
	 "print the version of the state files that are written"},
	{"start-time-cpu-us", "US", take_number, AT(start_time_cpu_us),
	 "CPU time of this process when it was started"},
	{"start-time-us", "US", take_number, AT(start_time_us),
	 "monotonic time at which this process was started"},
	{"timing", NULL, NULL, AT(timing),
	 "at the end print the phases of the run in microseconds to stderr"},
	{"vsock-fd", "N", take_fd, AT(vsock_fd),
	 "descriptor of a listening Unix socket for the vsock device"},
	{"version", NULL, NULL, AT(version),
	 "print the API's version, then mayfly's"},
	{"enable-pci", NULL, refuse, 0, NULL},
	{"metadata", "PATH", refuse, 0, NULL},
	{"mmds-size-limit", "BYTES", refuse, 0, NULL},
};

enum { OPTIONS = sizeof(table) / sizeof(table[0]) };

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

bool options_is_question(const struct options *o)
{
	return o->help || o->version || o->snapshot_version || o->describe;
}

/* What no single flag can say. */
static int check_all(const struct options *o, struct err *e)
{
	enum log_level level;

	if (options_is_question(o))
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
	struct args a = ARGS(table, ARGS_WIRE, argc, argv);
	int rc;

	*o = (struct options){
		.api_sock = "/run/firecracker.socket",
		.id = "anonymous-instance",
		.payload_max_bytes = 51200,
	};
	a.hint = "--help lists what there is";
	rc = args_read(&a, o, e);
	return rc ? rc : check_all(o, e);
}

void options_help(FILE *to)
{
	unsigned i;

	fprintf(to, "usage: mayfly [OPTIONS]\n\n"
		    "Runs one microVM, told what to be over a Unix socket or "
		    "by a file.\n\n");
	args_help(table, OPTIONS, 34, to);
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
