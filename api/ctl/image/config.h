#pragma once

#include <jansson.h>

#include "api/ctl/image/image.h"
#include "vmm/base/err.h"

/*
 * Fills *out from the `config` object of an OCI image configuration, which
 * may be NULL or null: every field has a default. What means the same becomes
 * the same: "80" and "80/TCP", "sigquit" and "3". Refuses, with the field's
 * name, wrong types and more than 4,096 strings in a list. What is odd and
 * does no harm, an Env entry without `=`, a port or a signal that is none, is
 * left out; to, which may be NULL, is told. *out is empty on failure.
 */
int image_config_parse(const json_t *config, struct image_config *out,
		       image_warn *to, struct err *e);

/* Frees the strings; accepts a zeroed struct. */
void image_config_fini(struct image_config *c);
