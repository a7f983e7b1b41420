/*
 * linux.seccomp of runtime-spec's config-linux.md as a filter, by libseccomp.
 * What runc does with a profile is done here: unknown system calls are left
 * out, and those that are newer than any of the profile's are not there
 * (ENOSYS), lest a C library takes the EPERM of one that it tries first for an
 * answer.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/containerd/spec_walls.h"
#include "vmm/base/fd.h"

enum {
	NAMES_MAX = 8192, /* of all rules */
	HARD_MAX = 64,	  /* rules with two args, see hardness() */
	ARGS_MAX = 6,
	ARCHES_MAX = 16,
	ERRNO_MAX = 4095,
	TREE_FROM = 32, /* rules: as many are a tree, as runc has it */
	OPTIMIZE_TREE = 2,
	HEAD_STEPS = 8, /* of each architecture */
};

/* Numbers come as reals: what they can't tell from its neighbours. */
static const double EXACT_MAX = 9007199254740991.0; /* 2^53 - 1 */

struct profile {
	scmp_filter_ctx filter; /* owned */
	uint32_t usual;		/* what becomes of calls that no rule has */
	uint32_t arches[ARCHES_MAX];
	int last[ARCHES_MAX]; /* the highest number of a call in it, or -1 */
	size_t arch_count;
	size_t names; /* all that were seen */
	size_t hard;  /* see hardness() */
};

/* ---- words -------------------------------------------------------------- */

