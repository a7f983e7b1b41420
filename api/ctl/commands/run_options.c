/*
 * The options of `mayctl run`: docker's letters and words, as far as they have
 * a meaning for a microVM.
 */
#include "api/ctl/commands/run_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_MIB = 256, CPUS_MAX = 32 };
enum { MEMORY_MIB_MIN = 32, MEMORY_MIB_MAX = 1 << 20 };

/* Options without a letter. */
enum {
	OPT_RM = 256,
	OPT_NAME,
	OPT_CPUS,
	OPT_NET,
	OPT_KERNEL,
	OPT_TIMEOUT,
	OPT_TIMING,
	OPT_CONSOLE,
	OPT_ENTRYPOINT,
	OPT_HOSTNAME
};

static const struct option long_options[] = {
	{"interactive", no_argument, NULL, 'i'},
	{"tty", no_argument, NULL, 't'},
	{"detach", no_argument, NULL, 'd'},
	{"env", required_argument, NULL, 'e'},
	{"workdir", required_argument, NULL, 'w'},
	{"user", required_argument, NULL, 'u'},
	{"volume", required_argument, NULL, 'v'},
	{"publish", required_argument, NULL, 'p'},
	{"memory", required_argument, NULL, 'm'},
	{"rm", no_argument, NULL, OPT_RM},
	{"name", required_argument, NULL, OPT_NAME},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"net", required_argument, NULL, OPT_NET},
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"timing", no_argument, NULL, OPT_TIMING},
	{"console", no_argument, NULL, OPT_CONSOLE},
	{"entrypoint", required_argument, NULL, OPT_ENTRYPOINT},
	{"hostname", required_argument, NULL, OPT_HOSTNAME},
	{NULL, 0, NULL, 0},
};

/* ---- values ------------------------------------------------------------- */

/* Reads a number that ends where *end says; false where there is none. */
static bool read_number(const char *text, const char **end, uint64_t *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	*end = stop;
	return !errno;
}

int run_options_memory(const char *text, uint64_t *mib, struct err *e)
{
	const char *end = "?";
	uint64_t value = 0;
	unsigned shift = 0;

	if (read_number(text, &end, &value) && value <= MEMORY_MIB_MAX) {
		if (*end == 'g' || *end == 'G')
			shift = 10;
		if (shift || *end == 'm' || *end == 'M')
			end++;
		value <<= shift;
	}
	if (*end || value < MEMORY_MIB_MIN || value > MEMORY_MIB_MAX)
		return err_set(e, -EINVAL,
			       "--memory takes MiB, or a number with m or g "
			       "behind it, from %dm to %dg, not '%s'",
			       MEMORY_MIB_MIN, MEMORY_MIB_MAX >> 10, text);
	*mib = value;
	return 0;
}

int run_options_duration(const char *text, uint64_t *ms, struct err *e)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {
		{"", 1e3},   {"s", 1e3},    {"ms", 1},
		{"m", 60e3}, {"h", 3600e3}, {"d", 86400e3},
	};
	char *end;
	double value = 0;
	unsigned i;

	if (*text >= '0' && *text <= '9') {
		value = strtod(text, &end);
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
			if (strcmp(end, units[i].unit) != 0)
				continue;
			value *= units[i].ms;
			/* A year; also no NaN, no infinity. */
			if (!(value >= 1 && value <= 366 * 86400e3))
				break;
			*ms = (uint64_t)value;
			return 0;
		}
	}
	return err_set(e, -EINVAL,
		       "'%s' is no time: seconds, or a number with ms, s, m, h "
		       "or d behind it",
		       text);
}

static bool read_port(const char *text, uint16_t *port)
{
	const char *end;
	uint64_t value;

	if (!read_number(text, &end, &value) || *end || value > 65535)
		return false;
	*port = (uint16_t)value;
	return true;
}

static bool is_address(const char *text)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, text, bytes) == 1 ||
	       inet_pton(AF_INET6, text, bytes) == 1;
}

