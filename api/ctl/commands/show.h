#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

/*
 * What others have put into a text, an image's configuration, a monitor's
 * answer, for who may be a terminal: in ASCII, with what is none as \uNNNN,
 * which to a reader of JSON is the same. In UTF-8 the control characters of C1
 * (ISO/IEC 6429) would be themselves.
 */

/* JSON and a line feed; flags are json_dumpf()'s. 0, or -1: no memory. */
int show_json(const json_t *json, size_t flags, FILE *to);

/* A text that may be JSON, as it is but for that, and a line feed. */
void show_text(const char *text, FILE *to);
