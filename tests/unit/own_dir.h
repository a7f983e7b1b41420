#pragma once

/*
 * A directory of a test's own in /tmp, for cmocka's set-up and tear-down, of a
 * group or of each test.
 */
extern char own_dir[];

int make_dir(void **state);

/* With all that is in it. */
int remove_dir(void **state);
