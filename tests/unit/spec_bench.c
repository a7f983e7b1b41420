#include "tests/unit/spec_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char bundle[64], path[96];
struct spec spec;
struct err err;

int bundle_setup(void **state)
{
	(void)state;
	snprintf(bundle, sizeof(bundle), "/tmp/mayfly-test-spec.XXXXXX");
	if (!mkdtemp(bundle))
		return -1;
	snprintf(path, sizeof(path), "%s/config.json", bundle);
	err = (struct err){0};
	return 0;
}

int bundle_teardown(void **state)
{
	(void)state;
	spec_fini(&spec);
	unlink(path);
	return rmdir(bundle);
}

int bundle_read(const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
	return spec_read(&spec, bundle, false, &err);
}
