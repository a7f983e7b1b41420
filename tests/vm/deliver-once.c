/*
 * deliver-once [COUNT]: whether a KVM host delivers each interrupt once.
 *
 * A guest of a few instructions does nothing but take interrupts; its handler
 * looks where it came from. Who finds that it interrupted the first instruction
 * of itself was called twice for one interrupt: the handler of a kernel would
 * then go on with a user's GS base. Meanwhile another thread has the host's
 * kernel interrupt the processor that runs the guest, without end, which is
 * when emulators go wrong (tests/qemu-mend).
 *
 * Prints how many were injected, taken and doubled; status 0 where none was.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CODE = 0x1000, HANDLER = 0x2000, STACK = 0x3000, MEMORY = 0x10000 };
enum { VECTOR = 0x20, PORT_ONCE = 0x80, PORT_TWICE = 0x81 };

/* sti; 1: jmp 1b */
static const uint8_t code[] = {0xfb, 0xeb, 0xfe};

static const uint8_t handler[] = {
	0x55,			      /* push %bp */
	0x89, 0xe5,		      /* mov %sp,%bp */
	0x81, 0x7e, 2, 0x00, HANDLER >> 8, /* cmpw $HANDLER,2(%bp) */
	0x74, 4,		      /* je 1f */
	0xe6, PORT_ONCE,	      /* out %al,$PORT_ONCE */
	0x5d,			      /* pop %bp */
	0xcf,			      /* iret */
	0xe6, PORT_TWICE,	      /* 1: out %al,$PORT_TWICE */
	0x5d,			      /* pop %bp */
	0xcf,			      /* iret */
};

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

static void *disturb(void *stop)
{
	while (!*(volatile int *)stop)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	return NULL;
}

static int make_guest(int vm)
{
	uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = MEMORY,
		.userspace_addr = (uintptr_t)memory,
	};
	const uint16_t entry[2] = {HANDLER, 0};
	struct kvm_regs regs = {.rip = CODE, .rsp = STACK, .rflags = 2};
	struct kvm_sregs sregs;
	int cpu;

	need(memory != MAP_FAILED, "mmap");
	memcpy(memory + VECTOR * sizeof(entry), entry, sizeof(entry));
	memcpy(memory + CODE, code, sizeof(code));
	memcpy(memory + HANDLER, handler, sizeof(handler));
	need(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "memory");
	cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	need(cpu >= 0, "KVM_CREATE_VCPU");
	need(!ioctl(cpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	need(!ioctl(cpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	need(!ioctl(cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	return cpu;
}

int main(int argc, char **argv)
{
	const long wanted = argc > 1 ? atol(argv[1]) : 100000;
	long injected = 0, once = 0, twice = 0;
	struct kvm_interrupt interrupt = {.irq = VECTOR};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_run *run;
	pthread_t other;
	volatile int stop = 0;
	int vm, cpu, size;

	need(kvm >= 0, "/dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	need(vm >= 0, "KVM_CREATE_VM");
	cpu = make_guest(vm);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu,
		   0);
	need(run != MAP_FAILED, "mmap of the vCPU");
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0,
		0);
	need(!pthread_create(&other, NULL, disturb, (void *)&stop), "thread");
	run->request_interrupt_window = 1;
	while (once < wanted) {
		need(!ioctl(cpu, KVM_RUN, 0) || errno == EINTR, "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_IO) {
			once += run->io.port == PORT_ONCE;
			twice += run->io.port == PORT_TWICE;
		} else if (run->exit_reason != KVM_EXIT_IRQ_WINDOW_OPEN) {
			fprintf(stderr, "exit %u\n", run->exit_reason);
			return 2;
		}
		if (run->ready_for_interrupt_injection && injected == once &&
		    !ioctl(cpu, KVM_INTERRUPT, &interrupt))
			injected++;
	}
	stop = 1;
	pthread_join(other, NULL);
	printf("injected %ld, taken %ld, doubled %ld\n", injected, once, twice);
	return twice != 0;
}
