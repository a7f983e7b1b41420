/*
 * JSON by table. jansson reads the text; what is allowed in it is said by the
 * tables alone. Every sentence made here ends without a full stop, because the
 * wire's error form puts one after it.
 */
#include "api/json/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* jansson allows 2048, with as many stack frames; nothing of ours needs 10. */
enum { DEPTH_MAX = 64 };

/* Bytes of a name or value of the client's that a sentence quotes. */
enum { QUOTE_MAX = 64 };

/* Refuses deep nesting before the recursive parser sees it. */
static int check_depth(const char *text, size_t len, struct err *e)
{
	bool in_string = false;
	unsigned depth = 0, line = 1;
	size_t i;

	for (i = 0; i < len; i++) {
		char c = text[i];

		if (c == '\n')
			line++;
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth)
			depth--;
		if (depth > DEPTH_MAX)
			return err_set(e, -EINVAL,
				       "line %u: nested deeper than %u levels",
				       line, DEPTH_MAX);
	}
	return 0;
}

static int parse_failed(json_error_t *error, struct err *e)
{
	const char *what = error->text;
	char doubled[JSON_ERROR_TEXT_LENGTH + 16];
	const char *name;

	switch (json_error_code(error)) {
	case json_error_duplicate_key:
		/* jansson: duplicate object key near '"name"' */
		name = strchr(error->text, '"');
		name = name ? name + 1 : "";
		snprintf(doubled, sizeof(doubled), "doubled field '%.*s'",
			 (int)strcspn(name, "\""), name);
		what = doubled;
		break;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		what = "a string holds a NUL character (\\u0000)";
		break;
	default:
		break;
	}
	return err_set(e, -EINVAL, "line %d, column %d: %s", error->line,
		       error->column, what);
}

/*
 * Clients choose the keys of jansson's hash tables, so their seed is random:
 * what the kernel gave this process at exec, and not /dev/urandom, which
 * jansson would open, or the time where there is none.
 */
void json_seed(void)
{
	static bool is_seeded;
	const void *random = (const void *)getauxval(AT_RANDOM);
	size_t seed = 0;

	if (is_seeded)
		return;
	is_seeded = true;
	if (random)
		memcpy(&seed, random, sizeof(seed));
	json_object_seed(seed ? seed : 1);
}

json_t *json_parse(const char *text, size_t len, struct err *e)
{
	json_error_t error;
	json_t *json;

	json_seed();
	if (check_depth(text, len, e))
		return NULL;
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
			  &error);
	if (!json)
		parse_failed(&error, e);
	return json;
}

static const char *json_kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction or exponent";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

static int wrong_type(const struct field *f, const char *expected,
		      const json_t *value, struct err *e)
{
	return err_set(e, -EINVAL, "field '%s' must be %s, not %s", f->name,
		       expected, json_kind(value));
}

/* Makes "a, b, c" of what a table or a word list allows, cut where full. */
static void list_add(char *list, size_t size, const char *word)
{
	size_t at = strlen(list);

	snprintf(list + at, size - at, "%s%s", at ? ", " : "", word);
}

static uint64_t integer_max(const struct field *f)
{
	if (f->max)
		return f->max;
	/* A JSON integer is at most what jansson keeps, INT64_MAX. */
	return f->size < 8 ? (1ULL << (8 * f->size)) - 1 : INT64_MAX;
}

static void integer_put(const struct field *f, void *at, uint64_t v)
{
	const uint8_t v8 = (uint8_t)v;
	const uint16_t v16 = (uint16_t)v;
	const uint32_t v32 = (uint32_t)v;

	switch (f->size) {
	case 1:
		memcpy(at, &v8, 1);
		break;
	case 2:
		memcpy(at, &v16, 2);
		break;
	case 4:
		memcpy(at, &v32, 4);
		break;
	default:
		memcpy(at, &v, 8);
		break;
	}
}

static uint64_t integer_get(const struct field *f, const void *at)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v = 0;

	switch (f->size) {
	case 1:
		memcpy(&v8, at, 1);
		return v8;
	case 2:
		memcpy(&v16, at, 2);
		return v16;
	case 4:
		memcpy(&v32, at, 4);
		return v32;
	default:
		memcpy(&v, at, 8);
		return v;
	}
}

static int bind_integer(const json_t *value, const struct field *f, void *at,
			struct err *e)
{
	const uint64_t max = integer_max(f);
	json_int_t v;