int run_options_port(const char *text, struct forward_rule *port, struct err *e)
{
	char copy[80], *guest, *host, *address;
	size_t len = strlen(text);

	*port = (struct forward_rule){.address = "0.0.0.0"};
	if (len > 4 && !strcmp(text + len - 4, "/tcp"))
		len -= 4;
	if (len >= sizeof(copy))
		goto bad;
	memcpy(copy, text, len);
	copy[len] = '\0';
	guest = strrchr(copy, ':');
	if (!guest)
		guest = copy;
	else
		*guest++ = '\0';
	if (!read_port(guest, &port->guest) || !port->guest)
		goto bad;
	if (guest == copy)
		return 0;
	host = strrchr(copy, ':');
	address = host ? copy : NULL;
	if (host)
		*host++ = '\0';
	else
		host = copy;
	/* ADDRESS::GUEST leaves the host's port open. */
	if (*host && !read_port(host, &port->host))
		goto bad;
	if (!address)
		return 0;
	len = strlen(address);
	if (len > 2 && *address == '[' && address[len - 1] == ']') {
		address[len - 1] = '\0';
		address++;
	}
	if (!is_address(address) || strlen(address) >= sizeof(port->address))
		goto bad;
	memcpy(port->address, address, strlen(address) + 1);
	return 0;
bad:
	return err_set(e, -EINVAL,
		       "-p takes [ADDRESS:]HOST:GUEST, TCP ports from 1 to "
		       "65535 and an address in numbers, not '%s'",
		       text);
}

static int add_port(struct run_options *o, const char *text, struct err *e)
{
	int rc;

	if (o->port_count == VM_PORTS_MAX)
		return err_set(e, -E2BIG, "at most %d times -p", VM_PORTS_MAX);
	rc = run_options_port(text, &o->ports[o->port_count], e);
	if (!rc)
		o->port_count++;
	return rc;
}

static int add_volume(struct run_options *o, const char *text, struct err *e)
{
	const char *colon = strchr(text, ':'), *second;
	struct volume_source *v = &o->volumes[o->volume_count];

	if (o->volume_count == VM_VOLUMES_MAX)
		return err_set(e, -E2BIG, "at most %d times -v",
			       VM_VOLUMES_MAX);
	second = colon ? strchr(colon + 1, ':') : NULL;
	if (!colon || colon == text || colon[1] != '/' ||
	    (second && strcmp(second, ":ro") != 0 &&
	     strcmp(second, ":rw") != 0))
		return err_set(e, -EINVAL,
			       "-v takes SOURCE:TARGET or SOURCE:TARGET:ro, "
			       "TARGET a path from / on, not '%s'",
			       text);
	v->source = strndup(text, (size_t)(colon - text));
	v->target = second ? strndup(colon + 1, (size_t)(second - colon - 1))
			   : strdup(colon + 1);
	v->is_read_only = second && second[2] == 'o';
	o->volume_count++;
	if (!v->source || !v->target)
		return err_set(e, -ENOMEM, "no memory for -v");
	return 0;
}

/* NAME alone takes the value it has here, and nothing where it has none. */
static int add_env(struct run_options *o, const char *text, struct err *e)
{
	if (o->env_count == RUN_ENV_MAX)
		return err_set(e, -E2BIG, "at most %d times -e", RUN_ENV_MAX);
	if (!*text || *text == '=')
		return err_set(e, -EINVAL,
			       "-e takes NAME=VALUE, or NAME of a variable of "
			       "yours, not '%s'",
			       text);
	o->env[o->env_count++] = text;
	return 0;
}

/* "10.0.0.2/24" */
static bool read_address(struct network_tap *t, const char *text)
{
	const char *slash = strchr(text, '/');
	uint64_t prefix = 0;
	char address[16];
	const char *end = "?";

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (inet_pton(AF_INET, address, t->ip) != 1 ||
	    !read_number(slash + 1, &end, &prefix) || *end || prefix < 1 ||
	    prefix > 32)
		return false;
	t->prefix = (uint8_t)prefix;
	return true;
}

/* "NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]]" */
static bool read_tap(struct network_tap *t, const char *text)
{
	char words[64];
	char *rest = words;
	const char *word;

	*t = (struct network_tap){0};
	if (snprintf(words, sizeof(words), "%s", text) >= (int)sizeof(words))
		return false;
	word = strsep(&rest, ",");
	if (!*word || strlen(word) >= sizeof(t->name))
		return false;
	memcpy(t->name, word, strlen(word));
	if (!rest)
		return true;
	word = strsep(&rest, ",");
	if (strncmp(word, "ip=", 3) != 0 || !read_address(t, word + 3))
		return false;
	return !rest || (!strncmp(rest, "gw=", 3) &&
			 inet_pton(AF_INET, rest + 3, t->gateway) == 1);
}

