/*
 * The state of the boot vCPU at the kernel's first instruction.
 *
 * PVH (Xen's docs/misc/pvh.pandoc, "x86/HVM direct boot ABI"): 32-bit
 * protected mode, flat segments, paging off, %ebx = start_info.
 *
 * 64-bit Linux (Documentation/arch/x86/boot.rst, "64-bit boot protocol"):
 * long mode, identity mapped, __BOOT_CS = 0x10 and __BOOT_DS = 0x18 in a GDT,
 * interrupts off, %rsi = zero page.
 */
#include "vmm/arch/x86_64/entry.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/le.h"

enum { BOOT_CS = 0x10, BOOT_DS = 0x18, BOOT_TSS = 0x20, GDT_ENTRIES = 5 };

#define CR0_PE	 (1ULL << 0)
#define CR0_ET	 (1ULL << 4)
#define CR0_PG	 (1ULL << 31)
#define CR4_PAE	 (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)
#define RFLAGS_1 (1ULL << 1) /* always set */

#define PTE_PRESENT_RW 0x3ULL
#define PTE_LARGE      0x80ULL

/*
 * Descriptors (SDM vol. 3, 3.4.5): type and S/DPL/P in bits 40 to 47, L, D and
 * G in bits 53 to 55, limit 0xfffff.
 */
#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_DATA   0x00cf93000000ffffULL
#define GDT_TSS	   0x00008b0000000067ULL

int entry_write_tables(const struct guest_mem *mem,
		       const struct boot_entry *entry, struct err *e)
{
	static const uint64_t gdt[GDT_ENTRIES] = {0, 0, GDT_CODE64, GDT_DATA,
						  GDT_TSS};
	le64_t *out, *pml4, *pdpt, *pd;
	unsigned i;

	if (entry->protocol != BOOT_LINUX64)
		return 0;
	out = guest_mem_at(mem, LAYOUT_GDT, sizeof(gdt));
	pml4 = guest_mem_at(mem, LAYOUT_PML4, 4096);
	pdpt = guest_mem_at(mem, LAYOUT_PDPT, 4096);
	pd = guest_mem_at(mem, LAYOUT_PD, 4096);
	if (!out || !pml4 || !pdpt || !pd)
		return err_set(e, -EFAULT,
			       "no memory for page tables below 64 KiB");
	for (i = 0; i < GDT_ENTRIES; i++)
		le64_put(&out[i], gdt[i]);
	/*
	 * One GiB in 2 MiB steps: the protocol wants the kernel, the zero page
	 * and the command line mapped, and a kernel maps the rest itself.
	 */
	le64_put(&pml4[0], LAYOUT_PDPT | PTE_PRESENT_RW);
	le64_put(&pdpt[0], LAYOUT_PD | PTE_PRESENT_RW);
	for (i = 0; i < 512; i++)
		le64_put(&pd[i],
			 (uint64_t)i << 21 | PTE_LARGE | PTE_PRESENT_RW);
	return 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
	};
}

static void set_flat_segments(struct kvm_sregs *s, bool is_64bit)
{
	struct kvm_segment data = segment(BOOT_DS, 3); /* read, write */

	data.db = 1;
	s->cs = segment(BOOT_CS, 11); /* execute, read */
	s->cs.l = is_64bit;
	s->cs.db = !is_64bit;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){.selector = BOOT_TSS,
				     .limit = 0x67,
				     .type = 11, /* busy TSS */
				     .present = 1};
}

int entry_set_registers(struct vcpu *vcpu, const struct boot_entry *entry,
			struct err *e)
{
	const bool is_64bit = entry->protocol == BOOT_LINUX64;
	struct kvm_regs regs = {.rip = entry->entry, .rflags = RFLAGS_1};
	struct kvm_sregs sregs;

	/* Keeps what reset put into the APIC base. */
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return err_errno(e, "KVM_GET_SREGS");
	set_flat_segments(&sregs, is_64bit);
	sregs.cr0 = CR0_PE | CR0_ET;
	if (is_64bit) {
		sregs.gdt.base = LAYOUT_GDT;
		sregs.gdt.limit = GDT_ENTRIES * sizeof(uint64_t) - 1;
		sregs.cr3 = LAYOUT_PML4;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
		sregs.cr0 |= CR0_PG;
		regs.rsi = entry->argument;
		regs.rsp = LAYOUT_BOOT_STACK;
	} else {
		regs.rbx = entry->argument;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs))
		return err_errno(e, "KVM_SET_SREGS");
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return err_errno(e, "KVM_SET_REGS");
	return 0;
}
