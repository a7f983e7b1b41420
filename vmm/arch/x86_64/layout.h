#pragma once

/*
 * The guest-physical map of an x86_64 machine. docs/guest-abi.md draws it.
 * All gpa; sizes in bytes.
 */
#define LAYOUT_GDT	    0x500ULL
#define LAYOUT_PVH_INFO	    0x6000ULL /* struct hvm_start_info, modules, map */
#define LAYOUT_ZERO_PAGE    0x7000ULL /* struct boot_params */
#define LAYOUT_BOOT_STACK   0x8ff0ULL
#define LAYOUT_PML4	    0x9000ULL
#define LAYOUT_PDPT	    0xa000ULL
#define LAYOUT_PD	    0xb000ULL /* 1 GiB in 2 MiB steps */
#define LAYOUT_CMDLINE	    0x20000ULL
#define LAYOUT_CMDLINE_SIZE 2048ULL    /* with its NUL, as the x86 kernel's */
#define LAYOUT_EBDA	    0x9fc00ULL /* the MP table, found there by scan */
#define LAYOUT_EBDA_END	    0xa0000ULL
#define LAYOUT_BIOS	    0xe0000ULL /* ACPI: RSDP first, found by scan */
#define LAYOUT_GENERATION   0xeeff0ULL /* 16 bytes; ACPI tables end here */
#define LAYOUT_VMCLOCK	    0xef000ULL /* a page of its own, behind them */
#define LAYOUT_KERNEL_MIN   0xf0000ULL /* no table of ours behind it */
#define LAYOUT_BIOS_END	    0x100000ULL
#define LAYOUT_HIGH_RAM	    0x100000ULL

/* Memory above 3 GiB continues at 4 GiB; devices live in between. */
#define LAYOUT_HOLE	  0xc0000000ULL
#define LAYOUT_HOLE_END	  0x100000000ULL
#define LAYOUT_BOOT_TIMER 0xc0000000ULL /* where clients expect it */
#define LAYOUT_VIRTIO	  0xc0001000ULL
#define LAYOUT_SLOT_SIZE  0x1000ULL
#define LAYOUT_IOAPIC	  0xfec00000ULL
#define LAYOUT_LAPIC	  0xfee00000ULL
#define LAYOUT_TSS	  0xfffbd000ULL /* three pages KVM needs on old Intel */

/* Ports. */
#define LAYOUT_COM1  0x3f8U
#define LAYOUT_I8042 0x60U  /* to 0x64 */
#define LAYOUT_SLEEP 0x600U /* ACPI sleep control, then sleep status */

/* Interrupt pins of the IOAPIC; pin n is GSI n. */
#define LAYOUT_PINS	 24U
#define LAYOUT_GSI_I8042 1U
#define LAYOUT_GSI_EVENT 3U /* ACPI's generic event device */
#define LAYOUT_GSI_COM1	 4U
#define LAYOUT_GSI_FIRST 5U /* virtio: this one and up */
