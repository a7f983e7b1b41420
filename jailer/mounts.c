/*
 * One namespace with next to no mounts is on every machine: that of kdevtmpfs,
 * the kernel's thread that makes device nodes (drivers/base/devtmpfs.c), which
 * begins with unshare(CLONE_NEWNS) as we do. It is only the place to copy from:
 * unshare() follows, and pivot_root() leaves nothing of the copy. In a
 * container, whose PID namespace does not show it, or where a security module
 * keeps us out, the host's own mounts are copied as ever.
 */
#include "jailer/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum {
	FEW = 64,	/* mounts that are quicker copied than avoided */
	PID_FIRST = 2,	/* kthreadd, whose children come next */
	PID_LAST = 512, /* it comes after the threads of each processor */
};

/* <linux/sched.h> of the kernel, not of its interface: a thread of its own. */
static const unsigned long pf_kthread = 0x00200000;

/* Linux 6.8. Without it, mounts are taken to be few. */
static bool has_many(void)
{
	const struct {
		uint32_t size, spare;
		uint64_t mount, param;
	} root = {.size = sizeof(root), .mount = UINT64_MAX};
	const long sys_listmount = 458;
	uint64_t ids[FEW];

	return syscall(sys_listmount, &root, ids, FEW, 0) == FEW;
}

/* proc(5): `25 (kdevtmpfs) S 2 0 0 0 -1 2130240 …`, flags the ninth. */
static bool is_devtmpfs(int proc, int pid)
{
	static const char name[] = " (kdevtmpfs) ";
	CLEAN_FD int fd = -1;
	char path[32], text[256], *at;
	unsigned long flags = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%d/stat", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	at = strstr(text, name);
	/* Anybody can take the name; the flag is the kernel's. */
	return at &&
	       sscanf(at + strlen(name), "%*c %*d %*d %*d %*d %*d %lu",
		      &flags) == 1 &&
	       flags & pf_kthread;
}

bool mounts_leave(void)
{
	CLEAN_FD int proc = -1;
	CLEAN_FD int ns = -1;
	char path[32];
	int pid = PID_FIRST;

	if (!has_many())
		return false;
	proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return false;
	while (pid <= PID_LAST && !is_devtmpfs(proc, pid))
		pid++;
	snprintf(path, sizeof(path), "%d/ns/mnt", pid);
	if (pid <= PID_LAST)
		ns = openat(proc, path, O_RDONLY | O_CLOEXEC);
	return ns >= 0 && !setns(ns, CLONE_NEWNS);
}
