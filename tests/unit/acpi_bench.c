/* A machine's slots, without the machine. */
#include "tests/unit/acpi_bench.h"

#include "vmm/arch/x86_64/layout.h"

unsigned acpi_slots(struct arch_slot *slots, unsigned virtio)
{
	unsigned n = 0, i;

	slots[n++] = (struct arch_slot){ARCH_UART,   true, true,
					LAYOUT_COM1, 8,	   LAYOUT_GSI_COM1};
	slots[n++] = (struct arch_slot){ARCH_I8042,   true, true,
					LAYOUT_I8042, 5,    LAYOUT_GSI_I8042};
	slots[n++] =
		(struct arch_slot){ARCH_SLEEP, true, false, LAYOUT_SLEEP, 2, 0};
	slots[n++] = (struct arch_slot){
		ARCH_BOOT_TIMER,  false, false, LAYOUT_BOOT_TIMER,
		LAYOUT_SLOT_SIZE, 0};
	slots[n++] =
		(struct arch_slot){ARCH_GENERATION,   false, true,
				   LAYOUT_GENERATION, 4112,  LAYOUT_GSI_EVENT};
	for (i = 0; i < virtio; i++)
		slots[n++] =
			(struct arch_slot){ARCH_VIRTIO_MMIO,
					   false,
					   true,
					   LAYOUT_VIRTIO + i * LAYOUT_SLOT_SIZE,
					   LAYOUT_SLOT_SIZE,
					   LAYOUT_GSI_FIRST + i};
	return n;
}
