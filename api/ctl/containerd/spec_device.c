/* linux.devices and linux.resources.devices of runtime-spec's config-linux.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/containerd/spec_walls.h"

/* ---- rules -------------------------------------------------------------- */

/* What runc lets every container have, whatever it says. */
static const struct session_rule usual[] = {
	{SESSION_RULE_CHAR, SESSION_ANY, SESSION_ANY, SESSION_MAKE, true},
	{SESSION_RULE_BLOCK, SESSION_ANY, SESSION_ANY, SESSION_MAKE, true},
#define USUAL(major, minor)                   \
	{SESSION_RULE_CHAR, (major), (minor), \
	 SESSION_MAKE | SESSION_READ | SESSION_WRITE, true}
	USUAL(1, 3),		 /* null */
	USUAL(1, 5),		 /* zero */
	USUAL(1, 7),		 /* full */
	USUAL(1, 8),		 /* random */
	USUAL(1, 9),		 /* urandom */
	USUAL(5, 0),		 /* tty */
	USUAL(5, 1),		 /* console */
	USUAL(5, 2),		 /* ptmx */
	USUAL(136, SESSION_ANY), /* pts */
#undef USUAL
};

enum { USUAL_COUNT = sizeof(usual) / sizeof(usual[0]) };

static uint32_t access_of(const char *text)
{
	uint32_t access = 0;

	if (!text || !*text)
		text = "rwm";
	for (; *text; text++)
		access |= (*text == 'r' ? SESSION_READ : 0u) |
			  (*text == 'w' ? SESSION_WRITE : 0u) |
			  (*text == 'm' ? SESSION_MAKE : 0u);
	return access;
}

