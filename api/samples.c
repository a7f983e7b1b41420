/*
 * Samples and their two forms.
 *
 * The text format wants all samples of one family to stand together, so they
 * are sorted by family first. The JSON line is for readers that take one object
 * a line: its groups come in the order of gathering.
 */
#include "api/samples.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 128 };

void samples_fini(struct samples *s)
{
	free(s->items);
	*s = (struct samples){0};
}

/* Copies a word that can be a key and a metric's name. */
static void copy_word(char *out, size_t size, const char *word)
{
	size_t i;

	for (i = 0; word[i] && i + 1 < size; i++)
		out[i] = isalnum((unsigned char)word[i]) ? word[i] : '_';
	out[i] = '\0';
}

struct sample *samples_add(struct samples *s, const char *group, const char *id,
			   const char *name, enum sample_kind kind,
			   uint64_t value)
{
	const size_t room = s->room ? 2 * s->room : ROOM_FIRST;
	struct sample *sample;

	if (s->count == s->room) {
		struct sample *larger =
			realloc(s->items, room * sizeof(*s->items));

		if (!larger) {
			s->error = -ENOMEM;
			return NULL;
		}
		s->items = larger;
		s->room = room;
	}
	sample = &s->items[s->count++];
	copy_word(sample->group, sizeof(sample->group), group);
	copy_word(sample->id, sizeof(sample->id), id);
	copy_word(sample->name, sizeof(sample->name), name);
	sample->family[0] = '\0';
	sample->labels[0] = '\0';
	sample->kind = kind;
	sample->value = value;
	return sample;
}

/* JSON's integers are signed here; no counter gets that far. */
static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)(value & INT64_MAX));
}

/* The object of a group, made where it is missing. Borrowed. */
static json_t *group_of(json_t *line, const char *group)
{
	json_t *object = json_object_get(line, group);

	if (!object)
		json_object_set_new(line, group, json_object());
	return json_object_get(line, group);
}

static int put(json_t *line, const struct sample *sample)
{
	char group[sizeof(sample->group) + sizeof(sample->id) + 1];
	json_t *object = group_of(line, sample->group);
	const json_t *old = json_object_get(object, sample->name);
	uint64_t sum = sample->value;

	if (old && sample->kind == SAMPLE_COUNTER)
		sum += (uint64_t)json_integer_value(old);
	if (json_object_set_new(object, sample->name, integer(sum)))
		return -ENOMEM;
	if (!sample->id[0])
		return 0;
	snprintf(group, sizeof(group), "%s_%s", sample->group, sample->id);
	object = group_of(line, group);
	return json_object_set_new(object, sample->name,
				   integer(sample->value));
}

char *samples_json(const struct samples *s, uint64_t utc_ms)
{
	json_t *line = json_object();
	char *text = NULL, *whole;
	size_t i, len;
	int rc;

	rc = json_object_set_new(line, "utc_timestamp_ms", integer(utc_ms));
	for (i = 0; i < s->count && !rc; i++)
		rc = put(line, &s->items[i]);
	if (!rc)
		text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	if (!text)
		return NULL;
	len = strlen(text);
	whole = realloc(text, len + 2);
	if (!whole) {
		free(text);
		return NULL;
	}
	memcpy(whole + len, "\n", 2);
	return whole;
}

static void name_family(struct sample *sample)
{
	if (!sample->family[0])
		snprintf(sample->family, sizeof(sample->family), "%.24s_%.32s",
			 sample->group, sample->name);
	if (!sample->labels[0] && sample->id[0])
		snprintf(sample->labels, sizeof(sample->labels), "id=\"%s\"",
			 sample->id);
}

static int compare(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int order = strcmp(x->family, y->family);

	return order ? order : strcmp(x->labels, y->labels);
}

char *samples_text(struct samples *s)
{
	char *text = NULL;
	size_t i, size;
	FILE *out;

	for (i = 0; i < s->count; i++)
		name_family(&s->items[i]);
	if (s->count)
		qsort(s->items, s->count, sizeof(*s->items), compare);
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (i = 0; i < s->count; i++) {
		const struct sample *x = &s->items[i];
		const bool is_counter = x->kind == SAMPLE_COUNTER;
		const char *end = is_counter ? "_total" : "";

		if (!i || strcmp(x->family, x[-1].family) != 0)
			fprintf(out, "# TYPE mayfly_%s%s %s\n", x->family, end,
				is_counter ? "counter" : "gauge");
		fprintf(out, "mayfly_%s%s%s%s%s %" PRIu64 "\n", x->family, end,
			x->labels[0] ? "{" : "", x->labels,
			x->labels[0] ? "}" : "", x->value);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
