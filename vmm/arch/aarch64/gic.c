/*
 * KVM's GICv3 (Documentation/virt/kvm/devices/arm-vgic-v3.rst), whose registers
 * are those of the architecture (Arm IHI 0069, chapter 12).
 *
 * Saving and loading. Most registers come as they are. Of those by which bits
 * are set and cleared, a load clears all first, for a guest that goes back in
 * place has some set; whether an interrupt is an edge or a level comes before
 * what is pending of it. KVM tells the latch of what is pending and the level
 * of a line apart. Values are the guest's in any case, and KVM judges them.
 */
#include "vmm/arch/aarch64/gic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/fd.h"

/* Of the distributor and, for the first 32, of the redistributor's second page.
 */
enum {
	CTLR = 0x0,
	IIDR = 0x8,
	WAKER = 0x14,
	IGROUPR = 0x80,
	ISENABLER = 0x100,
	ICENABLER = 0x180,
	ISPENDR = 0x200,
	ICPENDR = 0x280,
	ISACTIVER = 0x300,
	ICACTIVER = 0x380,
	IPRIORITYR = 0x400,
	ICFGR = 0xc00,
	IROUTER = 0x6000,
	SGI_PAGE = 0x10000,
};

/* Rows of registers with so many bits for each interrupt, in order of a load.
 */
static const struct row {
	uint32_t offset;
	uint32_t bits;
	uint32_t clear; /* the row that clears what this one sets; or 0 */
} rows[] = {
	{IGROUPR, 1, 0},       {ICFGR, 2, 0},
	{IPRIORITYR, 8, 0},    {ISENABLER, 1, ICENABLER},
	{ISPENDR, 1, ICPENDR}, {ISACTIVER, 1, ICACTIVER},
};

enum { INTIDS = LAYOUT_INTID_SPI + LAYOUT_GSIS, WORD_BITS = 32 };

