#pragma once

#include <stdint.h>

/*
 * Words of a bare guest's command line (words.c): what follows a name, NULL
 * where it has none such; and that as a number, or absent.
 */
const char *word(const char *name);
uint32_t number(const char *name, uint32_t absent);
