#include "api/ctl/containerd/resources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More processors than any guest has. */
enum { CPUS_MAX = 1024 };

static int add(struct resources *r, const char *file, const char *value,
	       struct err *e)
{
	if (r->count + 2 >= sizeof(r->words) / sizeof(r->words[0]))
		return err_set(e, -E2BIG, "there are more than %d limits",
			       RESOURCES_MAX);
	r->words[r->count] = strdup(file);
	r->words[r->count + 1] = strdup(value);
	r->count += 2;
	if (!r->words[r->count - 2] || !r->words[r->count - 1])
		return err_set(e, -ENOMEM, "no memory for limits");
	return 0;
}

/* A number, or less than nothing for none at all. */
static int add_number(struct resources *r, const char *file, double n,
		      struct err *e)
{
	char text[32];

	if (n < 0)
		return add(r, file, "max", e);
	snprintf(text, sizeof(text), "%.0f", n);
	return add(r, file, text, e);
}

/* *out is what is there, 0 for nothing; what is no number is an error. */
static int number_in(const json_t *object, const char *name, double *out,
		     struct err *e)
{
	const json_t *n = json_object_get(object, name);

	*out = 0;
	if (!n || json_is_null(n))
		return 0;
	if (!json_is_number(n) || json_number_value(n) > 1e19)
		return err_set(e, -EINVAL, "the limit \"%s\" is no number",
			       name);
	*out = json_number_value(n);
	return 0;
}

/* 0 is what clients send for no word about it. */
static int take_memory(struct resources *r, const json_t *memory, struct err *e)
{
	double limit = 0, low = 0;
	int rc = number_in(memory, "limit", &limit, e);

	if (!rc)
		rc = number_in(memory, "reservation", &low, e);
	if (!rc && limit != 0)
		rc = add_number(r, "memory.max", limit, e);
	if (!rc && limit > 0)
		r->memory_bytes = (uint64_t)limit;
	if (!rc && low != 0)
		rc = add_number(r, "memory.low", low, e);
	return rc;
}

/* 2 … 262144 of version 1 as 1 … 10000 of version 2. */
static double weight_of(double shares)
{
	const double least = 2, most = 262144;
	double bounded = shares;

	if (bounded < least)
		bounded = least;
	if (bounded > most)
		bounded = most;
	return 1 +
	       (double)(uint64_t)((bounded - least) * 9999 / (most - least));
}

static int take_quota(struct resources *r, double quota, double period,
		      struct err *e)
{
	const double usual = 100000; /* µs, the kernel's */
	const double us = period > 0 ? period : usual;
	char text[64];

	if (quota > 0) {
		const double fills = quota / us;

		r->cpus = fills < (double)CPUS_MAX ? (uint32_t)fills : CPUS_MAX;
		if ((double)r->cpus < fills && r->cpus < CPUS_MAX)
			r->cpus++;
		snprintf(text, sizeof(text), "%.0f %.0f", quota, us);
	} else {
		snprintf(text, sizeof(text), "max %.0f", us);
	}
	return add(r, "cpu.max", text, e);
}

static int take_cpu(struct resources *r, const json_t *cpu, struct err *e)
{
	double shares = 0, quota = 0, period = 0;
	int rc = number_in(cpu, "shares", &shares, e);

	if (!rc)
		rc = number_in(cpu, "quota", &quota, e);
	if (!rc)
		rc = number_in(cpu, "period", &period, e);
	if (!rc && shares != 0)
		rc = add_number(r, "cpu.weight", weight_of(shares), e);
	if (!rc && (quota != 0 || period != 0))
		rc = take_quota(r, quota, period, e);
	return rc;
}

int resources_take(struct resources *r, const json_t *json, struct err *e)
{
	json_t *unified = json_object_get(json, "unified"), *value;
	const char *file;
	double pids = 0;
	int rc;

	*r = (struct resources){0};
	rc = take_memory(r, json_object_get(json, "memory"), e);
	if (!rc)
		rc = take_cpu(r, json_object_get(json, "cpu"), e);
	if (!rc)
		rc = number_in(json_object_get(json, "pids"), "limit", &pids,
			       e);
	if (!rc && pids != 0)
		rc = add_number(r, "pids.max", pids, e);
	/* Those of version 2 as they are; the guest looks at their names. */
	json_object_foreach(unified, file, value)
	{
		if (!rc && !json_is_string(value))
			rc = err_set(e, -EINVAL, "the limit %.60s is no text",
				     file);
		if (!rc)
			rc = add(r, file, json_string_value(value), e);
	}
	return rc;
}

int resources_parse(struct resources *r, const char *text, size_t len,
		    struct err *e)
{
	json_error_t why;
	json_t *json = json_loadb(
		text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
		&why);
	int rc;

	*r = (struct resources){0};
	if (!json_is_object(json))
		rc = err_set(e, -EINVAL, "the limits are no JSON object: %s",
			     json ? "another kind" : why.text);
	else
		rc = resources_take(r, json, e);
	json_decref(json);
	return rc;
}

void resources_fini(struct resources *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->words[i]);
	*r = (struct resources){0};
}