static int set_net(struct run_options *o, const char *text, struct err *e)
{
	if (!strcmp(text, "none"))
		o->net = RUN_NET_NONE;
	else if (!strcmp(text, "nat"))
		o->net = RUN_NET_NAT;
	else if (!strncmp(text, "tap=", 4) && read_tap(&o->tap, text + 4))
		o->net = RUN_NET_TAP;
	else
		return err_set(
			e, -EINVAL,
			"--net is none, nat or "
			"tap=NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]], not '%s'",
			text);
	return 0;
}

static int set_cpus(struct run_options *o, const char *text, struct err *e)
{
	const char *end = "?";
	uint64_t value = 0;

	if (!read_number(text, &end, &value) || *end || !value ||
	    value > CPUS_MAX)
		return err_set(e, -EINVAL,
			       "--cpus takes a whole number from 1 to %d, not "
			       "'%s'",
			       CPUS_MAX, text);
	o->vcpu_count = (unsigned)value;
	return 0;
}

/* ---- all of them -------------------------------------------------------- */

static int set_text(struct run_options *o, int option, const char *value,
		    struct err *e)
{
	const struct {
		int option;
		const char **to;
	} texts[] = {
		{'w', &o->workdir},	      {'u', &o->user},
		{OPT_NAME, &o->name},	      {OPT_KERNEL, &o->kernel},
		{OPT_HOSTNAME, &o->hostname},
	};
	unsigned i;

	/* `--entrypoint ''` clears the image's. */
	if (option == OPT_ENTRYPOINT) {
		o->entrypoint = value;
		return 0;
	}
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].option != option)
			continue;
		if (!*value)
			return err_set(e, -EINVAL,
				       "an option has an empty value; leave "
				       "the option out");
		*texts[i].to = value;
		return 0;
	}
	return -EINVAL;
}

static int set_option(struct run_options *o, int option, const char *value,
		      struct err *e)
{
	switch (option) {
	case 'i':
		o->is_interactive = true;
		return 0;
	case 't':
		o->has_tty = true;
		return 0;
	case 'd':
		o->is_detached = true;
		return 0;
	case OPT_RM:
		o->is_removed = true;
		return 0;
	case OPT_TIMING:
		o->has_timing = true;
		return 0;
	case OPT_CONSOLE:
		o->has_console = true;
		return 0;
	case 'e':
		return add_env(o, value, e);
	case 'v':
		return add_volume(o, value, e);
	case 'p':
		return add_port(o, value, e);
	case 'm':
		return run_options_memory(value, &o->memory_mib, e);
	case OPT_CPUS:
		return set_cpus(o, value, e);
	case OPT_NET:
		return set_net(o, value, e);
	case OPT_TIMEOUT:
		return run_options_duration(value, &o->timeout_ms, e);
	default:
		return set_text(o, option, value, e);
	}
}

static int judge(const struct run_options *o, struct err *e)
{
	if (!o->image)
		return err_set(e, -EINVAL,
			       "run needs an image; `mayctl image ls` lists "
			       "them, `mayctl run --help` the options");
	if (o->is_detached && o->is_interactive)
		return err_set(e, -EINVAL,
			       "-d leaves nobody to type for -i; `mayctl exec "
			       "-it NAME sh` gives a shell later");
	if (o->workdir && *o->workdir != '/')
		return err_set(e, -EINVAL,
			       "-w takes a path from / on, not '%s'",
			       o->workdir);
	return 0;
}

int run_options_parse(struct run_options *o, int argc, char **argv,
		      struct err *e)
{
	int option, rc, before;

	*o = (struct run_options){.vcpu_count = 1, .memory_mib = MEMORY_MIB};
	/* 0 makes glibc start anew; + ends the options at the image. */
	optind = 0;
	opterr = 0;
	for (;;) {
		before = optind ? optind : 1;
		option = getopt_long(argc, argv,
				     "+:itde:w:u:v:p:m:", long_options, NULL);
		if (option < 0)
			break;
		if (option == ':')
			return err_set(e, -EINVAL, "%s needs a value",
				       argv[before]);
		if (option == '?')
			return err_set(e, -EINVAL,
				       "run knows no option '%s'; `mayctl run "
				       "--help` lists them",
				       argv[before]);
		rc = set_option(o, option, optarg, e);
		if (rc)
			return rc;
	}
	if (optind < argc) {
		o->image = argv[optind];
		o->command = argv + optind + 1;
	}
	return judge(o, e);
}

void run_options_fini(struct run_options *o)
{
	unsigned i;

	for (i = 0; i < o->volume_count; i++) {
		free(o->volumes[i].source);
		free(o->volumes[i].target);
	}
	o->volume_count = 0;
}