static int take_action(const json_t *json, const char *of, uint32_t *out,
		       struct err *e)
{
	static const struct {
		const char *word;
		uint32_t action;
		bool has_number;
	} actions[] = {
		{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false},
		{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
		{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
		{"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
		{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
		{"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
		{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
		{"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
	};
	const bool is_default = !strcmp(of, "defaultAction");
	const char *word = json_string_value(json_object_get(json, of));
	const json_t *number = json_object_get(
		json, is_default ? "defaultErrnoRet" : "errnoRet");
	uint64_t error = EPERM;

	if (word && !strcmp(word, "SCMP_ACT_NOTIFY"))
		return err_set(
			e, -ENOTSUP,
			"the seccomp profile has an agent of the host's "
			"decide (SCMP_ACT_NOTIFY), which can't look into "
			"a microVM; use a profile without it");
	if (number && !json_is_null(number) &&
	    !spec_number(number, ERRNO_MAX, &error))
		return err_set(e, -EINVAL,
			       "the seccomp profile has an errnoRet that is no "
			       "errno");
	for (size_t i = 0; word && i < sizeof(actions) / sizeof(actions[0]);
	     i++)
		if (!strcmp(word, actions[i].word)) {
			*out = actions[i].action |
			       (actions[i].has_number ? (uint32_t)error : 0u);
			return 0;
		}
	return err_set(e, -EINVAL, "the seccomp profile has no action %.40s",
		       word ? word : "at all");
}

static bool take_operator(const char *word, enum scmp_compare *out)
{
	static const struct {
		const char *word;
		enum scmp_compare op;
	} ops[] = {
		{"SCMP_CMP_NE", SCMP_CMP_NE},
		{"SCMP_CMP_LT", SCMP_CMP_LT},
		{"SCMP_CMP_LE", SCMP_CMP_LE},
		{"SCMP_CMP_EQ", SCMP_CMP_EQ},
		{"SCMP_CMP_GE", SCMP_CMP_GE},
		{"SCMP_CMP_GT", SCMP_CMP_GT},
		{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
	};

	for (size_t i = 0; word && i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(word, ops[i].word)) {
			*out = ops[i].op;
			return true;
		}
	return false;
}

/* "SCMP_ARCH_X86_64" is libseccomp's "x86_64"; 0 for one that it lacks. */
static uint32_t arch_of(const char *word)
{
	static const char prefix[] = "SCMP_ARCH_";
	char name[24];
	size_t i;

	if (!word || strncmp(word, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	word += sizeof(prefix) - 1;
	for (i = 0; i < sizeof(name) - 1 && word[i]; i++)
		name[i] = (char)(word[i] >= 'A' && word[i] <= 'Z'
					 ? word[i] | 0x20
					 : word[i]);
	name[i] = '\0';
	return seccomp_arch_resolve_name(name);
}

/* ---- the profile -------------------------------------------------------- */

static int add_arch(struct profile *p, const char *word, struct err *e)
{
	const uint32_t arch = arch_of(word);
	int rc;

	if (!arch)
		return err_set(e, -EINVAL,
			       "the seccomp profile has an architecture that "
			       "libseccomp lacks: %.40s",
			       word ? word : "no text");
	for (size_t i = 0; i < p->arch_count; i++)
		if (p->arches[i] == arch)
			return 0;
	if (p->arch_count == ARCHES_MAX)
		return err_set(e, -E2BIG,
			       "the seccomp profile has more than %d "
			       "architectures",
			       ARCHES_MAX);
	rc = seccomp_arch_add(p->filter, arch);
	if (rc && rc != -EEXIST)
		return err_set(e, rc,
			       "the seccomp profile has an architecture that "
			       "is none of this machine's: %.40s",
			       word);
	p->last[p->arch_count] = -1;
	p->arches[p->arch_count++] = arch;
	return 0;
}

static int take_arches(struct profile *p, const json_t *array, struct err *e)
{
	size_t i;
	int rc = 0;

	p->arches[0] = seccomp_arch_native();
	p->last[0] = -1;
	p->arch_count = 1;
	for (i = 0; i < json_array_size(array) && !rc; i++)
		rc = add_arch(p, json_string_value(json_array_get(array, i)),
			      e);
	return rc;
}

static int take_flags(struct spec *s, const json_t *array, struct err *e)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		const char *word = json_string_value(item);

		if (word && !strcmp(word, "SECCOMP_FILTER_FLAG_LOG"))
			s->security.filter_flags |= SECCOMP_FILTER_FLAG_LOG;
		else if (word &&
			 !strcmp(word, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
			s->security.filter_flags |=
				SECCOMP_FILTER_FLAG_SPEC_ALLOW;
		/* Whom it is for has one thread. */
		else if (!word ||
			 strcmp(word, "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			return err_set(e, -EINVAL,
				       "the seccomp profile has a flag that is "
				       "not known: %.60s",
				       word ? word : "no text");
	}
	return 0;
}

struct conditions {
	struct scmp_arg_cmp list[ARGS_MAX];
	unsigned count;
	bool is_split; /* two are of one argument: each is a rule, as in runc */
};

static int take_conditions(struct conditions *c, const json_t *array,
			   struct err *e)
{
	const json_t *item;
	unsigned seen = 0;
	size_t i;

	*c = (struct conditions){0};
	json_array_foreach(array, i, item)
	{
		const json_t *second = json_object_get(item, "valueTwo");
		uint64_t index = 0, one = 0, two = 0;
		enum scmp_compare op;

		if (i == ARGS_MAX)
			return err_set(e, -E2BIG,
				       "a rule of the seccomp profile has more "
				       "than %d args",
				       ARGS_MAX);
		if (!spec_number(json_object_get(item, "index"), ARGS_MAX - 1,
				 &index) ||
		    !spec_number(json_object_get(item, "value"), EXACT_MAX,
				 &one) ||
		    (second && !json_is_null(second) &&
		     !spec_number(second, EXACT_MAX, &two)) ||
		    !take_operator(
			    json_string_value(json_object_get(item, "op")),
			    &op))
			return err_set(e, -EINVAL,
				       "a rule of the seccomp profile has an "
				       "arg that makes no sense: an index up "
				       "to 5, values below 2^53, and an op");
		c->is_split = c->is_split || (seen >> index & 1);
		seen |= 1u << index;
		/* Of what is masked the mask is the first. */
		c->list[c->count++] = (struct scmp_arg_cmp){
			.arg = (unsigned)index,
			.op = op,
			.datum_a = one,
			.datum_b = two,
		};
	}
	return 0;
}

/*
 * What libseccomp is at for seconds: rules that share no branch, whose number
 * grows with that of their args as a power. Measured: 128 with two args 1.5 s,
 * 16 with three or 8 with four more than 8, of what is compared by
 * greater-than.
 */
static size_t hardness(const struct conditions *c)
{
	static const size_t of[ARGS_MAX + 1] = {0, 0, 1, 8, 16, 24, 32};
	bool is_hard = false;

	for (unsigned i = 0; i < c->count; i++)
		is_hard = is_hard || c->list[i].op != SCMP_CMP_EQ;
	return is_hard && !c->is_split ? of[c->count] : 0;
}

static int add_call(struct profile *p, const char *name, uint32_t action,
		    const struct conditions *c, struct err *e)
{
	const int number = seccomp_syscall_resolve_name(name);
	int rc = 0;

	for (size_t i = 0; i < p->arch_count; i++) {
		const int n =
			seccomp_syscall_resolve_name_arch(p->arches[i], name);

		if (n > p->last[i])
			p->last[i] = n;
	}
	if (number == __NR_SCMP_ERROR || action == p->usual)
		return 0;
	p->hard += hardness(c);
	if (p->hard > HARD_MAX)
		return err_set(e, -E2BIG,
			       "the seccomp profile has too many rules with "
			       "args that are compared by more than equality: "
			       "%d with two args, or two with six, say",
			       HARD_MAX);
	for (unsigned i = 0; c->is_split && i < c->count && !rc; i++)
		rc = seccomp_rule_add_array(p->filter, action, number, 1,
					    &c->list[i]);
	if (!c->is_split)
		rc = seccomp_rule_add_array(p->filter, action, number, c->count,
					    c->list);
	if (!rc)
		return 0;
	if (rc == -EEXIST)
		return err_set(e, -EINVAL,
			       "the seccomp profile has two actions for %.64s "
			       "with the same args",
			       name);
	return err_set(e, rc,
		       "libseccomp takes no rule for %.64s of the seccomp "
		       "profile: %s",
		       name, strerror(-rc));
}

static int take_rule(struct profile *p, const json_t *json, struct err *e)
{
	const json_t *names = json_object_get(json, "names"), *item;
	struct conditions conditions;
	uint32_t action = 0;
	size_t i;
	int rc = take_action(json, "action", &action, e);

	if (!rc)
		rc = take_conditions(&conditions, json_object_get(json, "args"),
				     e);
	json_array_foreach(names, i, item)
	{
		const char *name = json_string_value(item);

		if (rc)
			return rc;
		if (++p->names > NAMES_MAX)
			return err_set(e, -E2BIG,
				       "the seccomp profile has more than %d "
				       "names of system calls",
				       NAMES_MAX);
		if (!name || !*name)
			return err_set(e, -EINVAL,
				       "the seccomp profile has a system call "
				       "without a name");
		rc = add_call(p, name, action, &conditions, e);
	}
	return rc;
}

/* ---- the filter --------------------------------------------------------- */

/* Whoever lets a call through that no rule has also lets new ones through. */
static bool is_open(uint32_t action)
{
	return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG ||
	       (action & 0xffff0000u) == SCMP_ACT_TRACE(0);
}

static size_t put_newer(struct sock_filter *to, uint32_t arch, uint32_t last)
{
	const size_t nr = offsetof(struct seccomp_data, nr);
	/* Calls of x32 have this bit, and numbers of their own. */
	const uint32_t x32 = 0x40000000;
	const uint8_t skips = arch == AUDIT_ARCH_X86_64 ? 2 : 0;
	const struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, skips ? x32 : UINT32_MAX, 2,
			 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	memcpy(to, steps, sizeof(steps));
	return sizeof(steps) / sizeof(steps[0]);
}

/* What comes before libseccomp's own. */
static size_t put_head(const struct profile *p, struct sock_filter *to)
{
	size_t count = 0;

	if (is_open(p->usual) || p->usual == SCMP_ACT_ERRNO(ENOSYS))
		return 0;
	for (size_t i = 0; i < p->arch_count; i++)
		if (p->arches[i] != SCMP_ARCH_X32 && p->last[i] >= 0)
			count += put_newer(to + count, p->arches[i],
					   (uint32_t)p->last[i]);
	return count;
}

static int export_filter(const struct profile *p, struct spec *s, struct err *e)
{
	CLEAN_FD int fd = memfd_create("filter", MFD_CLOEXEC);
	struct sock_filter head[ARCHES_MAX * HEAD_STEPS], *all;
	const size_t count = put_head(p, head);
	struct stat st;
	size_t len;
	int rc;

	if (fd < 0)
		return err_errno(e, "can't make a seccomp filter");
	rc = seccomp_export_bpf(p->filter, fd);
	if (!rc && fstat(fd, &st))
		rc = -errno;
	len = rc ? 0 : count * sizeof(*head) + (size_t)st.st_size;
	if (rc == -E2BIG || len > SESSION_FILTER_MAX * sizeof(*head))
		return err_set(e, -E2BIG,
			       "the seccomp profile becomes a filter of more "
			       "than %d steps, which no kernel takes",
			       SESSION_FILTER_MAX);
	if (rc)
		return err_set(e, rc,
			       "libseccomp makes no filter of the seccomp "
			       "profile: %s",
			       strerror(-rc));
	s->filter = malloc(len);
	all = s->filter;
	if (!all)
		return err_set(e, -ENOMEM, "no memory for a seccomp filter");
	memcpy(all, head, count * sizeof(*head));
	rc = fd_pread(fd, all + count, (size_t)st.st_size, 0);
	s->security.filter = all;
	s->security.filter_len = len;
	return rc ? err_set(e, rc, "can't read a seccomp filter back") : 0;
}

static int compile(struct profile *p, struct spec *s, const json_t *json,
		   struct err *e)
{
	const json_t *rules = json_object_get(json, "syscalls");
	int rc = take_arches(p, json_object_get(json, "architectures"), e);

	if (!rc)
		rc = take_flags(s, json_object_get(json, "flags"), e);
	for (size_t i = 0; i < json_array_size(rules) && !rc; i++)
		rc = take_rule(p, json_array_get(rules, i), e);
	if (!rc && p->names > TREE_FROM)
		(void)seccomp_attr_set(p->filter, SCMP_FLTATR_CTL_OPTIMIZE,
				       OPTIMIZE_TREE);
	return rc ? rc : export_filter(p, s, e);
}

int spec_take_seccomp(struct spec *s, struct err *e)
{
	const json_t *json =
		json_object_get(json_object_get(s->json, "linux"), "seccomp");
	struct profile p = {0};
	int rc;

	if (!json || json_is_null(json))
		return 0;
	rc = take_action(json, "defaultAction", &p.usual, e);
	if (rc)
		return rc;
	p.filter = seccomp_init(p.usual);
	if (!p.filter)
		return err_set(e, -ENOMEM, "no memory for a seccomp filter");
	rc = compile(&p, s, json, e);
	seccomp_release(p.filter);
	return rc;
}
