/*
 * The floor under mayfly's starts and restores: the bare KVM calls that run the
 * guest of the benches (guest/bench/guest.S), with nothing around them.
 *
 *	bench-floor start GUEST [LETTER]
 *	bench-floor restore MEMORY MIB [wait]
 *
 * start reads the guest's ELF file as if its layout were known, and gives it
 * 128 MiB and the letter as its command line. restore makes the machine again
 *in which the guest waits, from its memory file; the guest's first act ends it.
 * With `wait` all is made ahead, and the guest runs when a byte comes on stdin.
 * What it says on its serial port is written to stdout; a guest that sleeps
 *stays until it is killed.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB	 (1UL << 20)
#define MEMORY	 (128 * MIB)
#define CODE	 0x100000    /* where the guest is linked */
#define IN_FILE	 0x1000	     /* and where it lies in its file */
#define WAIT	 0x100100    /* its `wait` */
#define INFO	 0x2000	     /* struct hvm_start_info, as far as it is read */
#define HOLE	 (3UL << 30) /* memory beyond it continues at 4 GiB */
#define HOLE_END (4UL << 30)
#define COM1	 0x3f8
#define FAILED	 2
#define FLAT(t) \
	{.limit = ~0U, .type = (t), .present = 1, .db = 1, .s = 1, .g = 1}

enum { ENTRIES = 256 };

static void add_memory(int vm, char *ram, unsigned long bytes)
{
	const unsigned long low = bytes < HOLE ? bytes : HOLE;
	struct kvm_userspace_memory_region slot = {
		.memory_size = low,
		.userspace_addr = (unsigned long)ram,
	};

	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	if (bytes == low)
		return;
	slot.slot = 1;
	slot.guest_phys_addr = HOLE_END;
	slot.memory_size = bytes - low;
	slot.userspace_addr += low;
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

/* What no monitor can leave out, though this guest never asks. */
static void set_cpuid(int kvm, int vcpu)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 room[ENTRIES];
	} cpuid = {.head.nent = ENTRIES};

	ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	ioctl(vcpu, KVM_SET_CPUID2, &cpuid);
}

static void set_registers(int vcpu, unsigned long rip, unsigned long rbx)
{
	const struct kvm_segment data = FLAT(3), code = FLAT(11);
	struct kvm_regs regs = {.rip = rip, .rbx = rbx, .rflags = 2};
	struct kvm_sregs s;

	ioctl(vcpu, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11;
	ioctl(vcpu, KVM_SET_SREGS, &s);
	ioctl(vcpu, KVM_SET_REGS, &regs);
}

/* Until it ends: by a triple fault, or by its word to the keyboard's port. */
static int run_guest(int vcpu, struct kvm_run *run)
{
	while (!ioctl(vcpu, KVM_RUN, 0)) {
		if (run->exit_reason == KVM_EXIT_SHUTDOWN)
			return 0;
		if (run->exit_reason != KVM_EXIT_IO)
			return FAILED;
		if (run->io.port != COM1)
			return run->io.port == 0x64 ? 0 : FAILED;
		if (write(1, (char *)run + run->io.data_offset, 1) != 1)
			return FAILED;
	}
	return FAILED;
}

static int make_vcpu(int kvm, int vm, struct kvm_run **run)
{
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	int bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	*run = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	return *run == MAP_FAILED ? -1 : vcpu;
}

static int start(int kvm, int vm, const char *guest, const char *letter)
{
	int mem = memfd_create("floor", 0), elf = open(guest, O_RDONLY), vcpu;
	struct kvm_run *run;
	char *ram;

	if (elf < 0 || ftruncate(mem, MEMORY))
		return FAILED;
	ram = mmap(0, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	add_memory(vm, ram, MEMORY);
	if (pread(elf, ram + CODE, 4096, IN_FILE) <= 0)
		return FAILED;
	if (letter) { /* cmdline_paddr */
		*(unsigned long *)(void *)(ram + INFO + 24) = INFO + 64;
		ram[INFO + 64] = *letter;
	}
	vcpu = make_vcpu(kvm, vm, &run);
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, CODE, letter ? INFO : 0);
	return vcpu < 0 ? FAILED : run_guest(vcpu, run);
}

static int restore(int kvm, int vm, char **words, int waits)
{
	const unsigned long size = strtoul(words[1], 0, 10) * MIB;
	int mem = open(words[0], O_RDONLY | O_CLOEXEC), vcpu;
	struct kvm_run *run;
	char *ram, byte;

	ram = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
		   mem, 0);
	if (ram == MAP_FAILED)
		return FAILED;
	add_memory(vm, ram, size);
	vcpu = make_vcpu(kvm, vm, &run);
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, WAIT, 0);
	if (waits && (write(1, "r", 1) != 1 || read(0, &byte, 1) != 1))
		return FAILED;
	return vcpu < 0 ? FAILED : run_guest(vcpu, run);
}

int main(int argc, char **argv)
{
	struct kvm_enable_cap split = {
		.cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = {24},
	};
	int kvm, vm;

	if (argc < 3)
		return FAILED;
	kvm = open("/dev/kvm", O_RDWR);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return FAILED;
	ioctl(vm, KVM_ENABLE_CAP, &split);
	if (!strcmp(argv[1], "start"))
		return start(kvm, vm, argv[2], argc > 3 ? argv[3] : NULL);
	if (argc < 4)
		return FAILED;
	return restore(kvm, vm, argv + 2, argc > 4);
}
