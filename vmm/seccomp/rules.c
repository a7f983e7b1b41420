/*
 * The tables. A rule stays as long as removing it breaks a test
 * (tests/vm/seccomp removes each in turn); one for which nobody can say why
 * should go. ioctl requests are 32 bits wide in the kernel, and so compared.
 *
 * What stays out says as much: no thread may open an executable mapping, start
 * a program, make a process, change its identity, or trace anybody; and once
 * the guest runs nobody makes a VM, a vCPU or a KVM device.
 */
#include "vmm/seccomp/rules.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "vmm/arch/host/rules.h"
#include "vmm/seccomp/libc_rules.h"

#define CALL(call, reason) {.name = (call), .why = (reason)}

/* Where argument number at is what, seen through mask_. */
#define CALL_IF(call, at, mask_, what, reason)     \
	{                                          \
		.name = (call),                    \
		.why = (reason),                   \
		.args = {{(at), (mask_), (what)}}, \
		.arg_count = 1,                    \
	}
#define FAILS(call, with, reason) \
	{.name = (call), .why = (reason), .error = (with)}
#define IOCTL(request, reason) CALL_IF("ioctl", 1, 0xffffffff, request, reason)

/* Everything but code. */
#define NO_EXEC(name, why) CALL_IF(name, 2, PROT_EXEC, 0, why)

static const struct rule vcpu_rules[] = {
	IOCTL(KVM_RUN, "running the guest"),
	IOCTL(KVM_IRQ_LINE, "interrupts of the serial port and the keyboard"),
	IOCTL(KVM_IOEVENTFD, "a driver comes up or goes: its kicks"),
	IOCTL(TUNSETOFFLOAD, "a network driver says what it takes"),
	IOCTL(TUNSETQUEUE, "a network driver goes: only one queue stays"),
	CALL("futex", "the gate, and the locks of devices"),
	CALL("write", "waking the loop thread; log lines"),
	CALL("clock_gettime", "times of the log, where the vDSO has no clock"),
	CALL("ppoll", "waiting for what a reset began"),
	CALL("rt_sigreturn", "back from the signal that ends KVM_RUN"),
	CALL("rt_sigprocmask", "the thread's end"),
	CALL("exit", "the thread's end"),
	CALL("exit_group", "the end after a call that is not here"),
	IOCTL(TCSETS, "the same: the terminal as it was"),
	LIBC_VCPU_RULES HOST_VCPU_RULES,
};

/* Of new threads only. */
#define CLONE_NAMESPACES                                             \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | \
	 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static const struct rule loop_rules[] = {
	/* the loop itself */
	CALL("epoll_pwait", "the loop's wait"),
	CALL("epoll_pwait2", "the loop's wait where a timer is armed"),
	CALL("epoll_ctl", "connections come and go"),
	CALL("read", "events, API requests, the terminal, packets"),
	CALL("write", "events, the log, the serial port"),
	CALL("close", "connections and files end"),
	CALL("futex", "the gate, and the locks of devices"),
	CALL("clock_gettime", "clocks of CPU time, and all without a vDSO"),
	CALL("restart_syscall", "a poll that a stop of the process cut in two"),
	CALL("ppoll", "the end waits for what drives have in flight"),
	CALL("tgkill", "the end by a signal; glibc: a vCPU out of the guest"),
	CALL("getpid", "the same"),
	CALL("rt_sigprocmask", "signals and new threads, in the C library"),
	CALL("ftruncate", "the serial port's file begins anew"),
	CALL("exit_group", "the process's end"),
	IOCTL(TCSETS, "the same: the terminal as it was"),
	/* memory of requests, never code */
	CALL("brk", "small allocations"),
	NO_EXEC("mmap", "large allocations, io_uring's rings"),
	CALL("mremap", "large allocations that grow"),
	CALL("munmap", "the same back; the guest's memory at the end"),
	/* virtio-block */
	CALL("openat", "PATCH gives a drive another file"),
	CALL("fstatfs", "whether it is in memory"),
	CALL("lseek", "its size, where it is a device"),
	IOCTL(BLKGETSIZE64, "its size, where it is a device"),
	CALL_IF("fcntl", 1, 0xffffffff, F_SETFL, "its mode"),
	CALL("preadv2", "reads of what is cached"),
	CALL("io_uring_setup", "Async: the ring, with the first request"),
	CALL("io_uring_register", "Async: what the ring may do, and no more"),
	CALL("io_uring_enter", "Async: requests"),
	IOCTL(KVM_IRQ_LINE, "what is typed; a key of Ctrl-Alt-Del"),
	/* virtio-net */
	CALL("readv", "packets from the tap"),
	CALL("writev", "packets to the tap; bytes to vsock's streams"),
	/* Unix sockets: the API and vsock */
	CALL("accept4", "clients"),
	CALL("recvfrom", "API requests, vsock's CONNECT"),
	CALL("sendto", "API answers, vsock's OK"),
	CALL("recvmsg", "bytes of vsock's streams"),
	CALL("sendmsg", "bytes to vsock's streams"),
	CALL("shutdown", "one direction of a stream ends"),
	CALL_IF("socket", 0, 0xffffffff, AF_UNIX,
		"the guest's streams to the host"),
	CALL("connect", "the guest's streams to the host"),
	/* threads: vCPUs' at the start, a device's when it has work for it */
	CALL_IF("clone", 0, CLONE_VM | CLONE_THREAD | CLONE_NAMESPACES,
		CLONE_VM | CLONE_THREAD, "threads of vCPUs and devices"),
	NO_EXEC("mprotect", "their stacks"),
	CALL_IF("prctl", 0, 0xffffffff, PR_SET_NAME, "their names"),
	CALL("seccomp", "their filters, and those of stages to come"),
	LIBC_LOOP_RULES,
	HOST_LOOP_RULES,
};

