/*
 * The options of `mayctl run`: docker's letters and words, as far as they have
 * a meaning for a microVM. What docker has and this table has not is docker.c's
 * to explain.
 */
#include "api/ctl/commands/run_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/base/signals.h"
#include "api/ctl/commands/docker.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/image/platform.h"

enum {
	MEMORY_MIB = 256,
	DISK_MIN = 16 << 20,
	SHM_MIN = 4096,
	START_TIMEOUT_MS = 120000
};

/* ---- values ------------------------------------------------------------- */

int run_take_port(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	int count;

	if (o->port_count == VM_PORTS_MAX)
		return err_set(e, -E2BIG, "at most %d ports of -p",
			       VM_PORTS_MAX);
	count = value_ports(a->value, &o->ports[o->port_count],
			    VM_PORTS_MAX - o->port_count, e);
	if (count < 0)
		return count;
	o->port_count += (unsigned)count;
	return 0;
}

static int take_env(const struct args *a, void *into, struct err *e)
{
	return env_add(&((struct run_options *)into)->env, a->value, e);
}

static int take_env_file(const struct args *a, void *into, struct err *e)
{
	return env_add_file(&((struct run_options *)into)->env, a->value, e);
}

/* "10.0.0.2/24" */
static bool read_address(struct network_tap *t, const char *text)
{
	const char *slash = strchr(text, '/');
	uint64_t prefix = 0;
	char address[16];

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (inet_pton(AF_INET, address, t->ip) != 1 ||
	    !args_number(slash + 1, &prefix) || prefix < 1 || prefix > 32)
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

int run_take_net(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const char *text = a->value;
	if (!strcmp(text, "none"))
		o->net = RUN_NET_NONE;
	else if (!strcmp(text, "nat"))
		o->net = RUN_NET_NAT;
	else if (!strncmp(text, "tap=", 4) && read_tap(&o->tap, text + 4))
		o->net = RUN_NET_TAP;
	else if (!strcmp(text, "host"))
		return err_set(e, -EINVAL,
			       "a microVM has a network of its own and can't "
			       "have the host's: -p publishes its ports, and "
			       "--net nat lets it reach others");
	else
		return err_set(
			e, -EINVAL,
			"--net is none, nat (much as docker's bridge) or "
			"tap=NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]], not '%s'",
			text);
	return 0;
}

static int take_cpus(const struct args *a, void *into, struct err *e)
{
	return value_cpus(a->value, &((struct run_options *)into)->vcpu_count,
			  e);
}

static int take_memory(const struct args *a, void *into, struct err *e)
{
	return value_memory(a->value, &((struct run_options *)into)->memory_mib,
			    e);
}

static int take_size(const struct args *a, void *into, struct err *e)
{
	const bool is_disk = a->arg->offset ==
			     offsetof(struct run_options, disk_bytes);
	const uint64_t least = is_disk ? DISK_MIN : SHM_MIN;
	uint64_t bytes;

	if (!value_bytes(a->value, &bytes) || bytes < least ||
	    bytes > 1ull << 44)
		return err_set(e, -EINVAL,
			       "--%s takes a size from %s to 16t, such as 1g, "
			       "not '%s'",
			       a->arg->name, is_disk ? "16m" : "4k", a->value);
	memcpy((char *)into + a->arg->offset, &bytes, sizeof(bytes));
	return 0;
}

static int take_timeout(const struct args *a, void *into, struct err *e)
{
	return value_duration(a->value,
			      &((struct run_options *)into)->timeout_ms, e);
}

static int take_start_timeout(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;

	return value_duration(a->value, &o->start_timeout_ms, e);
}

static int take_text(const struct args *a, void *into, struct err *e)
{
	if (!*a->value)
		return err_set(e, -EINVAL,
			       "--%s has an empty value; leave the option out",
			       a->arg->name);
	memcpy((char *)into + a->arg->offset, &a->value, sizeof(a->value));
	return 0;
}

static int take_name(const struct args *a, void *into, struct err *e)
{
	int rc = vm_check_name(a->value, e);

	return rc ? rc : take_text(a, into, e);
}

static int take_hostname(const struct args *a, void *into, struct err *e)
{
	int rc = value_hostname(a->value, e);

	return rc ? rc : take_text(a, into, e);
}

static int take_signal(const struct args *a, void *into, struct err *e)
{
	if (signals_parse(a->value) < 0)
		return err_set(e, -EINVAL,
			       "--stop-signal takes a signal, such as TERM, "
			       "SIGTERM or 15, not '%s'",
			       a->value);
	return take_text(a, into, e);
}

/* ---- the guest's files about networks ------------------------------------ */

static int add_word(struct run_words *w, const struct args *a, struct err *e)
{
	if (w->count == RUN_WORDS_MAX)
		return err_set(e, -E2BIG, "at most %d times --%s",
			       RUN_WORDS_MAX, a->arg->name);
	w->list[w->count++] = a->value;
	return 0;
}

static int take_dns(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;

	if (!value_is_address(a->value))
		return err_set(e, -EINVAL,
			       "--dns takes the address of a name server in "
			       "numbers, not '%s'",
			       a->value);
	return add_word(&o->dns, a, e);
}

/* Words of resolv.conf, which have to stay words. */
static int take_resolver_word(const struct args *a, void *into, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.:-";

	if (!*a->value || a->value[strspn(a->value, allowed)])
		return err_set(e, -EINVAL, "--%s takes %s, not '%s'",
			       a->arg->name, a->arg->value, a->value);
	return add_word(
		(struct run_words *)(void *)((char *)into + a->arg->offset), a,
		e);
}

/* NAME:ADDRESS, or NAME=ADDRESS; an address may be in brackets. */
static int take_host(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	const size_t len = strcspn(a->value, ":=");
	const char *at = a->value[len] ? a->value + len + 1 : "";
	char address[48], name[254];
	size_t n = strlen(at);

	if (!strcmp(at, "host-gateway"))
		return err_set(e, -EINVAL,
			       "--add-host: a guest is kept from its host, so "
			       "there is no host-gateway; give an address of "
			       "the network");
	if (n > 2 && *at == '[' && at[n - 1] == ']') {
		at++;
		n -= 2;
	}
	if (o->host_count == RUN_WORDS_MAX)
		return err_set(e, -E2BIG, "at most %d times --add-host",
			       RUN_WORDS_MAX);
	snprintf(name, sizeof(name), "%.*s", (int)len, a->value);
	snprintf(address, sizeof(address), "%.*s", (int)n, at);
	if (len >= sizeof(name) || !value_is_address(address) ||
	    value_hostname(name, NULL))
		return err_set(e, -EINVAL,
			       "--add-host takes NAME:ADDRESS, an address in "
			       "numbers, not '%s'",
			       a->value);
	if (asprintf(&o->hosts[o->host_count], "%s %s", address, name) < 0)
		return err_set(e, -ENOMEM, "no memory for --add-host");
	o->host_count++;
	return 0;
}

/* ---- rights ------------------------------------------------------------- */

static int take_limit(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;
	struct session_limit limit;
	unsigned i;
	int rc = value_limit(a->value, &limit, e);

	if (rc)
		return rc;
	for (i = 0; i < o->limit_count; i++)
		if (o->limits[i].resource == limit.resource)
			break;
	/* There are fewer resources than places. */
	o->limits[i] = limit;
	if (i == o->limit_count)
		o->limit_count++;
	return 0;
}

static int take_capability(const struct args *a, void *into, struct err *e)
{
	uint64_t bits, all;
	int rc = value_capability(a->value, &bits, e);

	if (rc)
		return rc;
	memcpy(&all, (char *)into + a->arg->offset, sizeof(all));
	all |= bits;
	memcpy((char *)into + a->arg->offset, &all, sizeof(all));
	return 0;
}

static int take_security(const struct args *a, void *into, struct err *e)
{
	struct run_options *o = into;

	if (!strcmp(a->value, "no-new-privileges") ||
	    !strcmp(a->value, "no-new-privileges:true") ||
	    !strcmp(a->value, "no-new-privileges=true")) {
		o->has_no_new_privs = true;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "--security-opt knows no-new-privileges; the wall "
		       "around a container is the microVM, whose guest has "
		       "neither AppArmor, SELinux nor docker's filter, so "
		       "leave '%s' out",
		       a->value);
}

/* ---- what is so anyway --------------------------------------------------- */

static int take_restart(const struct args *a, void *into, struct err *e)
{
	(void)into;
	if (!strcmp(a->value, "no"))
		return 0;
	return err_set(e, -EINVAL, "there is no --restart %s: %s", a->value,
		       docker_option("run", "--restart"));
}

static int take_pull(const struct args *a, void *into, struct err *e)
{
	static const char *const words[] = {"missing", "always", "never"};
	struct run_options *o = into;
	unsigned i;

	for (i = 0; i < 3; i++) {
		if (strcmp(a->value, words[i]) != 0)
			continue;
		o->pull = (enum run_pull)i;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "--pull is missing, always or never, not '%s'",
		       a->value);
}

static int take_platform(const struct args *a, void *into, struct err *e)
{
	char arch[IMAGE_ARCH_SIZE];

	(void)into;
	if (!image_platform_parse(a->value, arch, NULL) &&
	    !strcmp(arch, image_platform_host()))
		return 0;
	return err_set(e, -EINVAL,
		       "--platform %s: a microVM runs on the processor that "
		       "is there, linux/%s; take an image for that",
		       a->value, image_platform_host());
}

/* ---- all of them -------------------------------------------------------- */

#define AT(member) .offset = offsetof(struct run_options, member)

static const struct arg table[] = {
	{"interactive", AT(is_interactive), .letter = 'i'},
	{"tty", AT(has_tty), .letter = 't'},
	{"detach", AT(is_detached), .letter = 'd'},
	{"env", "NAME[=VALUE]", take_env, .letter = 'e'},
	{"env-file", "FILE", take_env_file},
	{"workdir", "PATH", take_text, AT(workdir), .letter = 'w'},
	{"user", "USER[:GROUP]", take_text, AT(user), .letter = 'u'},
	{"volume", "SOURCE:TARGET", run_take_volume, .letter = 'v'},
	{"mount", "WORDS", run_take_mount},
	{"tmpfs", "PATH", run_take_tmpfs},
	{"disk", "SIZE", take_size, AT(disk_bytes)},
	{"shm-size", "SIZE", take_size, AT(shm_bytes)},
	{"read-only", AT(is_read_only)},
	{"publish", "HOST:GUEST", run_take_port, .letter = 'p'},
	{"publish-all", AT(publishes_all), .letter = 'P'},
	{"memory", "SIZE", take_memory, .letter = 'm'},
	{"rm", AT(is_removed)},
	{"name", "NAME", take_name, AT(name)},
	{"cpus", "N", take_cpus},
	{"net", "NET", run_take_net},
	{"network", "NET", run_take_net},
	{"dns", "ADDRESS", take_dns},
	{"dns-search", "a domain", take_resolver_word, AT(search)},
	{"dns-option", "an option of resolv.conf", take_resolver_word,
	 AT(dns_options)},
	{"dns-opt", "an option of resolv.conf", take_resolver_word,
	 AT(dns_options)},
	{"add-host", "NAME:ADDRESS", take_host},
	{"init", AT(has_init)},
	{"idle", AT(is_idle)},
	{"ulimit", "NAME=SOFT[:HARD]", take_limit},
	{"cap-add", "CAPABILITY", take_capability, AT(cap_add)},
	{"cap-drop", "CAPABILITY", take_capability, AT(cap_drop)},
	{"security-opt", "WORD", take_security},
	{"stop-signal", "SIGNAL", take_signal, AT(stop_signal)},
	{"kernel", "FILE", take_text, AT(kernel)},
	{"timeout", "TIME", take_timeout},
	{"start-timeout", "TIME", take_start_timeout},
	{"timing", AT(has_timing)},
	{"cold", AT(is_cold)},
	{"console", AT(has_console)},
	{"no-jail", AT(has_no_jail)},
	/* `--entrypoint ''` clears the image's. */
	{"entrypoint", "PROGRAM", AT(entrypoint)},
	{"hostname", "NAME", take_hostname, AT(hostname), .letter = 'h'},
	{"restart", "no", take_restart},
	{"pull", "WHEN", take_pull},
	{"platform", "PLATFORM", take_platform},
	{"quiet", AT(is_quiet), .letter = 'q'},
	/* Nothing asks after a container's health. */
	{"no-healthcheck", AT(is_unasked)},
};

static int judge(const struct run_options *o, struct err *e)
{
	if (!o->image)
		return err_set(e, -EINVAL,
			       "run needs an image; `mayctl image ls` lists "
			       "them, `mayctl run --help` the options");
	if (o->workdir && *o->workdir != '/')
		return err_set(e, -EINVAL,
			       "-w takes a path from / on, not '%s'",
			       o->workdir);
	if (o->is_idle && (o->has_tty || o->is_interactive))
		return err_set(e, -EINVAL,
			       "--idle starts no command that -i or -t could "
			       "be for; give them to `mayctl exec`");
	return run_judge_mounts(o, e);
}

static int refuse(const struct args *a, enum args_found found, struct err *e)
{
	const char *why = docker_option("run", a->word);

	if (found == ARGS_VALUELESS)
		return err_set(e, -EINVAL, "%s needs a value", a->word);
	if (found == ARGS_VALUED)
		return err_set(e, -EINVAL,
			       "%s is on or off: say true or false behind =, "
			       "or nothing",
			       a->word);
	if (why)
		return err_set(e, -EINVAL, "run has no %.*s: %s",
			       (int)strcspn(a->word, "="), a->word, why);
	return err_set(e, -EINVAL,
		       "run knows no option '%s'; `mayctl run --help` lists "
		       "them",
		       a->word);
}

struct run_options run_options_usual(void)
{
	return (struct run_options){
		.vcpu_count = 1,
		.memory_mib = MEMORY_MIB,
		.start_timeout_ms = START_TIMEOUT_MS,
	};
}

int run_options_parse(struct run_options *o, int argc, char **argv,
		      struct err *e)
{
	struct args a = ARGS(table, ARGS_JOINED, argc, argv);
	enum args_found found;
	int rc;

	*o = run_options_usual();
	while ((found = args_next(&a)) == ARGS_OPTION) {
		rc = args_set(&a, o, e);
		if (rc)
			return rc;
	}
	if (found != ARGS_END)
		return refuse(&a, found, e);
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
	for (i = 0; i < o->tmpfs_count; i++)
		free((char *)(uintptr_t)o->tmpfs[i].target);
	for (i = 0; i < o->host_count; i++)
		free(o->hosts[i]);
	o->volume_count = o->tmpfs_count = o->host_count = 0;
	env_fini(&o->env);
}
