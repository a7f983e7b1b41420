#include "tests/unit/own_dir.h"

#include <stdio.h>
#include <stdlib.h>

#define TEMPLATE "/tmp/mayfly-unit-XXXXXX"

char own_dir[sizeof(TEMPLATE)];

int make_dir(void **state)
{
	(void)state;
	snprintf(own_dir, sizeof(own_dir), TEMPLATE);
	return mkdtemp(own_dir) ? 0 : -1;
}

int remove_dir(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", own_dir);
	return system(command);
}