/* Nothing, null and -1 are all. */
static bool number_of(const json_t *json, uint32_t *out)
{
	uint64_t n;

	*out = SESSION_ANY;
	if (!json || json_is_null(json) || json_number_value(json) == -1)
		return true;
	if (!spec_number(json, UINT32_MAX - 1, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

static int take_rule(struct session_rule *r, const json_t *json, struct err *e)
{
	const char *type = json_string_value(json_object_get(json, "type"));

	*r = (struct session_rule){
		.is_allowed = json_is_true(json_object_get(json, "allow")),
		.access = access_of(
			json_string_value(json_object_get(json, "access"))),
	};
	if (type && (!strcmp(type, "c") || !strcmp(type, "u")))
		r->kind = SESSION_RULE_CHAR;
	else if (type && !strcmp(type, "b"))
		r->kind = SESSION_RULE_BLOCK;
	else if (type && *type && strcmp(type, "a") != 0)
		return err_set(e, -EINVAL, "no device is of the type %.20s",
			       type);
	if (!number_of(json_object_get(json, "major"), &r->major) ||
	    !number_of(json_object_get(json, "minor"), &r->minor))
		return err_set(e, -EINVAL, "a rule for devices has no numbers");
	return 0;
}

/* In the order in which they count; *is_all where they let it have all. */
static int take_rules(struct spec *s, const json_t *array, bool *is_all,
		      struct err *e)
{
	const size_t n = json_array_size(array);

	if (n > SESSION_RULES_MAX - USUAL_COUNT)
		return err_set(e, -E2BIG,
			       "there are more than %d rules for devices",
			       SESSION_RULES_MAX - USUAL_COUNT);
	s->rules = calloc(n + USUAL_COUNT, sizeof(*s->rules));
	if (!s->rules)
		return err_set(e, -ENOMEM, "no memory for rules for devices");
	for (size_t i = 0; i < n; i++) {
		struct session_rule *r = &s->rules[i];
		const int rc = take_rule(r, json_array_get(array, i), e);

		if (rc)
			return rc;
		if (r->kind == SESSION_RULE_ANY && r->major == SESSION_ANY &&
		    r->minor == SESSION_ANY && r->access == access_of(NULL))
			*is_all = r->is_allowed;
	}
	memcpy(s->rules + n, usual, sizeof(usual));
	s->security.rules = s->rules;
	s->security.rule_count = n + USUAL_COUNT;
	return 0;
}

/* ---- nodes -------------------------------------------------------------- */

static bool is_path(const char *path)
{
	const size_t len = path ? strlen(path) : 0;

	return len > 5 && len < 200 && !strncmp(path, "/dev/", 5) &&
	       !strstr(path, "//") && !strstr(path, "/./") &&
	       !strstr(path, "/../") && path[len - 1] != '/' &&
	       path[len - 1] != '.';
}

static int refuse(const char *path, const char *type, struct err *e)
{
	if (type && !strcmp(type, "b"))
		return err_set(e, -ENOTSUP,
			       "%.100s is a block device of the host's, which "
			       "a microVM does not have; leave it out (of a "
			       "privileged container all, with containerd's "
			       "privileged_without_host_devices)",
			       path);
	return err_set(e, -EINVAL, "%.100s: no device is of the type %.20s",
		       path, type ? type : "none");
}

static bool take_numbers(struct session_device *d, const json_t *json)
{
	static const char *const names[] = {"major", "minor", "fileMode", "uid",
					    "gid"};
	uint32_t *const to[] = {&d->major, &d->minor, &d->mode, &d->uid,
				&d->gid};

	for (size_t i = 0; i < 5; i++) {
		const json_t *number = json_object_get(json, names[i]);
		uint64_t n;

		/* A FIFO has no numbers, and the rest is as is usual. */
		if (!number || json_is_null(number))
			continue;
		if (!spec_number(number, UINT32_MAX, &n))
			return false;
		*to[i] = (uint32_t)n;
	}
	d->mode &= 0777;
	return true;
}

/*
 * One that may have all of them is told of all that the host has: of those what
 * the guest has, too.
 */
static int take_node(struct spec *s, const json_t *json, bool is_all,
		     struct err *e)
{
	struct session_device *d = &s->devices[s->security.device_count];
	const char *path = json_string_value(json_object_get(json, "path"));
	const char *type = json_string_value(json_object_get(json, "type"));

	if (!is_path(path))
		return err_set(e, -EINVAL,
			       "a device at %.100s: they are below /dev",
			       path ? path : "no path");
	*d = (struct session_device){
		.kind = SESSION_CHAR,
		.path = path,
		.mode = 0666,
		.is_optional = is_all,
	};
	/* Each container has terminals of its own. */
	if (!strcmp(path, "/dev/ptmx"))
		return 0;
	if (type && !strcmp(type, "p"))
		d->kind = SESSION_FIFO;
	else if (is_all && type && !strcmp(type, "b"))
		return 0;
	else if (!type || (strcmp(type, "c") != 0 && strcmp(type, "u") != 0))
		return refuse(path, type, e);
	if (!take_numbers(d, json))
		return err_set(e, -EINVAL, "the device %.100s has no numbers",
			       path);
	s->security.device_count++;
	return 0;
}

static int take_nodes(struct spec *s, const json_t *array, bool is_all,
		      struct err *e)
{
	const size_t n = json_array_size(array);
	int rc = 0;

	if (!n)
		return 0;
	if (n > SESSION_DEVICES_MAX)
		return err_set(e, -E2BIG, "there are more than %d devices",
			       SESSION_DEVICES_MAX);
	s->devices = calloc(n, sizeof(*s->devices));
	if (!s->devices)
		return err_set(e, -ENOMEM, "no memory for devices");
	s->security.devices = s->devices;
	for (size_t i = 0; i < n && !rc; i++)
		rc = take_node(s, json_array_get(array, i), is_all, e);
	return rc;
}

int spec_take_devices(struct spec *s, struct err *e)
{
	const json_t *part = json_object_get(s->json, "linux");
	const json_t *resources = json_object_get(part, "resources");
	bool is_all = false;
	int rc = take_rules(s, json_object_get(resources, "devices"), &is_all,
			    e);

	s->security.has_nodes = is_all;
	return rc ? rc
		  : take_nodes(s, json_object_get(part, "devices"), is_all, e);
}
