/*
 * Command lines by table. There are three ways to write one that people and
 * programs already know, and they differ in little: that of Firecracker's
 * programs (ARGS_WIRE), of getopt_long() (ARGS_JOINED), and the plain one of
 * words and options in any order.
 */
#include "vmm/base/args.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The row of a name; with ARGS_JOINED also by its beginning, if one has it. */
static const struct arg *find_name(const struct args *a, const char *name,
				   size_t len)
{
	const struct arg *found = NULL;
	unsigned i, fitting = 0;

	for (i = 0; i < a->count; i++) {
		if (strncmp(a->table[i].name, name, len) != 0)
			continue;
		if (!a->table[i].name[len])
			return &a->table[i];
		found = &a->table[i];
		fitting++;
	}
	return a->rules & ARGS_JOINED && fitting == 1 ? found : NULL;
}

static const struct arg *find_letter(const struct args *a, char letter)
{
	unsigned i;

	for (i = 0; i < a->count; i++)
		if (letter && a->table[i].letter == letter)
			return &a->table[i];
	return NULL;
}

/* Looks for the value of what was found, in the next word if need be. */
static enum args_found take_value(struct args *a)
{
	const uint64_t bit = 1ull << (a->arg - a->table);
	const bool is_wire = a->rules & ARGS_WIRE;

	if (is_wire && a->seen & bit && !a->arg->repeats)
		return ARGS_TWICE;
	a->seen |= bit;
	if (!a->arg->value)
		return a->value ? ARGS_VALUED : ARGS_OPTION;
	if (!a->value && a->at < a->argc &&
	    (!is_wire || strncmp(a->argv[a->at], "--", 2) != 0))
		a->value = a->argv[a->at++];
	if (!a->value || (!*a->value && !(a->rules & ARGS_JOINED)))
		return ARGS_VALUELESS;
	return ARGS_OPTION;
}

/* -itd, -p8080: what stands behind a letter is its value, if it takes one. */
static enum args_found next_letter(struct args *a)
{
	a->arg = find_letter(a, *a->joined++);
	if (!a->arg)
		return ARGS_UNKNOWN;
	if (a->arg->value && *a->joined) {
		a->value = a->joined;
		a->joined = NULL;
	}
	return take_value(a);
}

enum args_found args_next(struct args *a)
{
	const char *name, *equals;
	size_t len;

	assert(a->count <= ARGS_ROWS_MAX);
	a->arg = NULL;
	a->value = NULL;
	if (a->joined && *a->joined)
		return next_letter(a);
	if (a->at >= a->argc)
		return ARGS_END;
	a->word = a->argv[a->at++];
	if (a->rules & (ARGS_REST | ARGS_JOINED) && !strcmp(a->word, "--"))
		return ARGS_END;
	if (a->rules & ARGS_JOINED && (*a->word != '-' || !a->word[1])) {
		a->at--;
		return ARGS_END;
	}
	if (*a->word != '-')
		return ARGS_WORD;
	name = a->word + 1;
	if (*name != '-' && a->rules & ARGS_JOINED) {
		a->joined = name;
		return next_letter(a);
	}
	len = strcspn(name, "=");
	equals = name[len] ? name + len : NULL;
	if (*name == '-')
		a->arg = find_name(a, name + 1, len - 1);
	else if (len == 1)
		a->arg = find_letter(a, *name);
	if (!a->arg)
		return ARGS_UNKNOWN;
	a->value = equals ? equals + 1 : NULL;
	return take_value(a);
}

int args_set(const struct args *a, void *into, struct err *e)
{
	char *at = (char *)into + a->arg->offset;
	const bool yes = true;

	if (a->arg->take)
		return a->arg->take(a, into, e);
	if (a->arg->value)
		memcpy(at, &a->value, sizeof(a->value));
	else
		memcpy(at, &yes, sizeof(yes));
	return 0;
}

int args_read(struct args *a, void *into, struct err *e)
{
	int rc = 0;

	while (!rc) {
		switch (args_next(a)) {
		case ARGS_END:
			return 0;
		case ARGS_OPTION:
			rc = args_set(a, into, e);
			break;
		case ARGS_TWICE:
			rc = err_set(e, -EINVAL, "--%s is given twice",
				     a->arg->name);
			break;
		case ARGS_VALUED:
			rc = err_set(e, -EINVAL, "--%s takes no value",
				     a->arg->name);
			break;
		case ARGS_VALUELESS:
			rc = err_set(e, -EINVAL, "--%s needs a value: %s",
				     a->arg->name, a->arg->value);
			break;
		case ARGS_WORD:
		case ARGS_UNKNOWN:
			rc = err_set(e, -EINVAL, "unknown argument '%.64s'; %s",
				     a->word, a->hint);
			break;
		}
	}
	return rc;
}

bool args_has(const struct args *a, unsigned row)
{
	return a->seen >> row & 1;
}

bool args_number(const char *text, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !*end && !errno;
}

void args_help(const struct arg *table, unsigned count, int width, FILE *to)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		const struct arg *a = &table[i];
		char left[48];

		if (!a->help)
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", a->name,
			 a->value ? " " : "", a->value ? a->value : "");
		fprintf(to, "  %-*s%s%s\n", width, left, a->help,
			a->repeats ? "; can be repeated" : "");
	}
}
