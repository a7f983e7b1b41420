/*
 * The options of `mayctl run`: docker's letters and words, as far as they have
 * a meaning for a microVM.
 */
#include "api/ctl/commands/run_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/args.h"

enum { MEMORY_MIB = 256, CPUS_MAX = 32, START_TIMEOUT_MS = 120000 };
enum { MEMORY_MIB_MIN = 32, MEMORY_MIB_MAX = 1 << 20 };

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

	*port = (struct forward_rule){0};
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

static int take_port(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const char *text = a->value;
	int rc;

	if (o->port_count == VM_PORTS_MAX)
		return err_set(e, -E2BIG, "at most %d times -p", VM_PORTS_MAX);
	rc = run_options_port(text, &o->ports[o->port_count], e);
	if (!rc)
		o->port_count++;
	return rc;
}

static int take_volume(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const char *text = a->value;
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
static int take_env(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const char *text = a->value;
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

static int take_net(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const char *text = a->value;
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

static int take_cpus(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const char *text = a->value;
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

static int take_memory(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;

	return run_options_memory(a->value, &o->memory_mib, e);
}

static int take_timeout(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;

	return run_options_duration(a->value, &o->timeout_ms, e);
}

static int take_start_timeout(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;

	return run_options_duration(a->value, &o->start_timeout_ms, e);
}

static int take_text(const struct args *a, void *into, struct err *e)
{
	if (!*a->value)
		return err_set(e, -EINVAL,
			       "an option has an empty value; leave the option "
			       "out");
	memcpy((char *)into + a->arg->offset, &a->value, sizeof(a->value));
	return 0;
}

#define AT(member) .offset = offsetof(struct run_options, member)

static const struct arg table[] = {
	{"interactive", AT(is_interactive), .letter = 'i'},
	{"tty", AT(has_tty), .letter = 't'},
	{"detach", AT(is_detached), .letter = 'd'},
	{"env", "NAME[=VALUE]", take_env, .letter = 'e'},
	{"workdir", "PATH", take_text, AT(workdir), .letter = 'w'},
	{"user", "USER[:GROUP]", take_text, AT(user), .letter = 'u'},
	{"volume", "SOURCE:TARGET", take_volume, .letter = 'v'},
	{"publish", "HOST:GUEST", take_port, .letter = 'p'},
	{"memory", "SIZE", take_memory, .letter = 'm'},
	{"rm", AT(is_removed)},
	{"name", "NAME", take_text, AT(name)},
	{"cpus", "N", take_cpus},
	{"net", "NET", take_net},
	{"kernel", "FILE", take_text, AT(kernel)},
	{"timeout", "TIME", take_timeout},
	{"start-timeout", "TIME", take_start_timeout},
	{"timing", AT(has_timing)},
	{"console", AT(has_console)},
	/* `--entrypoint ''` clears the image's. */
	{"entrypoint", "PROGRAM", AT(entrypoint)},
	{"hostname", "NAME", take_text, AT(hostname)},
};

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
	struct args a = ARGS(table, ARGS_JOINED, argc, argv);
	enum args_found found;
	int rc;

	*o = (struct run_options){
		.vcpu_count = 1,
		.memory_mib = MEMORY_MIB,
		.start_timeout_ms = START_TIMEOUT_MS,
	};
	while ((found = args_next(&a)) == ARGS_OPTION) {
		rc = args_set(&a, o, e);
		if (rc)
			return rc;
	}
	if (found == ARGS_VALUELESS)
		return err_set(e, -EINVAL, "%s needs a value", a.word);
	if (found == ARGS_UNKNOWN || found == ARGS_VALUED)
		return err_set(e, -EINVAL,
			       "run knows no option '%s'; `mayctl run --help` "
			       "lists them",
			       a.word);
	if (a.at < argc) {
		o->image = argv[a.at];
		o->command = argv + a.at + 1;
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
