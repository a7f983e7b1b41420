#pragma once

/*
 * What the C library asks the kernel on its own account, or by another name:
 * the part of the tables of system calls (rules.c, whose words these are) that
 * differs with it. LINKED_WITH_MUSL is for the program that makes filters of a
 * monitor that is linked with musl; it has the older calls, where Linux has
 * kept them. Those that may be empty end with a comma.
 */
#ifdef LINKED_WITH_MUSL

#define LIBC_VCPU_RULES
#define LIBC_LOOP_RULES                                                 \
	CALL("tkill", "the signal that takes a vCPU out of the guest"), \
		CALL("fstat", "its kind and size"),                     \
		CALL("stat", "what KVM the host has"),                  \
		CALL("lstat", "whether a socket's file is still ours")
#define LIBC_WORKER_RULES \
	CALL("fstat", "a slow file of the serial port's: how much is in it")
#define LIBC_PAGES_RULES \
	CALL("futex", "the thread's end, for who waits for it"),
#define LIBC_STATE_RULES                                   \
	CALL("sysinfo", "whether memory was swapped out"), \
		CALL("newfstatat", "who holds a name"),    \
		CALL_IF("fcntl", 1, 0xffffffff, F_SETFD, "copies"),
#define LIBC_START_RULES IOCTL(TCGETS, "whether it is a terminal"),

#else

/* With the terminal goes a look at what became of it. */
#define LIBC_ENDS	IOCTL(TCGETS, "the end: the terminal as it was")
/*
 * clone3() hides its flags in memory, so it is not there (ENOSYS), and the C
 * library falls back to clone(), which shows them.
 */
#define LIBC_VCPU_RULES LIBC_ENDS,
#define LIBC_LOOP_RULES                                                    \
	CALL("sysinfo", "sorting, in the C library: metrics as text"),     \
		CALL("newfstatat",                                         \
		     "a drive: its kind and size; what KVM the host has"), \
		FAILS("clone3", ENOSYS, "threads, see above"),             \
		CALL("set_robust_list", "their start, in the C library"),  \
		CALL("rseq", "their start, in the C library"), LIBC_ENDS
#define LIBC_WORKER_RULES                                            \
	CALL("newfstatat",                                           \
	     "a slow file of the serial port's: how much is in it"), \
		LIBC_ENDS
#define LIBC_PAGES_RULES LIBC_ENDS,
#define LIBC_STATE_RULES
#define LIBC_START_RULES \
	CALL("rt_sigaction", "the first thread, in the C library"),

#endif
