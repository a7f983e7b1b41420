/* Those benches that a guest with Linux is needed for. */
#include <errno.h>

#include "api/ctl/bench/bench.h"

int bench_linux(struct result *r, const struct bench *b, struct err *e)
{
	const char *no_kernels = host_no_kernels(b->host);

	if (no_kernels)
		return err_set(e, -EOPNOTSUPP,
			       "it needs a guest with Linux, and %s",
			       no_kernels);
	return err_set(e, -EOPNOTSUPP,
		       "it needs a guest with a disk and a peer in it, which "
		       "mayctl does not bring along: tests/bench/%s in the "
		       "source measures it",
		       r->name);
}
