/*
 * The zero page of the 64-bit boot protocol (Documentation/arch/x86/boot.rst,
 * zero-page.rst). Built on the stack, then copied whole: the structure is
 * packed and the page is the guest's.
 */
#include "vmm/arch/x86_64/bootparams.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/x86_64/e820.h"
#include "vmm/arch/x86_64/layout.h"

enum { BOOT_FLAG = 0xaa55, HDRS = 0x53726448, LOADER_UNKNOWN = 0xff };
enum { KERNEL_ALIGNMENT = 1 << 24 };

int bootparams_write(const struct guest_mem *mem,
		     const struct kernel_image *kernel,
		     const struct load_plan *plan, struct err *e)
{
	struct e820_range ranges[E820_MAX];
	unsigned i, count = e820_list(mem, ranges);
	struct boot_params p;

	memset(&p, 0, sizeof(p));
	if (kernel->header_len)
		memcpy(&p.hdr, kernel->header,
		       kernel->header_len < sizeof(p.hdr) ? kernel->header_len
							  : sizeof(p.hdr));
	p.hdr.boot_flag = BOOT_FLAG;
	p.hdr.header = HDRS;
	p.hdr.type_of_loader = LOADER_UNKNOWN;
	if (!kernel->header_len)
		p.hdr.kernel_alignment = KERNEL_ALIGNMENT;
	p.hdr.cmd_line_ptr = (uint32_t)plan->cmdline_gpa;
	p.hdr.cmdline_size = plan->cmdline_size;
	p.hdr.ramdisk_image = (uint32_t)plan->initrd_gpa;
	p.hdr.ramdisk_size = (uint32_t)plan->initrd_size;
	p.acpi_rsdp_addr = plan->rsdp_gpa;
	for (i = 0; i < count; i++) {
		p.e820_table[i].addr = ranges[i].gpa;
		p.e820_table[i].size = ranges[i].size;
		p.e820_table[i].type = ranges[i].type;
	}
	p.e820_entries = (uint8_t)count;
	if (guest_mem_write(mem, LAYOUT_ZERO_PAGE, &p, sizeof(p)))
		return err_set(e, -EFAULT, "no memory for the zero page");
	return 0;
}
