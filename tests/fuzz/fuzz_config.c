/*
 * A config file: whatever it says, it is a configuration or a sentence; and
 * what the configuration prints of itself is a config file that says the same.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const struct vm_config *c)
{
	json_t *json = config_dump(c);
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	return text;
}

/* What was not there is null, which the file's own form leaves out. */
static void drop_nulls(json_t *object)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(object, next, key,
				 value) if (json_is_null(value))
		json_object_del(object, key);
}

static void round_trip(const struct vm_config *c)
{
	json_t *json = config_dump(c);
	char *first, *second, cmdline[4096];
	struct vm_config again;
	struct err e;

	drop_nulls(json);
	first = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	config_init(&again);
	if (config_parse(&again, first, strlen(first), &e))
		abort();
	free(first);
	first = printed(c);
	second = printed(&again);
	if (strcmp(first, second) != 0)
		abort();
	free(first);
	free(second);
	config_fini(&again);
	(void)config_cmdline(c, cmdline, sizeof(cmdline), &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_config c;
	struct err e = {0};

	config_init(&c);
	if (!config_parse(&c, (const char *)data, size, &e))
		round_trip(&c);
	else if (!e.text[0] || !e.code)
		abort();
	config_fini(&c);
	return 0;
}
