#pragma once

/*
 * What only one instruction set needs of the tables of system calls
 * (vmm/seccomp/rules.c, whose words these are): its calls of KVM, and the calls
 * that Linux has under another name there. RULES_FOR_AARCH64 is for the program
 * that makes filters of another machine than it runs on.
 */
#if defined(__aarch64__) || defined(RULES_FOR_AARCH64)

/* Linux has no poll, unlink and open here. */
#define HOST_VCPU_RULES                                  \
	IOCTL(KVM_SET_ONE_REG, "the boot vCPU's entry"), \
		IOCTL(KVM_GET_ONE_REG, "where the guest was when KVM gave up")
#define HOST_LOOP_RULES CALL("unlinkat", "socket files at the end")
#define HOST_WORKER_RULES \
	CALL("ppoll", "log lines to a terminal or pipe, without waiting")
#define HOST_PAGES_RULES \
	CALL("ppoll", "who waits for a page; log lines to a terminal or pipe")
#define HOST_STATE_RULES                                  \
	IOCTL(KVM_GET_REG_LIST, "a vCPU's state"),        \
		IOCTL(KVM_GET_ONE_REG, "a vCPU's state"), \
		IOCTL(KVM_SET_ONE_REG, "a vCPU's state"), \
		IOCTL(KVM_ARM_VCPU_INIT, "a timer's interrupt, going back")
#define HOST_START_RULES                                          \
	IOCTL(KVM_CREATE_DEVICE, "the interrupt controller"),     \
		IOCTL(KVM_ARM_PREFERRED_TARGET, "the CPU model"), \
		IOCTL(KVM_ARM_VCPU_INIT, "the CPU model"),        \
		IOCTL(KVM_ARM_VCPU_FINALIZE,                      \
		      "the CPU model, where it has SVE")

#else

#define HOST_VCPU_RULES                                                        \
	IOCTL(KVM_GET_SREGS, "the boot vCPU's entry"),                         \
		IOCTL(KVM_SET_SREGS, "the boot vCPU's entry"),                 \
		IOCTL(KVM_SET_REGS, "the boot vCPU's entry"),                  \
		IOCTL(KVM_GET_REGS, "where the guest was when KVM gave up"),   \
		IOCTL(KVM_SET_GSI_ROUTING, "the guest programs the I/O APIC"), \
		IOCTL(KVM_KVMCLOCK_CTRL, "going on after a pause"),            \
		CALL("poll",                                                   \
		     "log lines to a terminal or pipe, without waiting")
#define HOST_LOOP_RULES                                                \
	CALL("poll", "writing to a terminal or pipe without waiting"), \
		CALL("unlink", "socket files at the end")
/* After a stop of the process ppoll() begins again as itself, poll() does not.
 */
#define HOST_WORKER_RULES                                                 \
	CALL("poll", "log lines to a terminal or pipe, without waiting"), \
		CALL("restart_syscall",                                   \
		     "a poll that a stop of the process cut in two")
#define HOST_PAGES_RULES                                                       \
	CALL("poll", "who waits for a page; log lines to a terminal or pipe"), \
		CALL("restart_syscall",                                        \
		     "a poll that a stop of the process cut in two")
#define HOST_STATE_RULES                                                  \
	IOCTL(KVM_GET_REGS, "a vCPU's state"),                            \
		IOCTL(KVM_GET_SREGS2, "a vCPU's state"),                  \
		IOCTL(KVM_GET_XSAVE, "a vCPU's state"),                   \
		IOCTL(KVM_GET_XSAVE2,                                     \
		      "a vCPU's state, where features make it large"),    \
		IOCTL(KVM_GET_XCRS, "a vCPU's state"),                    \
		IOCTL(KVM_GET_DEBUGREGS, "a vCPU's state"),               \
		IOCTL(KVM_GET_LAPIC, "a vCPU's state"),                   \
		IOCTL(KVM_GET_MSR_INDEX_LIST, "a vCPU's state"),          \
		IOCTL(KVM_GET_MSRS, "a vCPU's state"),                    \
		IOCTL(KVM_GET_TSC_KHZ, "a vCPU's state; the CPU model"),  \
		IOCTL(KVM_GET_CLOCK, "the VM's clock"),                   \
		IOCTL(KVM_SET_REGS, "a vCPU's state"),                    \
		IOCTL(KVM_SET_SREGS2, "a vCPU's state"),                  \
		IOCTL(KVM_SET_XSAVE, "a vCPU's state"),                   \
		IOCTL(KVM_SET_XCRS, "a vCPU's state"),                    \
		IOCTL(KVM_SET_DEBUGREGS, "a vCPU's state"),               \
		IOCTL(KVM_SET_LAPIC, "a vCPU's state"),                   \
		IOCTL(KVM_SIGNAL_MSI, "a kick that a vCPU may have had"), \
		IOCTL(KVM_SET_MSRS, "a vCPU's state"),                    \
		IOCTL(KVM_SET_CLOCK, "the VM's clock"),                   \
		IOCTL(KVM_SET_GSI_ROUTING, "the I/O APIC, as it was")
#define HOST_START_RULES                                                  \
	IOCTL(KVM_GET_SUPPORTED_CPUID, "the CPU model"),                  \
		IOCTL(KVM_SET_TSS_ADDR, "the VM, on Intel's processors"), \
		IOCTL(KVM_ENABLE_CAP, "the split interrupt controller"),  \
		IOCTL(KVM_SET_CPUID2, "the CPU model"),                   \
		IOCTL(KVM_SET_TSC_KHZ, "a vCPU's TSC")

#endif
