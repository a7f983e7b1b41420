/*
 * The MP table (Intel MultiProcessor Specification 1.4, chapter 4): a floating
 * pointer, then the configuration table: processors, one ISA bus, the I/O
 * APIC, a line for each of its pins, and two local lines.
 */
#include "vmm/arch/x86_64/mptable.h"

#include <errno.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/cursor.h"

enum entry_type { PROCESSOR, BUS, IO_APIC, IO_INTERRUPT, LOCAL_INTERRUPT };
enum interrupt_type { INT_VECTORED, INT_NMI, INT_SMI, INT_EXTERNAL };

enum {
	POINTER_BYTES = 16,
	SPEC_1_4 = 4,
	APIC_VERSION = 0x14,
	IOAPIC_VERSION = 0x11,
	CPU_ENABLED = 1,
	CPU_BOOT = 2,
	IOAPIC_USABLE = 1,
	ALL_APICS = 0xff,
	ISA_BUS = 0,
};

/* Makes the bytes of [at, at + len) sum to zero. */
static void put_checksum(uint8_t *at, size_t len, size_t checksum_at)
{
	uint8_t sum = 0;
	size_t i;

	at[checksum_at] = 0;
	for (i = 0; i < len; i++)
		sum += at[i];
	at[checksum_at] = -sum;
}

static void put_pointer(struct cursor *c)
{
	cursor_put_text(c, "_MP_");
	cursor_put32(c, LAYOUT_EBDA + POINTER_BYTES);
	cursor_put8(c, 1); /* length in paragraphs */
	cursor_put8(c, SPEC_1_4);
	cursor_put8(c, 0); /* checksum, later */
	cursor_put(c, (uint8_t[5]){0}, 5);
}

static void put_header(struct cursor *c)
{
	cursor_put_text(c, "PCMP");
	cursor_put16(c, 0); /* length, later */
	cursor_put8(c, SPEC_1_4);
	cursor_put8(c, 0); /* checksum, later */
	cursor_put_text(c, "MAYFLY  ");
	cursor_put_text(c, "microVM     ");
	cursor_put32(c, 0); /* OEM table */
	cursor_put16(c, 0);
	cursor_put16(c, 0); /* entry count, later */
	cursor_put32(c, LAYOUT_LAPIC);
	cursor_put32(c, 0); /* extended entries */
}

static void put_processor(struct cursor *c, uint32_t id)
{
	cursor_put8(c, PROCESSOR);
	cursor_put8(c, (uint8_t)id);
	cursor_put8(c, APIC_VERSION);
	cursor_put8(c, CPU_ENABLED | (id == 0 ? CPU_BOOT : 0));
	cursor_put32(c, 0); /* signature and features: CPUID tells */
	cursor_put32(c, 0);
	cursor_put64(c, 0);
}

static void put_interrupt(struct cursor *c, enum entry_type type,
			  enum interrupt_type interrupt, uint8_t source,
			  uint8_t apic, uint8_t pin)
{
	cursor_put8(c, (uint8_t)type);
	cursor_put8(c, (uint8_t)interrupt);
	cursor_put16(c, 0); /* polarity and trigger as the bus has: edges */
	cursor_put8(c, ISA_BUS);
	cursor_put8(c, source);
	cursor_put8(c, apic);
	cursor_put8(c, pin);
}

static unsigned put_entries(struct cursor *c, uint32_t vcpus)
{
	const uint8_t ioapic_id = (uint8_t)vcpus;
	uint32_t i;

	for (i = 0; i < vcpus; i++)
		put_processor(c, i);
	cursor_put8(c, BUS);
	cursor_put8(c, ISA_BUS);
	cursor_put_text(c, "ISA   ");
	cursor_put8(c, IO_APIC);
	cursor_put8(c, ioapic_id);
	cursor_put8(c, IOAPIC_VERSION);
	cursor_put8(c, IOAPIC_USABLE);
	cursor_put32(c, LAYOUT_IOAPIC);
	for (i = 0; i < LAYOUT_PINS; i++)
		put_interrupt(c, IO_INTERRUPT, INT_VECTORED, (uint8_t)i,
			      ioapic_id, (uint8_t)i);
	put_interrupt(c, LOCAL_INTERRUPT, INT_EXTERNAL, 0, 0, 0);
	put_interrupt(c, LOCAL_INTERRUPT, INT_NMI, 0, ALL_APICS, 1);
	return vcpus + 1 + 1 + LAYOUT_PINS + 2;
}

int mptable_write(const struct guest_mem *mem,
		  const struct arch_topology *topology, struct err *e)
{
	const size_t room = LAYOUT_EBDA_END - LAYOUT_EBDA;
	uint8_t *base = guest_mem_at(mem, LAYOUT_EBDA, room);
	struct cursor c = cursor_over(base, room), patch;
	unsigned count;

	if (!base)
		return err_set(e, -EFAULT, "no memory for the MP table");
	put_pointer(&c);
	put_header(&c);
	count = put_entries(&c, topology->vcpus);
	if (c.failed)
		return err_set(e, -ENOSPC,
			       "the MP table has no room for %u "
			       "vCPUs",
			       topology->vcpus);
	patch = cursor_over(base + POINTER_BYTES + 4, 2);
	cursor_put16(&patch, (uint16_t)(c.at - POINTER_BYTES));
	patch = cursor_over(base + POINTER_BYTES + 34, 2);
	cursor_put16(&patch, (uint16_t)count);
	put_checksum(base, POINTER_BYTES, 10);
	put_checksum(base + POINTER_BYTES, c.at - POINTER_BYTES, 7);
	return 0;
}
