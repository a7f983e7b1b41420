#pragma once

#include <jansson.h>

#include "api/ctl/image/image.h"
#include "vmm/base/err.h"

/*
 * Fills *out from the `config` object of an OCI image configuration, which
 * may be NULL or null: every field has a default. Refuses, with the field's
 * name, what could not be run: wrong types, an Env entry without `=`, a port
 * that is none, more than 4,096 strings in a list. *out is empty on failure.
 */
int image_config_parse(const json_t *config, struct image_config *out,
		       struct err *e);

/* Frees the strings; accepts a zeroed struct. */
void image_config_fini(struct image_config *c);