	if (!json_is_integer(value))
		return wrong_type(f, "an integer", value, e);
	v = json_integer_value(value);
	if (v < 0 || (uint64_t)v < f->min || (uint64_t)v > max)
		return err_set(e, -ERANGE,
			       "field '%s' must be between %llu and %llu, "
			       "not %lld",
			       f->name, (unsigned long long)f->min,
			       (unsigned long long)max, (long long)v);
	integer_put(f, at, (uint64_t)v);
	return 0;
}

static int bind_string(const json_t *value, const struct field *f, void *at,
		       struct err *e)
{
	const size_t max = f->max ? f->max : FIELD_STRING_MAX;
	char **string = at;
	size_t len;
	char *copy;

	if (!json_is_string(value))
		return wrong_type(f, "a string", value, e);
	len = json_string_length(value);
	/* json_parse() lets no NUL through; other makers of json_t might. */
	if (strlen(json_string_value(value)) != len)
		return err_set(e, -EINVAL, "field '%s' holds a NUL", f->name);
	if (len > max)
		return err_set(e, -EINVAL,
			       "field '%s' has %zu bytes, more than the %zu "
			       "allowed",
			       f->name, len, max);
	copy = strdup(json_string_value(value));
	if (!copy)
		return err_set(e, -ENOMEM, "no memory for field '%s'", f->name);
	free(*string);
	*string = copy;
	return 0;
}

static int bind_word(const json_t *value, const struct field *f, void *at,
		     struct err *e)
{
	char list[256] = "";
	int i;

	if (!json_is_string(value))
		return wrong_type(f, "a string", value, e);
	for (i = 0; f->words[i]; i++) {
		if (strcmp(json_string_value(value), f->words[i])) {
			list_add(list, sizeof(list), f->words[i]);
			continue;
		}
		memcpy(at, &i, sizeof(i));
		return 0;
	}
	return err_set(e, -EINVAL, "field '%s' must be one of %s, not '%.*s'",
		       f->name, list, QUOTE_MAX, json_string_value(value));
}

static int bind_value(const json_t *value, const struct field *f, void *at,
		      bool *is_deprecated, struct err *e);
static void unbind_value(const struct field *f, void *at);

static int bind_array(const json_t *value, const struct field *f, void *at,
		      bool *is_deprecated, struct err *e)
{
	struct field_array *array = at;
	size_t i, n;

	if (!json_is_array(value))
		return wrong_type(f, "an array", value, e);
	n = json_array_size(value);
	if (n > f->max)
		return err_set(e, -E2BIG,
			       "field '%s' has %zu items, more than the %llu "
			       "allowed",
			       f->name, n, (unsigned long long)f->max);
	unbind_value(f, at);
	if (!n)
		return 0;
	array->items = calloc(n, f->element->size);
	if (!array->items)
		return err_set(e, -ENOMEM, "no memory for field '%s'", f->name);
	array->count = (uint32_t)n;
	for (i = 0; i < n; i++) {
		int rc = bind_value(json_array_get(value, i), f->element,
				    (char *)array->items + i * f->element->size,
				    is_deprecated, e);

		if (rc) {
			err_context(e, "%s[%zu]", f->name, i);
			return rc;
		}
	}
	return 0;
}

/* Empty is as good as absent: tools write out every key they know. */
static int bind_refused(const json_t *value, const struct field *f,
			struct err *e)
{
	if (json_is_array(value) && !json_array_size(value))
		return 0;
	return err_set(e, -EOPNOTSUPP, "'%s' %s", f->name, f->refusal);
}

static int bind_value(const json_t *value, const struct field *f, void *at,
		      bool *is_deprecated, struct err *e)
{
	bool flag;

	switch (f->type) {
	case FIELD_BOOL:
		if (!json_is_boolean(value))
			return wrong_type(f, "a boolean", value, e);
		flag = json_is_true(value);
		memcpy(at, &flag, sizeof(flag));
		return 0;
	case FIELD_INTEGER:
		return bind_integer(value, f, at, e);
	case FIELD_STRING:
		return bind_string(value, f, at, e);
	case FIELD_WORD:
		return bind_word(value, f, at, e);
	case FIELD_OBJECT:
		return json_bind(value, f->nested, at, is_deprecated, e);
	case FIELD_ARRAY:
		return bind_array(value, f, at, is_deprecated, e);
	default:
		return bind_refused(value, f, e);
	}
}

static int unknown_field(const struct field_table *table, const char *key,
			 struct err *e)
{
	char list[320] = "";
	uint32_t i;

	for (i = 0; i < table->count; i++)
		if (table->fields[i].type != FIELD_REFUSED)
			list_add(list, sizeof(list), table->fields[i].name);
	return err_set(e, -EINVAL,
		       "unknown field '%.*s' in %s, which knows only: %s",
		       QUOTE_MAX, key, table->what, list);
}

