#pragma once

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/*
 * What even the lowest floors must know of the processor that they are
 * compiled for, which is also that of our guests. The one place that asks the
 * compiler; what takes more than a line stands behind vmm/arch/arch.h.
 */
#if defined(__x86_64__)
#define HOST_ELF_MACHINE EM_X86_64
#define HOST_STATE	 1U /* its number in state files (vmm/state/state.c) */
#define HOST_BOOT_TIMER	 0xc0000000U /* gpa, where clients expect it */
#define HOST_KERNEL	 "vmlinux" /* the file of guest/kernel/build to boot */
#elif defined(__aarch64__)
#define HOST_ELF_MACHINE EM_AARCH64
#define HOST_STATE	 2U
#define HOST_BOOT_TIMER	 0x40000000U
#define HOST_KERNEL	 "Image"
#else
#error "mayfly runs on x86_64 and aarch64"
#endif

/* Between two looks at memory that another thread, or the guest, writes. */
static inline void host_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("yield");
#endif
}

/*
 * What was copied there may be a guest's code, where it has run other code: on
 * processors whose caches of instructions don't follow writes they are told. In
 * pages that a guest has yet to touch KVM sees to it.
 */
static inline void host_sync_code(void *at, size_t len)
{
#if defined(__x86_64__)
	(void)at, (void)len;
#else
	__builtin___clear_cache((char *)at, (char *)at + len);
#endif
}

/* The second argument of the system call that a SIGSYS is about. */
static inline uint64_t host_second_argument(const ucontext_t *u)
{
#if defined(__x86_64__)
	return (uint64_t)u->uc_mcontext.gregs[REG_RSI];
#else
	return u->uc_mcontext.regs[1];
#endif
}

/* How fast the counter is that guests read, in Hz; 0 where it is no register.
 */
static inline uint64_t host_counter_hz(void)
{
#if defined(__aarch64__)
	uint64_t hz;

	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
#else
	return 0;
#endif
}
