/*
 * ACPI tables (ACPI 6.5, chapter 5). The platform is "hardware-reduced": no
 * SCI, no PM timer, no legacy PIC; what is left is processors, one I/O APIC,
 * a sleep register, a reset register and the devices of the DSDT. Kernels find
 * the RSDP by its address in the boot page or by scanning the BIOS area.
 *
 * The RSDP stands first; the other tables follow, 16-byte aligned, before the
 * ones that point to them.
 */
#include "vmm/arch/x86_64/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/cursor.h"

enum { RSDP_BYTES = 36, LENGTH_AT = 4, CHECKSUM_AT = 9 };
enum { S5_TYPE = 5 }; /* devices/power.c turns off at this sleep type */

/* FADT, 5.2.9. */
enum { FADT_REVISION = 6, FADT_MINOR = 5 };
enum { FADT_BOOT_8042 = 1 << 1, FADT_NO_VGA = 1 << 2, FADT_NO_RTC = 1 << 5 };
enum {
	FADT_WBINVD = 1 << 0,
	FADT_NO_POWER_BUTTON = 1 << 4,
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_RESET_REGISTER = 1 << 10,
	FADT_HW_REDUCED = 1 << 20,
};

/* What devices of a generation are told by: "it has changed", 5.6.6. */
enum { NOTIFY_CHANGED = 0x80 };

enum { I8042_COMMAND_AT = 4, I8042_PULSE_RESET = 0xfe };

static uint8_t sum_to_zero(const uint8_t *bytes, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *bytes++;
	return -sum;
}

/* Begins a table and gives where. Length and checksum come with its end. */
static size_t begin_table(struct cursor *c, const char *signature,
			  uint8_t revision)
{
	size_t start;

	cursor_align(c, 16);
	start = c->at;
	cursor_put_text(c, signature);
	cursor_put32(c, 0);
	cursor_put8(c, revision);
	cursor_put8(c, 0);
	cursor_put_text(c, "MAYFLY");
	cursor_put_text(c, "MICROVM ");
	cursor_put32(c, 1);
	cursor_put_text(c, "MFLY");
	cursor_put32(c, 1);
	return start;
}

static uint64_t end_table(struct cursor *c, size_t start)
{
	struct cursor length;

	if (c->failed)
		return 0;
	length = cursor_over(c->base + start + LENGTH_AT, 4);
	cursor_put32(&length, (uint32_t)(c->at - start));
	c->base[start + CHECKSUM_AT] =
		sum_to_zero(c->base + start, c->at - start);
	return LAYOUT_BIOS + start;
}

static void put_virtio(struct cursor *c, const struct arch_slot *slot,
		       uint32_t number)
{
	char name[16];
	size_t device, crs;

	snprintf(name, sizeof(name), "V%03X", number);
	device = aml_begin_device(c, name);
	aml_name_text(c, "_HID", "LNRO0005");
	aml_name_int(c, "_UID", number);
	aml_name_int(c, "_CCA", 1); /* DMA is coherent */
	crs = aml_begin_crs(c);
	aml_memory(c, (uint32_t)slot->base, (uint32_t)slot->size);
	aml_interrupt(c, slot->gsi);
	aml_end_crs(c, crs);
	aml_end(c, device);
}

static void put_uart(struct cursor *c, const struct arch_slot *slot)
{
	size_t device, crs;

	device = aml_begin_device(c, "COM1");
	aml_name_text(c, "_HID", "PNP0501");
	aml_name_int(c, "_UID", 0);
	crs = aml_begin_crs(c);
	aml_ports(c, (uint16_t)slot->base, (uint8_t)slot->size);
	aml_interrupt(c, slot->gsi);
	aml_end_crs(c, crs);
	aml_end(c, device);
}

/*
 * The keyboard controller: data port, then command port, as Linux's driver
 * expects them. Without this device the driver still probes the ports, but a
 * hardware-reduced platform gives no one IRQ 1 unasked, and Ctrl-Alt-Del would
 * reach nobody.
 */
static void put_i8042(struct cursor *c, const struct arch_slot *slot)
{
	const uint16_t data = (uint16_t)slot->base;
	size_t device, crs;

	device = aml_begin_device(c, "KBD_");
	aml_name_text(c, "_HID", "PNP0303");
	crs = aml_begin_crs(c);
	aml_ports(c, data, 1);
	aml_ports(c, data + I8042_COMMAND_AT, 1);
	aml_interrupt(c, slot->gsi);
	aml_end_crs(c, crs);
	aml_end(c, device);
}