static int check_keys(const json_t *object, const struct field_table *table,
		      struct err *e)
{
	/* jansson's iterators take a mutable object, and change nothing. */
	json_t *o = (json_t *)(uintptr_t)object;
	const char *key;
	json_t *value;
	uint32_t i;

	json_object_foreach(o, key, value)
	{
		for (i = 0; i < table->count; i++)
			if (!strcmp(table->fields[i].name, key))
				break;
		if (i == table->count)
			return unknown_field(table, key, e);
	}
	return 0;
}

static int bind_field(const json_t *object, const struct field_table *table,
		      const struct field *f, char *out, bool *is_deprecated,
		      struct err *e)
{
	const json_t *value = json_object_get(object, f->name);
	const bool yes = true;
	int rc;

	if (!value && (f->flags & FIELD_REQUIRED))
		return err_set(e, -EINVAL, "missing field '%s' in %s", f->name,
			       table->what);
	if (!value || (json_is_null(value) &&
		       !(f->flags & (FIELD_REQUIRED | FIELD_NO_NULL))))
		return 0;
	rc = bind_value(value, f, out + f->offset, is_deprecated, e);
	if (rc)
		return rc;
	if (f->flags & FIELD_GIVEN)
		memcpy(out + f->given, &yes, sizeof(yes));
	if ((f->flags & FIELD_DEPRECATED) && is_deprecated)
		*is_deprecated = true;
	return 0;
}

int json_bind(const json_t *object, const struct field_table *table, void *out,
	      bool *is_deprecated, struct err *e)
{
	uint32_t i;
	int rc = 0;

	if (!json_is_object(object))
		rc = err_set(e, -EINVAL, "%s must be an object, not %s",
			     table->what, json_kind(object));
	if (!rc)
		rc = check_keys(object, table, e);
	for (i = 0; i < table->count && !rc; i++)
		rc = bind_field(object, table, &table->fields[i], out,
				is_deprecated, e);
	if (rc)
		json_unbind(table, out);
	return rc;
}

static void unbind_value(const struct field *f, void *at)
{
	struct field_array *array = at;
	char **string = at;
	uint32_t i;

	switch (f->type) {
	case FIELD_STRING:
		free(*string);
		*string = NULL;
		break;
	case FIELD_OBJECT:
		json_unbind(f->nested, at);
		break;
	case FIELD_ARRAY:
		for (i = 0; i < array->count; i++)
			unbind_value(f->element, (char *)array->items +
							 i * f->element->size);
		free(array->items);
		*array = (struct field_array){0};
		break;
	default:
		break;
	}
}

void json_unbind(const struct field_table *table, void *out)
{
	uint32_t i;

	for (i = 0; i < table->count; i++)
		unbind_value(&table->fields[i],
			     (char *)out + table->fields[i].offset);
}

static json_t *dump_value(const struct field *f, const void *at)
{
	const struct field_array *array = at;
	char *const *string = at;
	json_t *list;
	uint32_t i;
	int word;

	switch (f->type) {
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_INTEGER:
		return json_integer((json_int_t)integer_get(f, at));
	case FIELD_STRING:
		return *string ? json_text(*string) : json_null();
	case FIELD_WORD:
		memcpy(&word, at, sizeof(word));
		return json_string(f->words[word]);
	case FIELD_OBJECT:
		return json_dump(f->nested, at);
	case FIELD_ARRAY:
		list = json_array();
		for (i = 0; i < array->count; i++)
			json_array_append_new(
				list, dump_value(f->element,
						 (const char *)array->items +
							 i * f->element->size));
		return list;
	default:
		return f->flags & FIELD_LIST ? json_array() : json_null();
	}
}

json_t *json_dump(const struct field_table *table, const void *in)
{
	json_t *object = json_object();
	uint32_t i;

	for (i = 0; i < table->count && object; i++) {
		const struct field *f = &table->fields[i];
		const char *base = in;
		int word = 0;
		json_t *value;

		if (f->flags & FIELD_HIDDEN)
			memcpy(&word, base + f->offset, sizeof(word));
		if ((f->flags & FIELD_HIDDEN) && !word)
			continue;
		if ((f->flags & FIELD_GIVEN) &&
		    !*(const bool *)(base + f->given))
			value = json_null();
		else
			value = dump_value(f, base + f->offset);
		if (json_object_set_new(object, f->name, value)) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy, *c;

	if (json)
		return json;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json = json_string(copy);
	free(copy);
	return json;
}
