#include "api/ctl/containerd/spec.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/ctl/base/capability.h"
#include "api/ctl/base/process.h"
#include "api/ctl/containerd/spec_mount.h"
#include "api/ctl/containerd/spec_walls.h"

enum { SPEC_MAX = 4 << 20 };

/*
 * Limits of none are 2^64 - 1, which is no integer to jansson; as reals they
 * all are something.
 */
static json_t *parse(const char *text, size_t len, struct err *e)
{
	json_error_t why;
	json_t *json = json_loadb(
		text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
		&why);

	if (!json)
		err_set(e, -EINVAL, "line %d: %s", why.line, why.text);
	return json;
}

/* 0 for what is no number, or none of this size. */
static uint32_t number(const json_t *json)
{
	const double n = json_number_value(json);

	return n >= 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

/* ---- words -------------------------------------------------------------- */

static const struct {
	const char *name;
	int number;
} limits[] = {
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_STACK", RLIMIT_STACK},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
};

/* What no kernel of ours knows can't be had, and is no error: as in runc. */
static uint64_t capability_bits(const json_t *set)
{
	uint64_t bits = 0;
	const json_t *item;
	size_t i, k;

	json_array_foreach(set, i, item)
	{
		const char *name = json_string_value(item);

		for (k = 0; name && k < CAPABILITY_COUNT; k++)
			if (!strncmp(name, "CAP_", 4) &&
			    !strcmp(name + 4, capability_names[k]))
				bits |= 1ull << k;
	}
	return bits;
}

/* ---- the process -------------------------------------------------------- */

static int take_strings(const json_t *array, const char ***out, struct err *e)
{
	const size_t n = json_array_size(array);
	size_t i;

	*out = calloc(n + 1, sizeof(**out));
	if (!*out)
		return err_set(e, -ENOMEM, "no memory for a command");
	for (i = 0; i < n; i++) {
		(*out)[i] = json_string_value(json_array_get(array, i));
		if (!(*out)[i])
			return err_set(e, -EINVAL,
				       "the command's words are not all text");
	}
	return 0;
}

/* What is not there is root; what is no id must not become root. */
static bool is_id(const json_t *json)
{
	const double n = json_number_value(json);

	return !json || (json_is_number(json) && n >= 0 && n <= UINT32_MAX);
}

static int take_user(struct spec *s, const json_t *user, struct err *e)
{
	const json_t *uid = json_object_get(user, "uid");
	const json_t *gid = json_object_get(user, "gid");
	const json_t *group;
	bool are_ids = is_id(uid) && is_id(gid);
	size_t i, len;

	len = (size_t)snprintf(s->user, sizeof(s->user), "%u:%u", number(uid),
			       number(gid));
	json_array_foreach(json_object_get(user, "additionalGids"), i, group)
	{
		are_ids = are_ids && is_id(group);
		if (len >= sizeof(s->user) - 24)
			return err_set(e, -E2BIG,
				       "the user is in more groups than the "
				       "guest is told: give it %zu",
				       i);
		len += (size_t)snprintf(s->user + len, sizeof(s->user) - len,
					"%c%u", i ? ',' : ':', number(group));
	}
	if (!are_ids)
		return err_set(e, -EINVAL,
			       "the user's ids are not all of 32 bits");
	s->plan.user = s->user;
	return 0;
}

/* 2^64 as a real is what 2^64 - 1 becomes, and none. */
static uint64_t limit_of(const json_t *value)
{
	const double n = json_number_value(value);

	return n >= 0 && n < 18446744073709551616.0 ? (uint64_t)n : UINT64_MAX;
}

static void take_limits(struct spec *s, const json_t *array)
{
	const json_t *item;
	size_t i, k;

	json_array_foreach(array, i, item)
	{
		const char *type =
			json_string_value(json_object_get(item, "type"));

		for (k = 0; type && k < sizeof(limits) / sizeof(limits[0]); k++)
			if (!strcmp(type, limits[k].name) &&
			    s->plan.limit_count < SESSION_LIMITS_MAX)
				s->plan.limits[s->plan.limit_count++] =
					(struct session_limit){
						.resource = limits[k].number,
						.soft = limit_of(
							json_object_get(
								item, "soft")),
						.hard = limit_of(
							json_object_get(
								item, "hard")),
					};
	}
}

/* Those of a container that its exec says nothing of stay as they are. */
static int take_rights(struct spec *s, const json_t *p, struct err *e)
{
	const json_t *caps = json_object_get(p, "capabilities");
	const json_t *score = json_object_get(p, "oomScoreAdj");
	const json_t *mask =
		json_object_get(json_object_get(p, "user"), "umask");
	struct session_security *to = &s->security;
	const double n = json_number_value(score);
	uint64_t bits = 0;

	to->has_sets = json_is_object(caps);
	to->bounding = capability_bits(json_object_get(caps, "bounding"));
	to->effective = capability_bits(json_object_get(caps, "effective"));
	to->permitted = capability_bits(json_object_get(caps, "permitted"));
	to->inheritable = capability_bits(json_object_get(caps, "inheritable"));
	to->ambient = capability_bits(json_object_get(caps, "ambient"));
	to->has_umask = mask && !json_is_null(mask);
	if (to->has_umask && !spec_number(mask, 0777, &bits))
		return err_set(e, -EINVAL,
			       "the user's umask is no number up to 0777");
	to->umask = (uint32_t)bits;
	to->has_score = score && !json_is_null(score);
	if (to->has_score && (!json_is_number(score) || n < -1000 || n > 1000))
		return err_set(e, -EINVAL,
			       "oomScoreAdj is no number from -1000 to 1000");
	to->score = (int32_t)n;
	s->plan.security = to;
	return 0;
}

static int take_process(struct spec *s, const json_t *p, struct err *e)
{
	const json_t *size = json_object_get(p, "consoleSize");
	int rc = take_strings(json_object_get(p, "args"), &s->argv, e);

	if (!rc)
		rc = take_strings(json_object_get(p, "env"), &s->env, e);
	if (rc)
		return rc;
	if (!s->argv[0])
		return err_set(e, -EINVAL, "the process has no args");
	rc = take_user(s, json_object_get(p, "user"), e);
	if (rc)
		return rc;
	take_limits(s, json_object_get(p, "rlimits"));
	s->plan.argv = s->argv;
	s->plan.env = s->env;
	s->plan.workdir = json_string_value(json_object_get(p, "cwd"));
	s->plan.has_tty = json_is_true(json_object_get(p, "terminal"));
	s->plan.size = (struct terminal_size){
		.rows = (uint16_t)number(json_object_get(size, "height")),
		.columns = (uint16_t)number(json_object_get(size, "width")),
	};
	s->plan.has_no_new_privs =
		json_is_true(json_object_get(p, "noNewPrivileges"));
	s->plan.stop_signal = SIGTERM;
	return take_rights(s, p, e);
}

int spec_parse_process(struct spec *s, const char *text, size_t len,
		       struct err *e)
{
	*s = (struct spec){.plan.kind = SESSION_EXEC};
	s->json = parse(text, len, e);
	if (!s->json)
		return err_context(e, "the process of the exec");
	return take_process(s, s->json, e);
}

/* ---- the bundle --------------------------------------------------------- */

static json_t *load(const char *bundle, struct err *e)
{
	char path[PATH_MAX], *text;
	json_t *json;

	snprintf(path, sizeof(path), "%s/config.json", bundle);
	if (process_read_file(path, SPEC_MAX, &text, e))
		return NULL;
	json = parse(text, strlen(text), e);
	free(text);
	if (!json)
		err_context(e, "%s", path);
	return json;
}

static const char *annotation(const json_t *json, const char *name)
{
	return json_string_value(
		json_object_get(json_object_get(json, "annotations"), name));
}

const char *spec_annotation(const struct spec *s, const char *name)
{
	return annotation(s->json, name);
}

int spec_group(const char *bundle, char *out, size_t size, struct err *e)
{
	json_t *json = load(bundle, e);
	const char *pod;

	if (!json)
		return e->code;
	pod = annotation(json, "io.kubernetes.cri.sandbox-id");
	snprintf(out, size, "%s", pod ? pod : "");
	json_decref(json);
	return 0;
}

static int take_root(struct spec *s, const char *bundle, struct err *e)
{
	const json_t *root = json_object_get(s->json, "root");
	const char *path = json_string_value(json_object_get(root, "path"));
	int n;

	if (!path)
		return err_set(e, -EINVAL, "config.json names no root");
	if (*path == '/')
		n = asprintf(&s->root, "%s", path);
	else
		n = asprintf(&s->root, "%s/%s", bundle, path);
	if (n < 0)
		return err_set(e, -ENOMEM, "no memory for a path");
	s->plan.is_read_only = json_is_true(json_object_get(root, "readonly"));
	return 0;
}

/* It has a group even where nothing bounds it, for Stats. */
static int take_resources(struct spec *s, struct err *e)
{
	const json_t *linux_part = json_object_get(s->json, "linux");

	s->plan.group = (const char *const *)s->resources.words;
	return resources_take(&s->resources,
			      json_object_get(linux_part, "resources"), e);
}

/*
 * A pod's microVM is made with its first container, whose annotations tell what
 * all of them may use.
 */
static void take_pod(struct spec *s)
{
	const char *memory =
		annotation(s->json, "io.kubernetes.cri.sandbox-memory");
	const char *quota =
		annotation(s->json, "io.kubernetes.cri.sandbox-cpu-quota");
	const char *period =
		annotation(s->json, "io.kubernetes.cri.sandbox-cpu-period");
	const uint64_t bytes = memory ? strtoull(memory, NULL, 10) : 0;
	const long long all = quota ? strtoll(quota, NULL, 10) : 0;
	const long long each = period ? strtoll(period, NULL, 10) : 0;

	if (bytes > s->resources.memory_bytes)
		s->resources.memory_bytes = bytes;
	if (all > 0 && each > 0)
		s->resources.cpus = (uint32_t)((all - 1) / each % 1024 + 1);
}

int spec_read(struct spec *s, const char *bundle, bool copies_directories,
	      struct err *e)
{
	int rc;

	*s = (struct spec){
		.copies_directories = copies_directories,
		.plan = {.kind = SESSION_RUN, .is_kept = true},
	};
	s->json = load(bundle, e);
	if (!s->json)
		return e->code;
	rc = take_process(s, json_object_get(s->json, "process"), e);
	if (!rc)
		rc = take_root(s, bundle, e);
	if (!rc)
		rc = spec_take_mounts(s, e);
	if (!rc)
		rc = take_resources(s, e);
	if (!rc)
		rc = spec_take_walls(s, e);
	if (!rc)
		rc = spec_take_devices(s, e);
	if (!rc)
		rc = spec_take_seccomp(s, e);
	/* What it does not say it has not: as in runc. */
	s->security.has_sets = true;
	s->hostname = json_string_value(json_object_get(s->json, "hostname"));
	s->plan.hostname = s->hostname && *s->hostname ? s->hostname : "mayfly";
	s->sandbox = annotation(s->json, "io.kubernetes.cri.sandbox-id");
	if (s->sandbox)
		take_pod(s);
	return rc;
}

void spec_fini(struct spec *s)
{
	unsigned i;

	for (i = 0; i < SESSION_MOUNTS_MAX; i++)
		free(s->files[i]);
	for (char **word = s->sysctls; word && *word; word++)
		free(*word);
	free(s->sysctls);
	free(s->hidden);
	free(s->fixed);
	free(s->devices);
	free(s->rules);
	free(s->filter);
	resources_fini(&s->resources);
	free(s->argv);
	free(s->env);
	free(s->root);
	json_decref(s->json);
	*s = (struct spec){0};
}
