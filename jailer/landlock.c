/*
 * A second wall around the files, which stands even where the first, the mount
 * namespace, would be got around: rules are about inodes, and nothing takes
 * them back. Documentation/userspace-api/landlock.rst has the versions; their
 * numbers stand here because the headers may be older than the kernel.
 */
#include "jailer/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* struct landlock_ruleset_attr as of version 6. */
struct rules {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

enum {
	FILES_1 = (1 << 13) - 1,  /* EXECUTE to MAKE_SYM */
	FILE_REFER = 1 << 13,	  /* version 2 */
	FILE_TRUNCATE = 1 << 14,  /* 3 */
	FILE_IOCTL_DEV = 1 << 15, /* 5 */
	NET_TCP = 3,		  /* 4: bind and connect */
	SCOPE_ALL = 3,		  /* 6: abstract sockets and signals */

	/* What a monitor does with disks, logs, sockets and snapshots. */
	ALLOWED = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
		  LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
		  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
		  FILE_TRUNCATE,
};

static struct rules rules_of(long version)
{
	struct rules r = {.files = FILES_1};

	if (version >= 2)
		r.files |= FILE_REFER;
	if (version >= 3)
		r.files |= FILE_TRUNCATE;
	if (version >= 4)
		r.net = NET_TCP;
	if (version >= 5)
		r.files |= FILE_IOCTL_DEV;
	if (version >= 6)
		r.scoped = SCOPE_ALL;
	return r;
}

/* Allows something below path. A path that is not there needs no rule. */
static int allow(int ruleset, const char *path, uint64_t what, struct err *e)
{
	CLEAN_FD int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = what,
		.parent_fd = fd,
	};

	if (!what || (fd < 0 && errno == ENOENT))
		return 0;
	if (fd < 0 || syscall(SYS_landlock_add_rule, ruleset,
			      LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		return err_errno(e, "a rule for %s", path);
	return 0;
}

int landlock_enter(const char *program, struct err *e)
{
	const long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
				     LANDLOCK_CREATE_RULESET_VERSION);
	const struct rules rules = rules_of(version);
	CLEAN_FD int ruleset = -1;
	int rc;

	/* Not built, or not among the security modules of this boot. */
	if (version < 1)
		return 0;
	/* An older kernel takes a longer struct whose rest is zero. */
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules,
			       sizeof(rules), 0);
	if (ruleset < 0)
		return err_errno(e, "making a ruleset");
	rc = allow(ruleset, ".", ALLOWED & rules.files, e);
	if (!rc)
		rc = allow(ruleset, "dev", FILE_IOCTL_DEV & rules.files, e);
	if (!rc)
		rc = allow(ruleset, program,
			   LANDLOCK_ACCESS_FS_EXECUTE |
				   LANDLOCK_ACCESS_FS_READ_FILE,
			   e);
	if (!rc && syscall(SYS_landlock_restrict_self, ruleset, 0))
		rc = err_errno(e, "restricting this process");
	return rc;
}
