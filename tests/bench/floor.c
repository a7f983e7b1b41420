/*
 * The floor under every start: the bare KVM calls that run the guest
 * tests/guests/triple_fault.S in 128 MiB, with nothing around them. Its
 * argument is that guest's ELF file, read as if its layout were known.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY (128UL << 20)
#define FLAT(t) \
	{.limit = ~0U, .type = (t), .present = 1, .db = 1, .s = 1, .g = 1}

int main(int argc, char **argv)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP,
				       .args = {24}};
	struct kvm_userspace_memory_region slot = {.memory_size = MEMORY};
	struct kvm_regs regs = {.rip = 0x100000, .rflags = 2};
	const struct kvm_segment data = FLAT(3), code = FLAT(11);
	struct kvm_sregs s;
	struct kvm_run *run;
	int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int mem = memfd_create("floor", 0), vcpu, bytes;
	int elf = open(argc > 1 ? argv[1] : "", O_RDONLY);
	char *ram;

	ioctl(vm, KVM_ENABLE_CAP, &split);
	if (ftruncate(mem, MEMORY))
		return 2;
	ram = mmap(0, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	slot.userspace_addr = (unsigned long)ram;
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	if (pread(elf, ram + 0x100000, 4096, 0x1000) <= 0)
		return 2;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	ioctl(vcpu, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11;
	ioctl(vcpu, KVM_SET_SREGS, &s);
	ioctl(vcpu, KVM_SET_REGS, &regs);
	ioctl(vcpu, KVM_RUN, 0);
	return run->exit_reason != KVM_EXIT_SHUTDOWN;
}