/*
 * The 16 bytes of an id, as Microsoft's paper on the matter has it: guests go
 * by the _CID, and _HID is whoever's the machine is.
 */
static void put_id(struct cursor *c, uint64_t gpa)
{
	const uint32_t halves[] = {(uint32_t)gpa, (uint32_t)(gpa >> 32)};
	size_t device;

	device = aml_begin_device(c, "VGEN");
	aml_name_text(c, "_HID", "MFLY0001");
	aml_name_text(c, "_CID", "VM_Gen_Counter");
	aml_name_text(c, "_DDN", "VM_Gen_Counter");
	aml_name_package(c, "ADDR", halves, 2);
	aml_end(c, device);
}

/* Linux's linux/vmclock-abi.h, which programs may map, so a page alone. */
static void put_clock(struct cursor *c, uint64_t gpa, uint64_t size)
{
	size_t device, crs;

	device = aml_begin_device(c, "VCLK");
	aml_name_text(c, "_HID", "AMZNC10C");
	aml_name_text(c, "_CID", "VMCLOCK");
	aml_name_int(c, "_UID", 0);
	crs = aml_begin_crs(c);
	aml_memory(c, (uint32_t)gpa, (uint32_t)size);
	aml_end_crs(c, crs);
	aml_end(c, device);
}

/*
 * A hardware-reduced platform has no GPEs: an interrupt of a generic event
 * device (5.6.9) calls its _EVT. Both change at once, so that one does for
 * both.
 */
static void put_generation(struct cursor *c, const struct arch_slot *slot)
{
	const uint64_t clock = LAYOUT_VMCLOCK;
	size_t device, crs, method;

	put_id(c, slot->base);
	put_clock(c, clock, slot->base + slot->size - clock);
	device = aml_begin_device(c, "GED_");
	aml_name_text(c, "_HID", "ACPI0013");
	aml_name_int(c, "_UID", 0);
	crs = aml_begin_crs(c);
	aml_interrupt(c, slot->gsi);
	aml_end_crs(c, crs);
	method = aml_begin_method(c, "_EVT", 1);
	aml_notify(c, "VGEN", NOTIFY_CHANGED);
	aml_notify(c, "VCLK", NOTIFY_CHANGED);
	aml_end(c, method);
	aml_end(c, device);
}

static uint64_t put_dsdt(struct cursor *c, const struct arch_slot *slots,
			 unsigned count)
{
	static const uint32_t s5[4] = {S5_TYPE};
	size_t table = begin_table(c, "DSDT", 2), scope;
	uint32_t i, virtio = 0;

	aml_name_package(c, "_S5_", s5, 4);
	scope = aml_begin_scope(c, "\\_SB_");
	for (i = 0; i < count; i++) {
		if (slots[i].kind == ARCH_VIRTIO_MMIO)
			put_virtio(c, &slots[i], virtio++);
		else if (slots[i].kind == ARCH_UART)
			put_uart(c, &slots[i]);
		else if (slots[i].kind == ARCH_I8042)
			put_i8042(c, &slots[i]);
		else if (slots[i].kind == ARCH_GENERATION)
			put_generation(c, &slots[i]);
	}
	aml_end(c, scope);
	return end_table(c, table);
}

static uint64_t put_madt(struct cursor *c, uint32_t vcpus)
{
	size_t table = begin_table(c, "APIC", 6);
	uint32_t i;

	cursor_put32(c, LAYOUT_LAPIC);
	cursor_put32(c, 0); /* no 8259 pair beside */
	for (i = 0; i < vcpus; i++) {
		cursor_put8(c, 0); /* local APIC, 5.2.12.2 */
		cursor_put8(c, 8);
		cursor_put8(c, (uint8_t)i);
		cursor_put8(c, (uint8_t)i);
		cursor_put32(c, 1); /* enabled */
	}
	cursor_put8(c, 1); /* I/O APIC, 5.2.12.3 */
	cursor_put8(c, 12);
	cursor_put8(c, (uint8_t)vcpus);
	cursor_put8(c, 0);
	cursor_put32(c, LAYOUT_IOAPIC);
	cursor_put32(c, 0); /* its pin 0 is GSI 0 */
	cursor_put8(c, 4);  /* local NMI, 5.2.12.7: LINT1 of all */
	cursor_put8(c, 6);
	cursor_put8(c, 0xff);
	cursor_put16(c, 0);
	cursor_put8(c, 1);
	return end_table(c, table);
}

