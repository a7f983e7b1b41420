/*
 * Prints the routes and the tables of their bodies as JSON, for
 * tests/openapi/check: so that api/openapi.yaml says what the code does.
 */
#include <jansson.h>
#include <stdio.h>

#include "api/config_fields.h"
#include "api/routes.h"

static json_t *describe_table(const struct field_table *table);

static const char *type_word(enum field_type type)
{
	static const char *const words[] = {
		[FIELD_BOOL] = "boolean",  [FIELD_INTEGER] = "integer",
		[FIELD_STRING] = "string", [FIELD_WORD] = "word",
		[FIELD_OBJECT] = "object", [FIELD_ARRAY] = "array",
	};

	return words[type];
}

/* The largest value that fits, as json.c has it. */
static uint64_t integer_max(const struct field *f)
{
	if (f->max)
		return f->max;
	return f->size < 8 ? (1ULL << (8 * f->size)) - 1 : INT64_MAX;
}

static json_t *describe_field(const struct field *f)
{
	json_t *field = json_object(), *words;
	int i;

	if (f->type == FIELD_REFUSED) {
		json_object_set_new(field, "refused", json_string(f->refusal));
		return field;
	}
	json_object_set_new(field, "type", json_string(type_word(f->type)));
	json_object_set_new(field, "required",
			    json_boolean(f->flags & FIELD_REQUIRED));
	json_object_set_new(
		field, "nullable",
		json_boolean(!(f->flags & (FIELD_REQUIRED | FIELD_NO_NULL))));
	json_object_set_new(field, "deprecated",
			    json_boolean(f->flags & FIELD_DEPRECATED));
	if (f->type == FIELD_INTEGER) {
		json_object_set_new(field, "minimum",
				    json_integer((json_int_t)f->min));
		json_object_set_new(field, "maximum",
				    json_integer((json_int_t)integer_max(f)));
	}
	if (f->type == FIELD_STRING)
		json_object_set_new(
			field, "maxLength",
			json_integer((json_int_t)(f->max ? f->max
							 : FIELD_STRING_MAX)));
	if (f->type == FIELD_WORD) {
		words = json_array();
		for (i = 0; f->words[i]; i++)
			json_array_append_new(words, json_string(f->words[i]));
		json_object_set_new(field, "enum", words);
	}
	if (f->type == FIELD_OBJECT)
		json_object_set_new(field, "table", describe_table(f->nested));
	if (f->type == FIELD_ARRAY) {
		json_object_set_new(field, "maxItems",
				    json_integer((json_int_t)f->max));
		json_object_set_new(field, "items", describe_field(f->element));
	}
	return field;
}

static json_t *describe_table(const struct field_table *table)
{
	json_t *fields = json_object();
	uint32_t i;

	for (i = 0; i < table->count; i++)
		json_object_set_new(fields, table->fields[i].name,
				    describe_field(&table->fields[i]));
	return fields;
}

static json_t *describe_route(const struct route *r)
{
	static const char *const words[] = {"any time", "before the start",
					    "after the start"};
	json_t *route = json_object();

	json_object_set_new(route, "path", json_sprintf("/%s", r->pattern));
	json_object_set_new(route, "method",
			    r->method ? json_string(r->method) : json_null());
	json_object_set_new(route, "when", json_string(words[r->when]));
	if (r->refusal)
		json_object_set_new(route, "refused", json_string(r->refusal));
	if (r->table)
		json_object_set_new(route, "body", describe_table(r->table));
	return route;
}

int main(void)
{
	json_t *all = json_object(), *routes = json_array();
	const struct route *table;
	size_t count, i;

	table = routes_all(&count);
	for (i = 0; i < count; i++)
		json_array_append_new(routes, describe_route(&table[i]));
	json_object_set_new(all, "routes", routes);
	json_object_set_new(all, "file", describe_table(&config_file_table));
	json_dumpf(all, stdout, JSON_INDENT(1));
	json_decref(all);
	return 0;
}
