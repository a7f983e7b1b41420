#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * JSON in and out of C structs by table: one table describes one body, and
 * that one description parses it, refuses what does not fit, prints it and
 * frees it. Bodies and files are hostile input.
 */
enum field_type {
	FIELD_BOOL,    /* bool */
	FIELD_INTEGER, /* uint8_t to uint64_t, by size; min and max */
	FIELD_STRING,  /* char *, owned, NULL for none; max bytes */
	FIELD_WORD,    /* enum or int: the index in words */
	FIELD_OBJECT,  /* an embedded struct; nested */
	FIELD_ARRAY,   /* struct field_array; element; max elements */
	FIELD_REFUSED, /* known, and refused with the sentence refusal */
};

enum field_flags {
	FIELD_REQUIRED = 1,   /* must be there */
	FIELD_DEPRECATED = 2, /* works, and is reported to the caller */
	FIELD_GIVEN = 4,    /* the bool at `given` says whether it was there */
	FIELD_HIDDEN = 8,   /* a word; json_dump() leaves the first one out */
	FIELD_LIST = 16,    /* refused: json_dump() writes [], not null */
	FIELD_NO_NULL = 32, /* may be absent, but null is no value of it */
};

/* Strings longer than this are refused where a field sets no bound. */
enum { FIELD_STRING_MAX = 4095 };

struct field_table;

/*
 * Small, since what holds pointers is written to at each start, and so is
 * memory of each process of its own.
 *
 * null stands for "not there" in every field that isn't required, but for those
 * of FIELD_NO_NULL. Unless a field is there, what the struct holds stays as it
 * was.
 */
struct field {
	const char *name;
	union {				  /* by the type */
		const char *const *words; /* ends with NULL */
		const struct field_table *nested;
		const struct field *element; /* offset 0 in its item */
		const char *refusal;
	};
	uint32_t min;
	uint32_t max;	 /* 0 for as much as the member holds */
	uint16_t offset; /* in the struct, bytes */
	uint16_t size;	 /* of the member, bytes */
	uint16_t given;	 /* offset of a bool, with FIELD_GIVEN */
	uint8_t type;	 /* enum field_type */
	uint8_t flags;
};

struct field_table {
	const char *what; /* "machine-config": for messages */
	const struct field *fields;
	uint32_t count;
	uint32_t size; /* of the struct, bytes */
};

/* What a FIELD_ARRAY binds to: count items of element->size bytes each. */
struct field_array {
	void *items; /* owned */
	uint32_t count;
};

/* Where a member is, for the initializer of a struct field. */
#define FIELD_AT(type, member) \
	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

#define FIELD_TABLE(label, type, list)                     \
	{                                                  \
		.what = (label),                           \
		.fields = (list),                          \
		.count = sizeof(list) / sizeof((list)[0]), \
		.size = sizeof(type),                      \
	}

/*
 * Has objects that are made from now on keep what clients name in an order that
 * they can't foresee. json_parse() does it, too; who makes objects before,
 * first.
 */
void json_seed(void);

/*
 * Parses one JSON text of len bytes. Returns a new reference, or NULL with a
 * sentence that names line and column. Doubled keys, NULs, invalid UTF-8, more
 * than 64 levels and bytes after the value are errors.
 */
json_t *json_parse(const char *text, size_t len, struct err *e);

/*
 * Fills *out from an object. *out is a valid struct of the table already
 * (zeroed, or with defaults); strings and arrays it holds are replaced. Sets
 * *is_deprecated (which may be NULL) where a deprecated field was there. On
 * failure *out holds no strings and no arrays any more.
 */
int json_bind(const json_t *object, const struct field_table *table, void *out,
	      bool *is_deprecated, struct err *e);

/* Frees the strings and arrays of a struct and sets them to NULL. */
void json_unbind(const struct field_table *table, void *out);

/* The reverse: a new object, absent fields as null. NULL without memory. */
json_t *json_dump(const struct field_table *table, const void *in);

/*
 * A JSON string value of any bytes: those that are not UTF-8 become '?', since
 * sentences quote what clients sent. A new reference; NULL without memory.
 */
json_t *json_text(const char *text);
