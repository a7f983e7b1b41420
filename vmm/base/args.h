#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/base/err.h"

struct args;

/*
 * Command lines by table: one row an option, `--name VALUE` or `--name=VALUE`,
 * and `-l` where it has a letter. args_next() says what comes next and leaves
 * the sentences to its caller; args_read() is all of it for programs that take
 * nothing but options.
 */
struct arg {
	const char *name;  /* without its dashes */
	const char *value; /* "PATH": what --help calls it; NULL for a flag */
	/*
	 * Reads a->value, which is no NULL, into a member. NULL: the value, or
	 * true, is put into the member at offset.
	 */
	int (*take)(const struct args *a, void *into, struct err *e);
	size_t offset;	  /* of a const char *, or of a flag's bool */
	const char *help; /* NULL: not in the list */
	char letter;	  /* 0 for none */
	bool repeats;	  /* for ARGS_WIRE */
};

enum { ARGS_ROWS_MAX = 64 };

enum args_rules {
	/* Each option once; what begins with -- is no value. */
	ARGS_WIRE = 1,
	/* `--` ends the options. */
	ARGS_REST = 2,
	/*
	 * As getopt_long() has it: letters and their values can be joined,
	 * names shortened, values empty; `--` ends the options, and so does the
	 * first word, which argv[at] then is.
	 */
	ARGS_JOINED = 4,
};

/* Strings are borrowed from argv, whose [0] is passed over. */
struct args {
	const struct arg *table;
	unsigned count;
	unsigned rules;
	const char *hint; /* args_read()'s, where an argument is unknown */
	int argc;
	char **argv;

	/* What args_next() found. */
	const struct arg *arg; /* NULL: none of the table */
	const char *value;     /* NULL: none was given */
	char *word;	       /* in which it stood */
	int at;		       /* of argv: the next, once set to 1 */

	const char *joined; /* letters of word still to be looked at */
	uint64_t seen;	    /* rows, by bits */
};

/* The initializer of a struct args. */
#define ARGS(rows, how, c, v)                              \
	{                                                  \
		.table = (rows),                           \
		.count = sizeof(rows) / sizeof((rows)[0]), \
		.rules = (how),                            \
		.argc = (c),                               \
		.argv = (v),                               \
		.at = 1,                                   \
	}

enum args_found {
	ARGS_END = 0,
	ARGS_OPTION,	/* arg and value, which args_set() puts into a struct */
	ARGS_WORD,	/* no option */
	ARGS_UNKNOWN,	/* an option, but none of the table */
	ARGS_TWICE,	/* once too often */
	ARGS_VALUED,	/* a flag with a value */
	ARGS_VALUELESS, /* an option without, or with an empty one */
};

enum args_found args_next(struct args *a);

/* Puts what was found into a struct. 0, or a negative errno and a sentence. */
int args_set(const struct args *a, void *into, struct err *e);

/*
 * Reads options to their end. 0, or -EINVAL with a sentence; argv[at] is then
 * the first behind `--`.
 */
int args_read(struct args *a, void *into, struct err *e);

/* Whether the row of that index was there. */
bool args_has(const struct args *a, unsigned row);

/* Digits only: no sign, no blanks, nothing behind them, no overflow. */
bool args_number(const char *text, uint64_t *out);

/* What --help says of the rows: the option in width columns, then its help. */
void args_help(const struct arg *table, unsigned count, int width, FILE *to);
