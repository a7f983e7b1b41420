/*
 * A small I/O APIC (Intel 82093AA) in front of KVM's local APICs.
 *
 * Why not KVM's own: with the in-kernel irqchip a VM takes 8 to 16 ms longer
 * to make or to tear down (grace periods), against 0.25 ms with the split one;
 * docs/benchmarks.md has the figures.
 *
 * All our interrupt sources are edges (virtio-mmio and the UART raise a line
 * and leave a status register behind), so no pin ever holds a level: remote
 * IRR stays 0, KVM never has to tell us of an EOI, and an edge on a masked pin
 * is lost, as in the 82093AA. A guest that programs a pin as level gets edges.
 */
#include "vmm/arch/x86_64/ioapic.h"

#include <linux/kvm.h>
#include <string.h>

#include "vmm/base/log.h"

/* Memory-mapped registers, and those behind the window (82093AA, 3.0). */
enum { IOREGSEL = 0x00, IOWIN = 0x10, IOAPIC_SIZE = 0x1000 };
enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_TABLE = 0x10 };

enum { VERSION = 0x11 };

#define ENTRY_MASKED	 (1ULL << 16)
#define ENTRY_VECTOR	 0xffULL
#define ENTRY_DELIVERY	 (7ULL << 8)
#define ENTRY_LOGICAL	 (1ULL << 11)
#define ENTRY_DEST_SHIFT 56
/* Delivery status (12) and remote IRR (14) are read-only. */
#define ENTRY_READ_ONLY (1ULL << 12 | 1ULL << 14)
#define ENTRY_WRITABLE	(0xff0000000001ffffULL & ~ENTRY_READ_ONLY)

/*
 * The part of an entry that decides where its interrupt goes, 0 for nowhere.
 * Vectors below 16 are illegal for fixed delivery (SDM vol. 3, 11.5.2).
 */
static uint64_t entry_route(uint64_t entry)
{
	if (entry & ENTRY_MASKED || (entry & ENTRY_VECTOR) < 16)
		return 0;
	return entry & (ENTRY_VECTOR | ENTRY_DELIVERY | ENTRY_LOGICAL |
			0xffULL << ENTRY_DEST_SHIFT);
}

static int set_routes(struct ioapic *io)
{
	union {
		struct kvm_irq_routing head;
		uint8_t room[sizeof(struct kvm_irq_routing) +
			     LAYOUT_PINS *
				     sizeof(struct kvm_irq_routing_entry)];
	} table = {0};
	struct kvm_irq_routing_entry *out;
	uint32_t pin;

	for (pin = 0; pin < LAYOUT_PINS; pin++) {
		uint64_t route = io->routed[pin];

		if (!route)
			continue;
		out = &table.head.entries[table.head.nr++];
		out->gsi = pin;
		out->type = KVM_IRQ_ROUTING_MSI;
		out->u.msi.address_lo = 0xfee00000U |
					(uint32_t)(route >> ENTRY_DEST_SHIFT)
						<< 12 |
					(route & ENTRY_LOGICAL ? 1U << 2 : 0);
		out->u.msi.data =
			(uint32_t)(route & (ENTRY_VECTOR | ENTRY_DELIVERY));
	}
	return vm_set_routes(io->vm, &table.head);
}

/*
 * Linux masks every pin at boot, one write at a time. Telling KVM costs a
 * grace period, so only a change of what is unmasked is told.
 */
static void entry_write(struct ioapic *io, uint32_t pin, uint64_t entry)
{
	uint64_t route;
	int rc;

	entry &= ENTRY_WRITABLE;
	io->entries[pin] = entry;
	route = entry_route(entry);
	if (route == io->routed[pin])
		return;
	io->routed[pin] = route;
	rc = set_routes(io);
	if (rc)
		log_warn_limited("KVM_SET_GSI_ROUTING failed (%d): the guest "
				 "may miss interrupts",
				 rc);
}

