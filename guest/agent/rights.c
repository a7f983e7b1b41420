/*
 * Users, capabilities, no_new_privs and seccomp, in the order of runc: whoever
 * gains nothing by exec() has the filter on last, so that it need not allow
 * what comes before; for all others that takes a capability, and so it is
 * first.
 */
#include "guest/agent/rights.h"

#include "guest/proto_security.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SCORE_MAX = 1000 };

bool rights_read(struct rights *r, struct reader *from)
{
	const struct proto_security *head = reader_take(from, sizeof(*head));
	uint32_t flags;

	if (!head)
		return false;
	flags = proto_get32(&head->flags);
	r->are_apart = flags & PROTO_SECURITY_SETS;
	r->sets.effective = proto_get64(&head->effective);
	r->sets.permitted = proto_get64(&head->permitted);
	r->sets.inheritable = proto_get64(&head->inheritable);
	r->has_umask = flags & PROTO_SECURITY_UMASK;
	r->umask = proto_get32(&head->umask);
	r->has_score = flags & PROTO_SECURITY_SCORE;
	r->score = (int32_t)proto_get32(&head->score);
	return r->umask <= 0777 && r->score >= -SCORE_MAX &&
	       r->score <= SCORE_MAX;
}

void rights_inherit(struct rights *r, const struct rights *from)
{
	const uint64_t ambient = r->sets.ambient;

	if (!r->are_apart && !r->sets.bounding) {
		r->sets = from->sets;
		r->are_apart = from->are_apart;
		if (!r->are_apart)
			r->sets.ambient = ambient;
	}
	if (!r->has_umask)
		r->umask = from->umask;
	r->has_umask = r->has_umask || from->has_umask;
	r->filter = from->filter;
	r->filter_len = from->filter_len;
	r->filter_flags = from->filter_flags;
}

int rights_score(const struct rights *r)
{
	char text[16];
	int fd, len, rc = 0;

	if (!r->has_score)
		return 0;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = snprintf(text, sizeof(text), "%d", r->score);
	if (write(fd, text, (size_t)len) != len)
		rc = -errno;
	close(fd);
	return rc;
}

/* ---- capabilities ---------------------------------------------------------
 */

static int caps_set(uint64_t effective, uint64_t permitted,
		    uint64_t inheritable)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> 32 * i);
		data[i].permitted = (uint32_t)(permitted >> 32 * i);
		data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
	}
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* What this process may make effective. */
static uint64_t caps_permitted(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capget, &head, data))
		return 0;
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

int rights_limit(const struct rights_sets *sets)
{
	const uint64_t have = caps_permitted();
	const uint64_t permitted = sets->permitted & have;
	const uint64_t inheritable = sets->inheritable & sets->bounding & have;
	const uint64_t ambient = sets->ambient & permitted & inheritable;
	int rc = caps_set(have, have, 0);

	for (int cap = 0; !rc && cap < 64; cap++) {
		const int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			break; /* the kernel knows no more */
		if (has && !(sets->bounding >> cap & 1) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	}
	if (!rc)
		rc = caps_set(sets->effective & permitted, permitted,
			      inheritable);
	for (int cap = 0; !rc && cap < 64; cap++)
		if (ambient >> cap & 1 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			rc = -errno;
	return rc;
}

/* What uid 0 has is the bounding set; whoever isn't has what is ambient. */
static struct rights_sets sets_of(const struct rights *r, const struct user *u)
{
	struct rights_sets sets = r->sets;

	if (r->are_apart)
		return sets;
	sets.ambient &= sets.bounding;
	sets.inheritable = sets.ambient;
	sets.permitted = u->uid ? sets.ambient : sets.bounding;
	sets.effective = sets.permitted;
	return sets;
}

/* ---- all of it ------------------------------------------------------------
 */

static int filter_load(const struct rights *r)
{
	const struct sock_fprog program = {
		.len = (unsigned short)r->filter_len,
		.filter = r->filter,
	};

	if (!r->filter)
		return 0;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, r->filter_flags,
		       &program)
		       ? -errno
		       : 0;
}

int rights_take(const struct rights *r, const struct user *u, const char **what)
{
	const struct rights_sets sets = sets_of(r, u);
	int rc;

	*what = "no_new_privs";
	if (r->has_no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	*what = "the seccomp filter";
	rc = r->has_no_new_privs ? 0 : filter_load(r);
	if (rc)
		return rc;
	*what = "the groups";
	if (setgroups(u->groups_len, u->groups) ||
	    setresgid(u->gid, u->gid, u->gid))
		return -errno;
	*what = "the user";
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ||
	    setresuid(u->uid, u->uid, u->uid))
		return -errno;
	*what = "the capabilities";
	rc = rights_limit(&sets);
	if (rc)
		return rc;
	*what = "the seccomp filter";
	return r->has_no_new_privs ? filter_load(r) : 0;
}
