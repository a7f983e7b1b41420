/*
 * Reading a policy. Who writes the file owns the monitor's command line, so it
 * is no attacker's; but a mistake in it must be a sentence, not a machine that
 * dies in the middle of a boot.
 */
#include "api/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/text_file.h"
#include "vmm/base/log.h"
#include "vmm/seccomp/compile.h"

enum { RULES_MAX = 512 };

/* One thread's rules as they are read; names point into the JSON. */
struct table {
	struct rule *rules; /* owned */
	struct rules head;
};

static int read_number(const json_t *object, const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return -EINVAL;
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_args(const json_t *args, struct rule *r)
{
	size_t i;

	if (!args)
		return 0;
	if (!json_is_array(args) || json_array_size(args) > RULE_ARGS_MAX)
		return -EINVAL;
	for (i = 0; i < json_array_size(args); i++) {
		const json_t *arg = json_array_get(args, i);
		struct rule_arg *a = &r->args[r->arg_count++];
		uint64_t index;

		if (read_number(arg, "index", &index) || index > 5 ||
		    read_number(arg, "mask", &a->mask) ||
		    read_number(arg, "value", &a->value))
			return -EINVAL;
		a->index = (unsigned)index;
	}
	return 0;
}

static int read_rule(const json_t *object, struct rule *r)
{
	const json_t *error = json_object_get(object, "errno");
	const char *name =
		json_string_value(json_object_get(object, "syscall"));
	uint64_t number = 0;

	if (!name || strlen(name) >= sizeof(r->name) ||
	    read_args(json_object_get(object, "args"), r))
		return -EINVAL;
	memcpy(r->name, name, strlen(name) + 1);
	if (error && (read_number(object, "errno", &number) || number > 4095))
		return -EINVAL;
	r->error = (int)number;
	return 0;
}

static bool is_same(const struct rule *a, const struct rule *b)
{
	unsigned i;

	if (strcmp(a->name, b->name) != 0 || a->arg_count != b->arg_count ||
	    a->error != b->error)
		return false;
	for (i = 0; i < a->arg_count; i++)
		if (a->args[i].index != b->args[i].index ||
		    a->args[i].mask != b->args[i].mask ||
		    a->args[i].value != b->args[i].value)
			return false;
	return true;
}

/* A rule that only fails a call, and one that is built in, loosen nothing. */
static bool is_built_in(const struct rules *table, const struct rule *r)
{
	unsigned i;

	for (i = 0; i < table->count; i++)
		if (r->error || is_same(&table->rules[i], r))
			return true;
	return false;
}

static int read_table(const json_t *list, unsigned kind, struct table *t,
		      struct err *e)
{
	const size_t count = json_array_size(list);
	size_t i;

	t->head = rules_tables[kind];
	if (!list)
		return 0;
	if (!json_is_array(list) || count > RULES_MAX)
		return err_set(e, -EINVAL, "%s: a list of at most %d rules",
			       t->head.thread, RULES_MAX);
	t->rules = calloc(count + 1, sizeof(*t->rules));
	if (!t->rules)
		return err_set(e, -ENOMEM, "no memory for %zu rules", count);
	for (i = 0; i < count; i++) {
		if (read_rule(json_array_get(list, i), &t->rules[i]))
			return err_set(e, -EINVAL,
				       "%s[%zu]: a rule is {\"syscall\": NAME, "
				       "\"args\": [{\"index\", \"mask\", "
				       "\"value\"}, …]} with at most %d args",
				       t->head.thread, i, RULE_ARGS_MAX);
		if (!is_built_in(&rules_tables[kind], &t->rules[i]))
			log_warn("--seccomp-filter allows more than mayfly "
				 "needs: %s[%zu], %.64s",
				 t->head.thread, i, t->rules[i].name);
	}
	t->head.rules = t->rules;
	t->head.count = (unsigned)count;
	return 0;
}

static int compile_all(const struct table tables[FILTERS],
		       struct sock_fprog programs[FILTERS], struct err *e)
{
	const struct rules *all[FILTERS], *parts[FILTERS];
	unsigned i, count;
	int rc = 0;

	for (i = 0; i < FILTERS; i++)
		all[i] = &tables[i].head;
	for (i = 0; i < FILTERS && !rc; i++) {
		count = compile_tables(i, all, parts);
		rc = compile_rules(parts, count, &programs[i], e);
	}
	for (i = 0; rc && i < FILTERS; i++) {
		free(programs[i].filter);
		programs[i] = (struct sock_fprog){0};
	}
	return rc;
}

/* A misspelt thread would leave its rules as they are, and nobody the wiser. */
static int check_keys(const json_t *root, struct err *e)
{
	void *at;

	if (!json_is_object(root))
		return err_set(e, -EINVAL,
			       "an object with vcpu, loop, worker, pages, "
			       "state, start");
	for (at = json_object_iter((json_t *)(uintptr_t)root); at;
	     at = json_object_iter_next((json_t *)(uintptr_t)root, at)) {
		const char *key = json_object_iter_key(at);
		unsigned i = 0;

		while (i < FILTERS && strcmp(rules_tables[i].thread, key) != 0)
			i++;
		if (i == FILTERS)
			return err_set(e, -EINVAL,
				       "'%.64s' is no thread; there are vcpu, "
				       "loop, worker, pages, state and start",
				       key);
	}
	return 0;
}

int policy_load(const char *path, struct sock_fprog programs[FILTERS],
		struct err *e)
{
	struct table tables[FILTERS] = {{0}};
	json_error_t where;
	json_t *root;
	char *text;
	size_t len;
	unsigned i;
	int rc = text_file_read(path, "seccomp filter", &text, &len, e);

	if (rc)
		return rc;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	free(text);
	if (!root)
		return err_set(e, -EINVAL, "seccomp filter %.256s: %s, line %d",
			       path, where.text, where.line);
	rc = check_keys(root, e);
	for (i = 0; i < FILTERS && !rc; i++)
		rc = read_table(json_object_get(root, rules_tables[i].thread),
				i, &tables[i], e);
	if (!rc)
		rc = compile_all(tables, programs, e);
	if (rc)
		err_context(e, "seccomp filter %.256s", path);
	for (i = 0; i < FILTERS; i++)
		free(tables[i].rules);
	json_decref(root);
	return rc;
}
