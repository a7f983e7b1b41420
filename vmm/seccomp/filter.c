/*
 * Loading. What is loaded stands in programs.c, which the build makes from
 * rules.c by way of libseccomp (vmm/seccomp/generate.c).
 */
#include "vmm/seccomp/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/seccomp/programs.h"

bool filter_is_built_in(void)
{
#ifdef MAYFLY_NO_FILTERS
	return false;
#else
	return true;
#endif
}

int filter_prepare(struct err *e)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_errno(e, "setting no_new_privs");
	return 0;
}

int filter_load_program(const struct sock_fprog *program, struct err *e)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program))
		return err_errno(e,
				 "loading a seccomp filter (the kernel needs "
				 "CONFIG_SECCOMP_FILTER; --no-seccomp goes "
				 "without)");
	return 0;
}

int filter_load(enum filter_kind kind, struct err *e)
{
	const struct sock_fprog program = {
		.len = program_lengths[kind],
		/* The kernel only reads it. */
		.filter = (struct sock_filter *)(uintptr_t)programs[kind],
	};

	return filter_load_program(&program, e);
}

const char *filter_call_name(int number)
{
	if (number < 0 || (unsigned)number >= call_name_count ||
	    !call_names[number])
		return "?";
	return call_name_text + call_names[number];
}
