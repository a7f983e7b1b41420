#pragma once

#include "api/ctl/containerd/spec.h"

/*
 * A bundle of a test's own, the path of its config.json, and what was read of
 * it; in err what was refused.
 */
extern char bundle[64], path[96];
extern struct spec spec;
extern struct err err;

/* Of cmocka, before and after each test. */
int bundle_setup(void **state);
int bundle_teardown(void **state);

/* Has this text as its config.json, which is read. */
int bundle_read(const char *text);
