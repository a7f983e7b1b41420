/*
 * PVH's boot page (Xen's public/arch-x86/hvm/start_info.h, version 1): a
 * header, then one module for the initrd, then the memory map.
 */
#include "vmm/arch/x86_64/pvh.h"

#include <errno.h>

#include "vmm/arch/x86_64/e820.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/cursor.h"

enum { MAGIC = 0x336ec578, VERSION = 1 };
enum { INFO_BYTES = 56, MODULE_BYTES = 32, MAP_ENTRY_BYTES = 24 };

int pvh_write(const struct guest_mem *mem, const struct load_plan *plan,
	      struct err *e)
{
	const uint64_t modules = LAYOUT_PVH_INFO + INFO_BYTES;
	const uint64_t map = modules + MODULE_BYTES;
	const size_t room =
		INFO_BYTES + MODULE_BYTES + E820_MAX * MAP_ENTRY_BYTES;
	struct e820_range ranges[E820_MAX];
	unsigned i, count = e820_list(mem, ranges);
	void *page = guest_mem_at(mem, LAYOUT_PVH_INFO, room);
	struct cursor c = cursor_over(page, room);

	if (!page)
		return err_set(e, -EFAULT, "no memory for the PVH boot page");
	cursor_put32(&c, MAGIC);
	cursor_put32(&c, VERSION);
	cursor_put32(&c, 0); /* flags */
	cursor_put32(&c, plan->initrd_gpa ? 1 : 0);
	cursor_put64(&c, plan->initrd_gpa ? modules : 0);
	cursor_put64(&c, plan->cmdline_gpa);
	cursor_put64(&c, plan->rsdp_gpa);
	cursor_put64(&c, map);
	cursor_put32(&c, count);
	cursor_put32(&c, 0);

	cursor_put64(&c, plan->initrd_gpa);
	cursor_put64(&c, plan->initrd_size);
	cursor_put64(&c, 0); /* the module's own command line */
	cursor_put64(&c, 0);

	for (i = 0; i < count; i++) {
		cursor_put64(&c, ranges[i].gpa);
		cursor_put64(&c, ranges[i].size);
		cursor_put32(&c, ranges[i].type);
		cursor_put32(&c, 0);
	}
	return 0;
}
