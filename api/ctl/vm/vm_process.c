/* Processes by pid and start time, which together come once. */
#include <errno.h>

#include "api/ctl/base/process.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

struct vm_process vm_process_of(pid_t pid)
{
	struct vm_process p = {.pid = (uint32_t)pid};

	p.start = process_start_time(pid);
	return p.start ? p : (struct vm_process){0};
}

bool vm_process_is_alive(const struct vm_process *p)
{
	return p->pid && p->start &&
	       process_start_time((pid_t)p->pid) == p->start;
}

int vm_process_open(const struct vm_process *p)
{
	CLEAN_FD int fd = -1;

	if (!p->pid)
		return -ESRCH;
	fd = process_open((pid_t)p->pid);
	/* Asked after the pidfd is there: so it is one of the same process. */
	if (fd < 0 || !vm_process_is_alive(p))
		return -ESRCH;
	return fd_steal(&fd);
}