/* A generic address (5.2.3.2) in port space; base 0 for none. */
static void put_port(struct cursor *c, uint16_t port)
{
	cursor_put8(c, port ? 1 : 0);
	cursor_put8(c, port ? 8 : 0); /* bits */
	cursor_put8(c, 0);
	cursor_put8(c, port ? 1 : 0); /* byte access */
	cursor_put64(c, port);
}

static void put_zeroes(struct cursor *c, size_t upto)
{
	while (c->at < upto && !c->failed)
		cursor_put8(c, 0);
}

static bool has_kind(const struct arch_slot *slots, unsigned count,
		     enum arch_kind kind)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (slots[i].kind == kind)
			return true;
	return false;
}

/* What is in no slot is in no register: a guest believes all of this. */
static uint64_t put_fadt(struct cursor *c, uint64_t dsdt,
			 const struct arch_slot *slots, unsigned count)
{
	const bool has_i8042 = has_kind(slots, count, ARCH_I8042);
	const bool has_sleep = has_kind(slots, count, ARCH_SLEEP);
	size_t table = begin_table(c, "FACP", FADT_REVISION);

	put_zeroes(c, table + 40);
	cursor_put32(c, (uint32_t)dsdt);
	/* Hardware-reduced: all PM register blocks stay zero. */
	put_zeroes(c, table + 109);
	cursor_put16(c, (has_i8042 ? FADT_BOOT_8042 : 0) | FADT_NO_VGA |
				FADT_NO_RTC);
	cursor_put8(c, 0);
	cursor_put32(c, FADT_WBINVD | FADT_NO_POWER_BUTTON |
				FADT_NO_SLEEP_BUTTON |
				(has_i8042 ? FADT_RESET_REGISTER : 0) |
				FADT_HW_REDUCED);
	put_port(c, has_i8042 ? LAYOUT_I8042 + I8042_COMMAND_AT : 0);
	cursor_put8(c, has_i8042 ? I8042_PULSE_RESET : 0);
	cursor_put16(c, 0); /* the Arm boot flags */
	cursor_put8(c, FADT_MINOR);
	cursor_put64(c, 0); /* no FACS */
	cursor_put64(c, dsdt);
	put_zeroes(c, table + 244);
	put_port(c, has_sleep ? LAYOUT_SLEEP : 0);
	put_port(c, has_sleep ? LAYOUT_SLEEP + 1 : 0);
	cursor_put_text(c, "MAYFLY");
	cursor_put16(c, 0);
	return end_table(c, table);
}

static uint64_t put_xsdt(struct cursor *c, uint64_t fadt, uint64_t madt)
{
	size_t table = begin_table(c, "XSDT", 1);

	cursor_put64(c, fadt);
	cursor_put64(c, madt);
	return end_table(c, table);
}

/* 5.2.5.3: one checksum over the first 20 bytes, one over all. */
static void put_rsdp(uint8_t *base, uint64_t xsdt)
{
	struct cursor c = cursor_over(base, RSDP_BYTES);

	cursor_put_text(&c, "RSD PTR ");
	cursor_put8(&c, 0);
	cursor_put_text(&c, "MAYFLY");
	cursor_put8(&c, 2);  /* revision */
	cursor_put32(&c, 0); /* no RSDT */
	cursor_put32(&c, RSDP_BYTES);
	cursor_put64(&c, xsdt);
	cursor_put32(&c, 0);
	base[8] = sum_to_zero(base, 20);
	base[32] = sum_to_zero(base, RSDP_BYTES);
}

int acpi_write(const struct guest_mem *mem, const struct arch_slot *slots,
	       unsigned count, const struct arch_topology *topology,
	       uint64_t *rsdp, struct err *e)
{
	const size_t room = LAYOUT_GENERATION - LAYOUT_BIOS;
	uint8_t *base = guest_mem_at(mem, LAYOUT_BIOS, room);
	struct cursor c = cursor_over(base, room);
	uint64_t dsdt, fadt, madt, xsdt;

	if (!base)
		return err_set(e, -EFAULT, "no memory for ACPI tables");
	cursor_take(&c, RSDP_BYTES);
	dsdt = put_dsdt(&c, slots, count);
	madt = put_madt(&c, topology->vcpus);
	fadt = put_fadt(&c, dsdt, slots, count);
	xsdt = put_xsdt(&c, fadt, madt);
	if (c.failed)
		return err_set(e, -ENOSPC, "the ACPI tables are too long");
	put_rsdp(base, xsdt);
	*rsdp = LAYOUT_BIOS;
	return 0;
}
