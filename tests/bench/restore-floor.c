/*
 * The floor under every restore: the bare KVM calls that make the VM again in
 * which tests/guests/waiter.S or cloner.S waits, from its memory file and with
 * nothing around them. Arguments: the memory file, its MiB, the address of
 * `wait` in hexadecimal. The memory file has to tell the guest that it may go
 * on; its first act is a write to a port.
 *
 * With a word more all is made ahead, and the guest runs when a byte comes on
 * stdin; a byte on stdout then says that it has acted, and it stays until
 * stdin ends.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOLE	 (3UL << 30) /* memory beyond it continues at 4 GiB */
#define HOLE_END (4UL << 30)
#define ENTRIES	 256
#define FLAT(t) \
	{.limit = ~0U, .type = (t), .present = 1, .db = 1, .s = 1, .g = 1}

static void add_memory(int vm, char *ram, unsigned long bytes)
{
	const unsigned long low = bytes < HOLE ? bytes : HOLE;
	struct kvm_userspace_memory_region slot = {
		.memory_size = low, .userspace_addr = (unsigned long)ram};

	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	if (bytes == low)
		return;
	slot.slot = 1;
	slot.guest_phys_addr = HOLE_END;
	slot.memory_size = bytes - low;
	slot.userspace_addr += low;
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static void set_cpuid(int kvm, int vcpu)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 room[ENTRIES];
	} cpuid = {.head.nent = ENTRIES};

	ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	ioctl(vcpu, KVM_SET_CPUID2, &cpuid);
}

static void set_registers(int vcpu, unsigned long rip)
{
	const struct kvm_segment data = FLAT(3), code = FLAT(11);
	struct kvm_regs regs = {.rip = rip, .rflags = 2};
	struct kvm_sregs s;

	ioctl(vcpu, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11;
	ioctl(vcpu, KVM_SET_SREGS, &s);
	ioctl(vcpu, KVM_SET_REGS, &regs);
}

int main(int argc, char **argv)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP,
				       .args = {24}};
	int mem = argc == 4 || argc == 5 ? open(argv[1], O_RDONLY | O_CLOEXEC)
					 : -1;
	int kvm = open("/dev/kvm", O_RDWR), vm, vcpu, bytes;
	unsigned long size;
	struct kvm_run *run;
	char *ram, byte;

	if (mem < 0 || kvm < 0)
		return 2;
	size = strtoul(argv[2], 0, 10) << 20;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	ioctl(vm, KVM_ENABLE_CAP, &split);
	ram = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
		   mem, 0);
	if (ram == MAP_FAILED)
		return 2;
	add_memory(vm, ram, size);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, strtoul(argv[3], 0, 16));
	if (argc == 5 && (write(1, "r", 1) != 1 || read(0, &byte, 1) != 1))
		return 2;
	ioctl(vcpu, KVM_RUN, 0);
	if (argc == 5 && (write(1, "!", 1) != 1 || read(0, &byte, 1)))
		return 2;
	if (argc == 5)
		return run->exit_reason != KVM_EXIT_IO;
	return run->exit_reason != KVM_EXIT_IO || run->io.port != 0x64;
}
