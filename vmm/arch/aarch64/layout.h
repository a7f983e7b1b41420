#pragma once

/*
 * The guest-physical map of an aarch64 machine. docs/guest-abi.md draws it.
 * All gpa; sizes in bytes. Linux maps what the device tree calls memory by
 * blocks of 2 MiB, so what is none of its memory has a block to itself.
 */
#define LAYOUT_GICD	 0x3fff0000ULL /* redistributors end where it begins */
#define LAYOUT_GICD_SIZE 0x10000ULL
#define LAYOUT_GICR_SIZE 0x20000ULL /* of one vCPU */

/* Devices. */
#define LAYOUT_BOOT_TIMER 0x40000000ULL /* where clients expect it */
#define LAYOUT_UART	  0x40001000ULL
#define LAYOUT_POWER_KEY  0x40002000ULL
#define LAYOUT_VIRTIO	  0x40010000ULL
#define LAYOUT_SLOT_SIZE  0x1000ULL

/* Memory: first what the tree does not call so, then Linux's. */
#define LAYOUT_RAM	  0x80000000ULL
#define LAYOUT_GENERATION 0x80000ff0ULL /* 16 bytes … */
#define LAYOUT_VMCLOCK	  0x80001000ULL /* … and the page behind them */
#define LAYOUT_TREE	  0x80200000ULL /* Linux's memory begins here */
#define LAYOUT_TREE_SIZE  0x10000ULL
#define LAYOUT_KERNEL	  0x80400000ULL

/* Interrupts. GSI n is shared peripheral interrupt n, INTID 32 + n. */
#define LAYOUT_GSI_UART	      0U
#define LAYOUT_GSI_GENERATION 1U
#define LAYOUT_GSI_POWER_KEY  2U
#define LAYOUT_GSI_FIRST      8U  /* virtio: this one and up */
#define LAYOUT_GSIS	      64U /* a multiple of 32 */
#define LAYOUT_INTID_SPI      32U
/* Private ones of each vCPU, as KVM and the Base System Architecture have them.
 */
#define LAYOUT_PPI_TIMER_SECURE	  13U
#define LAYOUT_PPI_TIMER_PHYSICAL 14U
#define LAYOUT_PPI_TIMER_VIRTUAL  11U
#define LAYOUT_PPI_TIMER_HYP	  10U
