#pragma once

#include <stdio.h>

#include "api/ctl/bench/past.h"
#include "api/ctl/bench/report.h"

/*
 * A run as one HTML page that needs nothing else: no script, no font, no
 * picture from elsewhere. Light or dark as the reader has it, and readable on a
 * phone. past are runs of before, without this one.
 */
void page_write(const struct report *r, const struct past *past, FILE *to);
