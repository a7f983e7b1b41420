/* Tables into BPF. libseccomp 2.5 writes programs to a descriptor only. */
#include "vmm/seccomp/compile.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* A tree of comparisons instead of a list: six steps, not forty. */
enum { OPTIMIZE_TREE = 2 };

static int add_rule(scmp_filter_ctx filter, const struct rule *r, struct err *e)
{
	int number = seccomp_syscall_resolve_name(r->name);
	uint32_t action = r->error ? SCMP_ACT_ERRNO((uint32_t)r->error)
				   : SCMP_ACT_ALLOW;
	struct scmp_arg_cmp args[RULE_ARGS_MAX];
	unsigned i;
	int rc;

	if (number == __NR_SCMP_ERROR)
		return err_set(e, -EINVAL, "there is no system call '%.64s'",
			       r->name);
	for (i = 0; i < r->arg_count; i++)
		args[i] = (struct scmp_arg_cmp){
			.arg = r->args[i].index,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = r->args[i].mask,
			.datum_b = r->args[i].value,
		};
	rc = seccomp_rule_add_array(filter, action, number, r->arg_count, args);
	/* The same rule in two tables is no mistake. */
	if (rc && rc != -EEXIST)
		return err_set(e, rc, "libseccomp takes no rule for %.64s: %s",
			       r->name, strerror(-rc));
	return 0;
}

/* Another machine's, where it is not for this one that filters are made. */
static int set_arch(scmp_filter_ctx filter)
{
	int rc;

	if (FILTER_ARCH == SCMP_ARCH_NATIVE)
		return 0;
	rc = seccomp_arch_add(filter, FILTER_ARCH);
	return rc ? rc : seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
}

static int export_program(scmp_filter_ctx filter, struct sock_fprog *out,
			  struct err *e)
{
	CLEAN_FD int fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0 || seccomp_export_bpf(filter, fd) || fstat(fd, &st))
		return err_errno(e, "can't export a seccomp filter");
	out->len = (unsigned short)((size_t)st.st_size /
				    sizeof(struct sock_filter));
	out->filter = malloc((size_t)st.st_size);
	if (!out->filter)
		return err_set(e, -ENOMEM, "no memory for a seccomp filter");
	rc = fd_pread(fd, out->filter, (size_t)st.st_size, 0);
	if (rc) {
		free(out->filter);
		out->filter = NULL;
		return err_set(e, rc, "can't read a seccomp filter back");
	}
	return 0;
}

int compile_rules(const struct rules *const tables[], unsigned count,
		  struct sock_fprog *out, struct err *e)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	unsigned i, k;
	int rc;

	*out = (struct sock_fprog){0};
	if (!filter)
		return err_set(e, -ENOMEM, "no memory for a seccomp filter");
	rc = set_arch(filter);
	if (rc)
		err_set(e, rc, "libseccomp knows no such architecture");
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH,
			 SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_TREE);
	for (i = 0; i < count && !rc; i++)
		for (k = 0; k < tables[i]->count && !rc; k++)
			rc = add_rule(filter, &tables[i]->rules[k], e);
	if (!rc)
		rc = export_program(filter, out, e);
	seccomp_release(filter);
	return rc;
}

unsigned compile_tables(enum filter_kind kind,
			const struct rules *const tables[FILTERS],
			const struct rules *out[FILTERS])
{
	const bool is_loop = kind == FILTER_LOOP || kind == FILTER_STATE;
	unsigned i, count = 0;

	for (i = 0; i < FILTERS; i++)
		if (i == kind || kind == FILTER_START ||
		    (i == FILTER_WORKER && is_loop) ||
		    (i == FILTER_LOOP && kind == FILTER_STATE))
			out[count++] = tables[i];
	return count;
}
