#pragma once

#include "vmm/arch/arch.h"

/*
 * Slots as x86.c places them, for ARCH_SLOTS_MAX at most: the UART, the i8042,
 * sleep, the boot timer, the generation, then as many of virtio. Their number.
 */
unsigned acpi_slots(struct arch_slot *slots, unsigned virtio);