/* Fields of a system register's name (Arm ARM, C5.1.2), as KVM packs them. */
#define ICC(op0, op1, crn, crm, op2) \
	((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define ICC_PMR	    ICC(3U, 0U, 4U, 6U, 0U)
#define ICC_BPR0    ICC(3U, 0U, 12U, 8U, 3U)
#define ICC_AP0R(n) ICC(3U, 0U, 12U, 8U, 4U + (n))
#define ICC_AP1R(n) ICC(3U, 0U, 12U, 9U, (n))
#define ICC_BPR1    ICC(3U, 0U, 12U, 12U, 3U)
#define ICC_CTLR    ICC(3U, 0U, 12U, 12U, 4U)
#define ICC_SRE	    ICC(3U, 0U, 12U, 12U, 5U)
#define ICC_IGRPEN0 ICC(3U, 0U, 12U, 12U, 6U)
#define ICC_IGRPEN1 ICC(3U, 0U, 12U, 12U, 7U)

static int attr_ioctl(const struct gic *g, unsigned long call, uint32_t group,
		      uint64_t attr, void *value)
{
	const struct kvm_device_attr a = {
		.group = group,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	return ioctl(g->fd, call, &a);
}

static int set_up(struct gic *g, struct err *e)
{
	uint64_t dist = LAYOUT_GICD, redist = gic_redistributors(g->cpus);
	uint32_t intids = INTIDS;

	if (attr_ioctl(g, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0,
		       &intids) ||
	    attr_ioctl(g, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
		       KVM_VGIC_V3_ADDR_TYPE_DIST, &dist) ||
	    attr_ioctl(g, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
		       KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist))
		return err_errno(e, "KVM refuses the place of its GICv3");
	return 0;
}

int gic_open(struct gic *g, const struct vm *vm, uint32_t cpus, struct err *e)
{
	struct kvm_create_device device = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device))
		return err_errno(e,
				 "this host's KVM has no GICv3, which mayfly "
				 "needs on aarch64");
	g->fd = (int)device.fd;
	g->cpus = cpus;
	return set_up(g, e);
}

int gic_start(struct gic *g, struct err *e)
{
	if (attr_ioctl(g, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL,
		       KVM_DEV_ARM_VGIC_CTRL_INIT, NULL))
		return err_errno(e, "KVM can't start its GICv3");
	return 0;
}

void gic_close(struct gic *g)
{
	fd_close(&g->fd);
}

/* Where the registers of a vCPU begin, of whatever group they are. */
static uint64_t place_of(uint32_t cpu)
{
	return (uint64_t)gic_affinity(cpu) << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
}

/* One register of 32 bits. */
static void move(const struct gic *g, struct visitor *v, uint32_t group,
		 uint64_t attr, uint32_t *value)
{
	const unsigned long call = v->is_loading ? KVM_SET_DEVICE_ATTR
						 : KVM_GET_DEVICE_ATTR;

	if (!v->rc && attr_ioctl(g, call, group, attr, value))
		visit_fail(v, -errno,
			   "KVM refuses register 0x%llx of its GICv3: %s",
			   (unsigned long long)attr, strerror(errno));
}

static void visit_one(const struct gic *g, struct visitor *v, uint32_t group,
		      uint64_t attr)
{
	uint32_t value = 0;

	if (!v->is_loading)
		move(g, v, group, attr, &value);
	visit_u32(v, &value);
	if (v->is_loading)
		move(g, v, group, attr, &value);
}

/* A row for count interrupts, from intid first on, which base is the place of.
 */
static void visit_row(const struct gic *g, struct visitor *v, uint32_t group,
		      uint64_t base, const struct row *row, uint32_t first,
		      uint32_t count)
{
	const uint32_t begin = first * row->bits / 8;
	const uint32_t end = (first + count) * row->bits / 8;
	uint32_t at, all = UINT32_MAX;

	for (at = begin; at < end; at += 4) {
		if (v->is_loading && row->clear)
			move(g, v, group, base + row->clear + at, &all);
		visit_one(g, v, group, base + row->offset + at);
	}
}

static void visit_rows(const struct gic *g, struct visitor *v, uint32_t group,
		       uint64_t base, uint32_t first, uint32_t count)
{
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		visit_row(g, v, group, base, &rows[i], first, count);
}

/* Of the lines of 32 interrupts, which are high. */
static void visit_levels(const struct gic *g, struct visitor *v, uint64_t base,
			 uint32_t first)
{
	const uint64_t info = (uint64_t)VGIC_LEVEL_INFO_LINE_LEVEL
			      << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;

	visit_one(g, v, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, base | info | first);
}

static void visit_distributor(const struct gic *g, struct visitor *v)
{
	const uint32_t group = KVM_DEV_ARM_VGIC_GRP_DIST_REGS;
	uint32_t intid;

	/* By its revision KVM knows which of its ways the guest expects. */
	visit_one(g, v, group, IIDR);
	visit_one(g, v, group, CTLR);
	visit_rows(g, v, group, 0, LAYOUT_INTID_SPI, LAYOUT_GSIS);
	for (intid = LAYOUT_INTID_SPI; intid < INTIDS; intid++) {
		visit_one(g, v, group, IROUTER + intid * 8);
		visit_one(g, v, group, IROUTER + intid * 8 + 4);
	}
	for (intid = LAYOUT_INTID_SPI; intid < INTIDS; intid += WORD_BITS)
		visit_levels(g, v, 0, intid);
}

/* Private interrupts stand behind 16 that processors send each other. */
#define PPI_BIT(n) (1U << (16U + (n)))

bool gic_serves_timer(const struct gic *g, uint32_t cpu)
{
	const uint32_t timers = PPI_BIT(LAYOUT_PPI_TIMER_PHYSICAL) |
				PPI_BIT(LAYOUT_PPI_TIMER_VIRTUAL);
	uint32_t active = 0;

	return !attr_ioctl(g, KVM_GET_DEVICE_ATTR,
			   KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
			   place_of(cpu) + SGI_PAGE + ISACTIVER, &active) &&
	       active & timers;
}

static void visit_redistributor(const struct gic *g, struct visitor *v,
				uint32_t cpu)
{
	const uint32_t group = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
	const uint64_t base = place_of(cpu);

	visit_one(g, v, group, base + CTLR);
	visit_one(g, v, group, base + WAKER);
	visit_rows(g, v, group, base + SGI_PAGE, 0, LAYOUT_INTID_SPI);
	visit_levels(g, v, base, 0);
}

static uint64_t visit_icc(const struct gic *g, struct visitor *v, uint32_t cpu,
			  uint32_t name)
{
	const uint64_t attr = place_of(cpu) | name;
	const uint32_t group = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
	uint64_t value = 0;

	if (!v->is_loading && !v->rc &&
	    attr_ioctl(g, KVM_GET_DEVICE_ATTR, group, attr, &value))
		visit_fail(v, -errno, "KVM does not tell ICC register 0x%x: %s",
			   name, strerror(errno));
	visit_u64(v, &value);
	if (v->is_loading && !v->rc &&
	    attr_ioctl(g, KVM_SET_DEVICE_ATTR, group, attr, &value))
		visit_fail(v, -errno,
			   "KVM refuses 0x%llx for ICC register 0x%x of vCPU "
			   "%u: %s",
			   (unsigned long long)value, name, cpu,
			   strerror(errno));
	return value;
}

/* Of active priorities there are registers for the bits that priorities have.
 */
static uint32_t active_registers(uint64_t ctlr)
{
	const uint32_t bits = (uint32_t)(ctlr >> 8 & 7) + 1;

	return bits <= 5 ? 1 : 1U << (bits - 5);
}

static void visit_interface(const struct gic *g, struct visitor *v,
			    uint32_t cpu)
{
	static const uint32_t names[] = {ICC_PMR, ICC_BPR0, ICC_BPR1,
					 ICC_IGRPEN0, ICC_IGRPEN1};
	uint32_t i, count;

	visit_icc(g, v, cpu, ICC_SRE);
	count = active_registers(visit_icc(g, v, cpu, ICC_CTLR));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		visit_icc(g, v, cpu, names[i]);
	for (i = 0; i < count; i++) {
		visit_icc(g, v, cpu, ICC_AP0R(i));
		visit_icc(g, v, cpu, ICC_AP1R(i));
	}
}

void gic_visit(struct gic *g, struct visitor *v)
{
	uint32_t cpu;

	visit_distributor(g, v);
	for (cpu = 0; cpu < g->cpus; cpu++) {
		visit_redistributor(g, v, cpu);
		visit_interface(g, v, cpu);
	}
}