/*
 * The thread of a drive, a network interface or a serial port. It is the loop
 * thread's child and so has its filter on too: what stands here stands there,
 * with what making threads takes.
 */
static const struct rule worker_rules[] = {
	CALL("preadv", "Sync: reads"),
	CALL("pwritev", "Sync: writes; zeroes"),
	CALL("fdatasync", "Sync: flushes"),
	CALL("fallocate", "discard and write zeroes"),
	IOCTL(BLKDISCARD, "discard, where the disk is a device"),
	IOCTL(TUNSETQUEUE, "how many queues a network driver uses"),
	IOCTL(TUNSETOFFLOAD, "what a network driver takes from now on"),
	CALL("futex", "waiting for work; the lock of the device"),
	CALL("write", "interrupts, waking the loop thread, log lines"),
	CALL("ftruncate", "a slow file of the serial port's begins anew"),
	CALL("clock_gettime", "times of the log, where the vDSO has no clock"),
	CALL("rt_sigprocmask", "the thread's end"),
	CALL("madvise",
	     "given back: stacks at a thread's end, a clone's memory"),
	CALL("exit", "the thread's end"),
	CALL("exit_group", "the end after a call that is not here"),
	IOCTL(TCSETS, "the same: the terminal as it was"),
	LIBC_WORKER_RULES,
	HOST_WORKER_RULES,
};

/*
 * A thread that gives a loaded guest its pages. It is made while the API still
 * configures, and so has that filter on, too, which has these rules in it.
 */
static const struct rule pages_rules[] = {
	CALL("read", "who waits for a page"),
	NO_EXEC("mmap", "the page of the memory file, where it belongs"),
	IOCTL(UFFDIO_WAKE, "who waited goes on"),
	CALL("fadvise64", "reading pages ahead"),
	CALL("madvise", "mapping them; the thread's end gives its stack back"),
	CALL("write", "telling the loop thread; log lines"),
	CALL("clock_gettime", "how long it took, where the vDSO has no clock"),
	CALL("rt_sigprocmask", "the thread's end"),
	CALL("exit", "the thread's end"),
	CALL("exit_group", "the end where a page can't be given"),
	IOCTL(TCSETS, "the same: the terminal as it was"),
	LIBC_PAGES_RULES HOST_PAGES_RULES,
};

/*
 * Beyond that, where an API can ask for the state: of vCPUs that are held, and
 * into files. Threads of vCPUs need none of it.
 */
