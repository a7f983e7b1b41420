/*
 * Resource limits. Hard ones, so that the monitor can't raise them again. Both
 * end a runaway: files that grow without end, descriptors that are never
 * closed.
 */
#include "jailer/rlimit.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_both(int resource, uint64_t value, const char *name,
		    struct err *e)
{
	const struct rlimit limit = {.rlim_cur = value, .rlim_max = value};

	/* The libraries disagree about the type of resource. */
	if (!syscall(SYS_prlimit64, 0, resource, &limit, NULL))
		return 0;
	if (errno == EPERM && geteuid() != 0)
		return err_set(e, -EPERM,
			       "%s=%" PRIu64 ": more than the caller's own "
			       "limit, which only root can raise",
			       name, value);
	if (errno == EPERM)
		return err_set(e, -EPERM,
			       "%s=%" PRIu64 ": more than the caller's own "
			       "limit, which takes CAP_SYS_RESOURCE to raise%s",
			       name, value,
			       resource == RLIMIT_NOFILE
				       ? ", or than the kernel's fs.nr_open"
				       : "");
	return err_errno(e, "%s=%" PRIu64, name, value);
}

/* What nobody asked for is no reason to fail: what there is has to do. */
static int keep_files(struct err *e)
{
	struct rlimit own;

	if (getrlimit(RLIMIT_NOFILE, &own))
		return err_errno(e, "no-file");
	return set_both(RLIMIT_NOFILE, own.rlim_max, "no-file", e);
}

int rlimit_set(const struct jail_options *o, struct err *e)
{
	int rc = 0;

	if (o->has_fsize)
		rc = set_both(RLIMIT_FSIZE, o->fsize_bytes, "fsize", e);
	if (rc)
		return rc;
	rc = set_both(RLIMIT_NOFILE, o->no_file, "no-file", e);
	return rc == -EPERM && !o->has_no_file ? keep_files(e) : rc;
}