static uint32_t window_read(const struct ioapic *io)
{
	uint32_t pin = (io->select - REG_TABLE) / 2;

	switch (io->select) {
	case REG_ID:
	case REG_ARBITRATION:
		return io->id;
	case REG_VERSION:
		return VERSION | (LAYOUT_PINS - 1) << 16;
	default:
		if (io->select < REG_TABLE || pin >= LAYOUT_PINS)
			return 0;
		return (uint32_t)(io->select & 1 ? io->entries[pin] >> 32
						 : io->entries[pin]);
	}
}

static void window_write(struct ioapic *io, uint32_t value)
{
	uint32_t pin = (io->select - REG_TABLE) / 2;

	if (io->select == REG_ID)
		io->id = value & 0x0f000000U;
	if (io->select < REG_TABLE || pin >= LAYOUT_PINS)
		return;
	if (io->select & 1)
		entry_write(io, pin,
			    (io->entries[pin] & 0xffffffffULL) | (uint64_t)value
									 << 32);
	else
		entry_write(io, pin,
			    (io->entries[pin] & ~0xffffffffULL) | value);
}

/* Registers are 32 bits wide; other widths read 0 and write nothing. */
static void ioapic_read(void *owner, uint64_t offset, void *data, uint32_t len)
{
	struct ioapic *io = owner;
	uint32_t value = 0;

	if (len != sizeof(value))
		return;
	if (offset == IOREGSEL)
		value = io->select;
	else if (offset == IOWIN)
		value = window_read(io);
	memcpy(data, &value, sizeof(value));
}

static void ioapic_write(void *owner, uint64_t offset, const void *data,
			 uint32_t len)
{
	struct ioapic *io = owner;
	uint32_t value;

	if (len != sizeof(value))
		return;
	memcpy(&value, data, sizeof(value));
	if (offset == IOREGSEL)
		io->select = value & 0xff;
	else if (offset == IOWIN)
		window_write(io, value);
}

int ioapic_open(struct ioapic *io, struct vm *vm, struct bus *mmio,
		struct err *e)
{
	const struct bus_range range = {
		.base = LAYOUT_IOAPIC,
		.size = IOAPIC_SIZE,
		.read = ioapic_read,
		.write = ioapic_write,
		.owner = io,
		.lock = &io->lock,
	};
	unsigned pin;
	int rc;

	io->vm = vm;
	mutex_init(&io->lock);
	for (pin = 0; pin < LAYOUT_PINS; pin++)
		io->entries[pin] = ENTRY_MASKED;
	rc = vm_enable(vm, KVM_CAP_SPLIT_IRQCHIP, LAYOUT_PINS,
		       "a split irqchip (Linux 4.5)", e);
	if (rc)
		return rc;
	return bus_add(mmio, &range, e);
}

/* Tells KVM of all entries, where it does not know them. */
static int route_all(struct ioapic *io)
{
	bool is_new = false;
	uint32_t pin;

	for (pin = 0; pin < LAYOUT_PINS; pin++) {
		const uint64_t route = entry_route(io->entries[pin]);

		is_new |= route != io->routed[pin];
		io->routed[pin] = route;
	}
	return is_new ? set_routes(io) : 0;
}

void ioapic_visit(struct ioapic *io, struct visitor *v)
{
	uint32_t pin;
	int rc;

	mutex_lock(&io->lock);
	visit_u32(v, &io->select);
	visit_u32(v, &io->id);
	visit_check(v, io->select <= 0xff && !(io->id & ~0x0f000000U),
		    "the I/O APIC has no register %#x, or no id %#x",
		    io->select, io->id);
	for (pin = 0; pin < LAYOUT_PINS; pin++) {
		visit_u64(v, &io->entries[pin]);
		/* As the guest could have written it, and no more. */
		io->entries[pin] &= ENTRY_WRITABLE;
	}
	rc = v->rc ? 0 : route_all(io);
	if (rc)
		visit_fail(v, rc, "KVM_SET_GSI_ROUTING: %s", strerror(-rc));
	mutex_unlock(&io->lock);
}