static const struct rule state_rules[] = {
	IOCTL(KVM_GET_MP_STATE, "a vCPU's state"),
	IOCTL(KVM_CHECK_EXTENSION, "how large a vCPU's state is"),
	IOCTL(KVM_GET_DEVICE_ATTR, "a vCPU's clock; interrupts"),
	IOCTL(KVM_GET_VCPU_EVENTS, "a vCPU's state"),
	IOCTL(KVM_GET_DIRTY_LOG, "what a diff has"),
	/* going back to a mark; loading a snapshot, too */
	CALL("memfd_create", "memory as it was at the mark; the guest's"),
	IOCTL(KVM_SET_USER_MEMORY_REGION, "noting what is written; memory"),
	IOCTL(KVM_SET_MP_STATE, "a vCPU's state"),
	IOCTL(KVM_SET_DEVICE_ATTR, "a vCPU's clock; interrupts"),
	IOCTL(KVM_SET_VCPU_EVENTS, "a vCPU's state"),
	IOCTL(KVM_IOEVENTFD, "drivers that were up, or not"),
	IOCTL(TUNSETQUEUE, "how many queues their drivers used"),
	IOCTL(TUNSETOFFLOAD, "what their drivers took"),
	/* a fork */
	CALL_IF("fcntl", 1, 0xffffffff, F_ADD_SEALS, "nobody writes to it"),
	CALL_IF("fcntl", 1, 0xffffffff, F_DUPFD_CLOEXEC,
		"its memory, which stays ours too"),
	CALL("fadvise64", "overlays on a disk, read ahead"),
	/* what is written */
	CALL("mincore", "which memory was touched"),
	CALL("pread64", "whose memory an older state has; kernels' segments"),
	CALL("pwrite64", "memory and state into their files"),
	CALL("copy_file_range", "the base that a diff goes over"),
	CALL("fsync", "both on the disk"),
	CALL("renameat", "both in their places"),
	CALL("getrandom", "names that nobody has; a new generation"),
	CALL("flock", "who is alive that writes them"),
	CALL("getdents64", "what a killed writer has left"),
	CALL("unlinkat", "the same, and what failed"),
	LIBC_STATE_RULES HOST_STATE_RULES,
};

/* While the API configures, the loop thread makes what the machine is of. */
static const struct rule start_rules[] = {
	CALL("eventfd2", "kicks and interrupts of devices"),
	IOCTL(KVM_IRQFD, "interrupts of devices"),
	CALL("fcntl", "modes of files; copies"),
	CALL("dup3", "PUT gives the log another file"),
	IOCTL(TIOCGPGRP, "whether the terminal is ours"),
	CALL("getpgid", "the same"),
	IOCTL(KVM_GET_API_VERSION, "whether it is KVM"),
	IOCTL(KVM_GET_VCPU_MMAP_SIZE, "what KVM shares of a vCPU"),
	IOCTL(KVM_CREATE_VM, "the VM"),
	IOCTL(KVM_CREATE_VCPU, "vCPUs"),
	/* loading a snapshot */
	CALL("userfaultfd", "memory that a handler has"),
	IOCTL(USERFAULTFD_IOC_NEW, "the same, by its device"),
	IOCTL(UFFDIO_API, "the same"),
	IOCTL(UFFDIO_REGISTER, "the same"),
	IOCTL(TUNSETIFF, "a tap"),
	IOCTL(TUNGETIFF, "a tap that was opened before"),
	IOCTL(TUNSETVNETHDRSZ, "a tap"),
	CALL("bind", "vsock's socket"),
	CALL("listen", "vsock's socket"),
	LIBC_START_RULES HOST_START_RULES,
};

#define TABLE(thread, rules) {thread, rules, sizeof(rules) / sizeof((rules)[0])}

const struct rules rules_tables[FILTERS] = {
	[FILTER_VCPU] = TABLE("vcpu", vcpu_rules),
	[FILTER_LOOP] = TABLE("loop", loop_rules),
	[FILTER_WORKER] = TABLE("worker", worker_rules),
	[FILTER_PAGES] = TABLE("pages", pages_rules),
	[FILTER_STATE] = TABLE("state", state_rules),
	[FILTER_START] = TABLE("start", start_rules),
};
