#include "api/confine.h"

#include <errno.h>
#include <stdlib.h>

#include "api/policy.h"
#include "vmm/base/log.h"
#include "vmm/seccomp/filter.h"

struct confine {
	/* By kind; those without instructions are the built-in ones'. Owned. */
	struct sock_fprog programs[FILTERS];
};

int confine_new(struct confine **out, bool is_off, const char *policy_path,
		struct err *e)
{
	struct confine *c;
	int rc;

	*out = NULL;
	if (is_off) {
		log_warn("--no-seccomp: a guest that takes this process over "
			 "has every system call of its user");
		return 0;
	}
	if (!filter_is_built_in()) {
		log_warn("this build has no seccomp filters, as sanitizers "
			 "would trip over them");
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, -ENOMEM, "no memory for seccomp filters");
	rc = policy_path ? policy_load(policy_path, c->programs, e) : 0;
	if (!rc)
		rc = filter_prepare(e);
	if (rc)
		free(c);
	else
		*out = c;
	return rc;
}

int confine_thread(const struct confine *c, enum filter_kind kind,
		   struct err *e)
{
	if (!c)
		return 0;
	if (c->programs[kind].len)
		return filter_load_program(&c->programs[kind], e);
	return filter_load(kind, e);
}
