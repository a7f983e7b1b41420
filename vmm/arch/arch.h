#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/boot/cmdline.h"
#include "vmm/kvm/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/state/visit.h"

/*
 * All that the rest of mayfly knows about an instruction set. Each folder
 * beside this file (x86_64, aarch64) implements the whole of it, and no
 * file outside this folder asks which it is compiled for (tests/lint/arch;
 * vmm/arch/host/host.h has what lower floors need).
 *
 * The life of a machine, in the order of these functions:
 *
 *	arch_new           what needs no VM yet
 *	arch_prepare_cpus  the CPU model, beside the next three
 *	arch_ranges        where memory goes
 *	arch_attach        interrupt controller, before any vCPU
 *	arch_place         an address and an interrupt for each device
 *	arch_load          kernel, initrd, command line and tables into memory
 *	arch_vcpu_init     a vCPU as reset leaves it, in its own thread
 *	arch_vcpus_ready   what can't be before all vCPUs are set up
 *	arch_vcpu_enter    entry state of the boot vCPU
 */

/* What a platform device is, so that tables can describe it. */
enum arch_kind {
	ARCH_VIRTIO_MMIO, /* any number; placed one after the other */
	ARCH_UART,	  /* 16550A */
	ARCH_I8042,	  /* x86: reset line and Ctrl-Alt-Del */
	ARCH_SLEEP,	  /* x86: ACPI sleep control register */
	ARCH_POWER_KEY,	  /* Arm: a PL061 with a key at a line of its own */
	ARCH_BOOT_TIMER,  /* one page; the guest writes 123 when it is up */
	/*
	 * Memory, not registers, and in no range that is told to be free: 16
	 * bytes of an id, then the page of a clock. The interrupt says that
	 * both have changed.
	 */
	ARCH_GENERATION,
};

/* Where a platform device stands. */
struct arch_slot {
	enum arch_kind kind;
	bool is_pio; /* x86 port I/O instead of memory */
	bool has_irq;
	uint64_t base; /* bus address */
	uint64_t size; /* bytes */
	uint32_t gsi;
};

enum { ARCH_SLOTS_MAX = 40, ARCH_VCPUS_MAX = 32 };

/* Which of the eight, as on other machines of this kind. */
enum { ARCH_POWER_KEY_LINE = 3 };

/* Of a kernel's command line with its NUL; Linux has the same on all of ours.
 */
enum { ARCH_CMDLINE_SIZE = 2048 };

/* Whose features a guest's processor shows at most. */
enum arch_template { ARCH_TEMPLATE_NONE, ARCH_TEMPLATE_T2 };

struct arch_topology {
	uint32_t vcpus;
	bool smt; /* two threads a core */
	enum arch_template template;
	/* To load: the guest's clock has gone on since the save. */
	bool clock_realtime;
};

/* Opaque: what an architecture keeps for a VM (interrupt controller, CPUID). */
struct arch;

/* The machine type of KVM_CREATE_VM for so much memory; e says why none fits.
 */
int arch_vm_type(const struct kvm *kvm, uint64_t mem_bytes, unsigned long *type,
		 struct err *e);

/*
 * Whether a guest that is started with this command line is to have a device of
 * a kind that each machine has at most one of.
 */
bool arch_has(enum arch_kind kind, const struct cmdline *line);

/* Splits mem_bytes into ranges around the device hole. Returns the count. */
unsigned arch_ranges(uint64_t mem_bytes,
		     struct guest_range out[GUEST_MEM_REGIONS_MAX]);

/*
 * Makes what needs no VM yet. kvm is borrowed for the life of *out.
 * arch_free() takes NULL.
 */
int arch_new(struct arch **out, const struct kvm *kvm,
	     const struct arch_topology *topology, struct err *e);
void arch_free(struct arch *a);

/*
 * Makes the CPU model. It needs no VM and no memory, so that it can run beside
 * the rest of the start. Thread: any one, once.
 */
