/*
 * The memory map, told once: the zero page and PVH's start_info both take it
 * from here. Below 1 MiB the firmware tables are fenced off; the first page is
 * RAM, since no BIOS lives there.
 */
#include "vmm/arch/x86_64/e820.h"

#include "vmm/arch/x86_64/layout.h"

unsigned e820_list(const struct guest_mem *mem, struct e820_range out[E820_MAX])
{
	const struct guest_region *low = &mem->regions[0];
	unsigned i, n = 0;

	out[n++] = (struct e820_range){0, LAYOUT_EBDA, E820_RAM};
	out[n++] = (struct e820_range){
		LAYOUT_EBDA, LAYOUT_EBDA_END - LAYOUT_EBDA, E820_RESERVED};
	out[n++] = (struct e820_range){
		LAYOUT_BIOS, LAYOUT_BIOS_END - LAYOUT_BIOS, E820_RESERVED};
	if (low->size > LAYOUT_HIGH_RAM)
		out[n++] = (struct e820_range){
			LAYOUT_HIGH_RAM, low->size - LAYOUT_HIGH_RAM, E820_RAM};
	for (i = 1; i < mem->count; i++)
		out[n++] = (struct e820_range){mem->regions[i].gpa,
					       mem->regions[i].size, E820_RAM};
	return n;
}