int arch_prepare_cpus(struct arch *a, struct err *e);

/*
 * Makes the interrupt controller of vm and hangs it on the buses; all three
 * are borrowed for the life of a. Comes before the first vCPU.
 */
int arch_attach(struct arch *a, struct vm *vm, struct bus *mmio,
		struct bus *pio, struct err *e);

/*
 * Gives the next free place of a kind. -ENODEV where this architecture has no
 * such device, -ENOSPC where all places are taken.
 */
int arch_place(struct arch *a, enum arch_kind kind, struct arch_slot *out,
	       struct err *e);

/*
 * Whether guests may read registers of devices out of memory of ours, which
 * they map as they map registers: with caches, or without any.
 */
extern const bool arch_shows_registers;

/* Where the registers of count virtio devices will be, one behind the other. */
struct guest_range arch_virtio_range(unsigned count);

/*
 * Loads the kernel and initrd and writes the command line and the tables
 * (ACPI, MP table or device tree) into memory; fills *entry for the boot vCPU.
 */
int arch_load(struct arch *a, const struct guest_mem *mem,
	      const struct boot_source *source, struct boot_entry *entry,
	      struct err *e);

/*
 * Sets up a vCPU as reset leaves it plus its CPU model. Thread: the vCPU's
 * own, after arch_prepare_cpus() has returned in some thread.
 */
int arch_vcpu_init(struct arch *a, struct vcpu *vcpu, struct err *e);

/*
 * Whether the interrupt controller is there only when all vCPUs are: devices,
 * which connect their interrupts, then start after them and not beside them,
 * and arch_vcpus_ready() comes in between.
 */
extern const bool arch_waits_for_vcpus;

/*
 * All vCPUs were set up, and loaded where they are to be. Does what was left
 * of the interrupt controller, and of the tables of arch_load() where that ran.
 * Thread: the loop's; vCPUs wait.
 */
int arch_vcpus_ready(struct arch *a, const struct guest_mem *mem,
		     struct err *e);

/*
 * The vCPU goes on after it was held for a while: its guest's watchdogs must
 * not take that for a hang. Thread: its own.
 */
void arch_vcpu_note_pause(struct vcpu *vcpu);

/* Sets the boot vCPU's registers to the kernel's entry. Thread: its own. */
int arch_vcpu_enter(struct arch *a, struct vcpu *vcpu,
		    const struct boot_entry *entry, struct err *e);

/*
 * Saved state. Layouts have versions: ARCH_STATE_* is what is saved, and all
 * before it are read. A walk that loads judges what would harm the host or us;
 * what harms only its guest is the guest's. Thread: any, while no vCPU runs,
 * unless said otherwise.
 */
enum { ARCH_STATE_MODEL = 1, ARCH_STATE_PLATFORM = 1, ARCH_STATE_VCPU = 1 };

/*
 * The CPU model. To load, it comes before arch_prepare_cpus(), which then holds
 * it against this host and fails with a sentence that names what is missing.
 */
void arch_visit_model(struct arch *a, struct visitor *v);

/*
 * What stands first in there, for a guest that goes back to it and has that
 * model: by how much clocks have moved since the save.
 */
void arch_visit_clock(struct arch *a, struct visitor *v);

/*
 * Interrupt controller and clocks. To load, it comes after the devices', and
 * where arch_waits_for_vcpus after the vCPUs' too.
 */
void arch_visit_platform(struct arch *a, struct visitor *v);

/* Whether the guest's clock has gone on since the save (arch_topology). */
void arch_follow_clock(struct arch *a, bool clock_realtime);

/* One vCPU: to save between two of its runs, to load after its init. */
void arch_visit_vcpu(struct arch *a, struct vcpu *vcpu, struct visitor *v);

/* Names for the platform in messages: "x86_64". */
extern const char arch_name[];

/* What a guest's kernel is told where the configuration says nothing. */
extern const char arch_boot_args[];
