/*
 * The device tree of a machine, by libfdt: what Linux's bindings
 * (Documentation/devicetree/bindings) want of each device, and no node for what
 * there is not. libfdt remembers nothing of a failure, so w does: writing goes
 * on without looking, and is looked at once, at the end.
 */
#include "vmm/arch/aarch64/tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/aarch64/gic.h"
#include "vmm/arch/aarch64/layout.h"

/* By which nodes name one another. */
enum {
	GIC = 1,
	CACHE_3 = 2,
	CPU_0 = 3,
	CACHE_2 = CPU_0 + ARCH_VCPUS_MAX,
	CLOCK = CACHE_2 + ARCH_VCPUS_MAX,
	GPIO = CLOCK + 1,
};

/* The cells of an interrupt (arm,gic-v3.yaml). */
enum { SPI = 0, PPI = 1, EDGE_RISING = 1, LEVEL_HIGH = 4, LEVEL_LOW = 8 };

enum { UART_HZ = 1843200 }; /* 115,200 bauds are its sixteenth */

enum { CLOCK_HZ = 24000000 }; /* of a bus that has none */

/* gpio-keys.yaml, by include/uapi/linux/input-event-codes.h. */
enum { KEY_POWER = 116, ACTIVE_HIGH = 0 };

struct writer {
	void *out;
	int rc; /* libfdt's, of what failed first */
};

static void note(struct writer *w, int rc)
{
	if (!w->rc)
		w->rc = rc;
}

static void begin(struct writer *w, const char *name)
{
	note(w, fdt_begin_node(w->out, name));
}

static void begin_at(struct writer *w, const char *name, uint64_t at)
{
	char full[40];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)at);
	begin(w, full);
}

static void end(struct writer *w)
{
	note(w, fdt_end_node(w->out));
}

static void put_u32(struct writer *w, const char *name, uint32_t value)
{
	note(w, fdt_property_u32(w->out, name, value));
}

static void put_u64(struct writer *w, const char *name, uint64_t value)
{
	note(w, fdt_property_u64(w->out, name, value));
}

static void put_bytes(struct writer *w, const char *name, const void *value,
		      size_t len)
{
	note(w, fdt_property(w->out, name, value, (int)len));
}

static void put_text(struct writer *w, const char *name, const char *value)
{
	put_bytes(w, name, value, strlen(value) + 1);
}

/* One that is there and says nothing more. */
static void put_flag(struct writer *w, const char *name)
{
	put_bytes(w, name, NULL, 0);
}

enum { CELLS_MAX = 12 };

static void put_cells(struct writer *w, const char *name, const uint32_t *cells,
		      unsigned count)
{
	fdt32_t wire[CELLS_MAX];
	unsigned i;

	for (i = 0; i < count; i++)
		wire[i] = cpu_to_fdt32(cells[i]);
	put_bytes(w, name, wire, count * sizeof(wire[0]));
}

#define PUT_CELLS(w, name, ...)                             \
	put_cells(w, name, (const uint32_t[]){__VA_ARGS__}, \
		  sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

#define HIGH(x) (uint32_t)((x) >> 32)
#define LOW(x)	(uint32_t)(x)

static void put_reg(struct writer *w, uint64_t base, uint64_t size)
{
	PUT_CELLS(w, "reg", HIGH(base), LOW(base), HIGH(size), LOW(size));
}

static void put_edge(struct writer *w, uint32_t gsi)
{
	PUT_CELLS(w, "interrupts", SPI, gsi, EDGE_RISING);
}

/* ---- processors ---------------------------------------------------------- */

/* The names of its properties begin with kind: "d-cache". */
static void put_cache(struct writer *w, const char *kind,
		      const struct tree_cache *cache)
{
	const struct {
		const char *word;
		uint32_t value;
	} properties[] = {
		{"size", cache->size},
		{"line-size", cache->line_bytes},
		{"sets", cache->sets},
	};
	char name[32];
	unsigned i;

	for (i = 0; cache->size && i < 3; i++) {
		snprintf(name, sizeof(name), "%s-%s", kind, properties[i].word);
		put_u32(w, name, properties[i].value);
	}
}

/* A cache that is a node: of level 2 below its processor, of 3 beside all. */
static void write_cache(struct writer *w, const struct tree_caches *c,
			uint32_t level, uint32_t phandle)
{
	char name[16];

	if (!c->levels[level - 1].size)
		return;
	snprintf(name, sizeof(name), "l%u-cache", level);
	begin(w, name);
	put_text(w, "compatible", "cache");
	put_u32(w, "cache-level", level);
	put_flag(w, "cache-unified");
	put_cache(w, "cache", &c->levels[level - 1]);
	if (level < TREE_LEVELS && c->levels[level].size)
		put_u32(w, "next-level-cache", CACHE_3);
	put_u32(w, "phandle", phandle);
	end(w);
}

static void write_cpu(struct writer *w, const struct tree_plan *plan,
		      uint32_t cpu)
{
	const struct tree_caches *c = &plan->caches;

	begin_at(w, "cpu", gic_affinity(cpu));
	put_text(w, "device_type", "cpu");
	put_text(w, "compatible", "arm,armv8");
	put_text(w, "enable-method", "psci");
	put_u32(w, "reg", gic_affinity(cpu));
	put_cache(w, "i-cache", &c->instructions);
	put_cache(w, "d-cache", &c->levels[0]);
	if (c->levels[1].size)
		put_u32(w, "next-level-cache", CACHE_2 + cpu);
	put_u32(w, "phandle", CPU_0 + cpu);
	write_cache(w, c, 2, CACHE_2 + cpu);
	end(w);
}

static void write_thread(struct writer *w, const char *kind, uint32_t number,
			 uint32_t cpu)
{
	char name[16];

	snprintf(name, sizeof(name), "%s%u", kind, number);
	begin(w, name);
	put_u32(w, "cpu", CPU_0 + cpu);
	end(w);
}

/* cpu-map.txt: one cluster of cores, of one thread or two. */
static void write_map(struct writer *w, const struct arch_topology *t)
{
	const uint32_t threads = t->smt && t->vcpus > 1 ? 2 : 1;
	char name[16];
	uint32_t cpu;

	begin(w, "cpu-map");
	begin(w, "cluster0");
	for (cpu = 0; cpu < t->vcpus; cpu++) {
		if (threads == 1) {
			write_thread(w, "core", cpu, cpu);
			continue;
		}
		snprintf(name, sizeof(name), "core%u", cpu / threads);
		if (cpu % threads == 0)
			begin(w, name);
		write_thread(w, "thread", cpu % threads, cpu);
		if (cpu % threads == threads - 1 || cpu == t->vcpus - 1)
			end(w);
	}
	end(w);
	end(w);
}

static void write_cpus(struct writer *w, const struct tree_plan *plan)
{
	uint32_t cpu;

	begin(w, "cpus");
	put_u32(w, "#address-cells", 1);
	put_u32(w, "#size-cells", 0);
	for (cpu = 0; cpu < plan->topology->vcpus; cpu++)
		write_cpu(w, plan, cpu);
	write_map(w, plan->topology);
	write_cache(w, &plan->caches, TREE_LEVELS, CACHE_3);
	end(w);
}

/* ---- what each machine has ------------------------------------------------
 */

static void write_chosen(struct writer *w, const struct tree_plan *plan)
{
	begin(w, "chosen");
	put_text(w, "bootargs", plan->cmdline);
	if (plan->initrd_gpa) {
		put_u64(w, "linux,initrd-start", plan->initrd_gpa);
		put_u64(w, "linux,initrd-end",
			plan->initrd_gpa + plan->initrd_size);
	}
	if (plan->kaslr_seed)
		put_u64(w, "kaslr-seed", plan->kaslr_seed);
	put_bytes(w, "rng-seed", plan->rng_seed, sizeof(plan->rng_seed));
	end(w);
}

static void write_memory(struct writer *w, const struct guest_range *memory)
{
	begin_at(w, "memory", memory->gpa);
	put_text(w, "device_type", "memory");
	put_reg(w, memory->gpa, memory->size);
	end(w);
}

static void write_psci(struct writer *w)
{
	begin(w, "psci");
	/* Older kernels know one of the older names only. */
	put_bytes(w, "compatible", "arm,psci-1.0\0arm,psci-0.2",
		  sizeof("arm,psci-1.0\0arm,psci-0.2"));
	put_text(w, "method", "hvc");
	end(w);
}

/* arm,gic-v3.yaml; the interrupt is that of GICv2 guests, which KVM has. */
static void write_gic(struct writer *w, uint32_t cpus)
{
	const uint64_t redist = gic_redistributors(cpus);
	const uint64_t size = cpus * LAYOUT_GICR_SIZE;

	begin_at(w, "interrupt-controller", LAYOUT_GICD);
	put_text(w, "compatible", "arm,gic-v3");
	put_u32(w, "#interrupt-cells", 3);
	put_u32(w, "#address-cells", 0);
	put_flag(w, "interrupt-controller");
	PUT_CELLS(w, "reg", HIGH(LAYOUT_GICD), LOW(LAYOUT_GICD),
		  HIGH(LAYOUT_GICD_SIZE), LOW(LAYOUT_GICD_SIZE), HIGH(redist),
		  LOW(redist), HIGH(size), LOW(size));
	PUT_CELLS(w, "interrupts", PPI, 9, LEVEL_HIGH);
	put_u32(w, "phandle", GIC);
	end(w);
}

static void write_timer(struct writer *w)
{
	begin(w, "timer");
	put_text(w, "compatible", "arm,armv8-timer");
	put_flag(w, "always-on");
	PUT_CELLS(w, "interrupts", PPI, LAYOUT_PPI_TIMER_SECURE, LEVEL_LOW, PPI,
		  LAYOUT_PPI_TIMER_PHYSICAL, LEVEL_LOW, PPI,
		  LAYOUT_PPI_TIMER_VIRTUAL, LEVEL_LOW, PPI,
		  LAYOUT_PPI_TIMER_HYP, LEVEL_LOW);
	end(w);
}

/* ---- devices ---------------------------------------------------------------
 */

static void write_virtio(struct writer *w, const struct arch_slot *s)
{
	begin_at(w, "virtio_mmio", s->base);
	put_text(w, "compatible", "virtio,mmio");
	put_reg(w, s->base, s->size);
	put_edge(w, s->gsi);
	put_flag(w, "dma-coherent");
	end(w);
}

/* 8250.yaml. No stdout-path: who wants a console says console=ttyS0. */
static void write_uart(struct writer *w, const struct arch_slot *s)
{
	begin_at(w, "serial", s->base);
	put_text(w, "compatible", "ns16550a");
	put_reg(w, s->base, s->size);
	put_edge(w, s->gsi);
	put_u32(w, "clock-frequency", UART_HZ);
	end(w);
}

/*
 * pl061-gpio.yaml and gpio-keys.yaml. Linux's AMBA bus wants a clock for each
 * of its devices.
 */
static void write_power_key(struct writer *w, const struct arch_slot *s)
{
	begin(w, "apb-pclk");
	put_text(w, "compatible", "fixed-clock");
	put_u32(w, "#clock-cells", 0);
	put_u32(w, "clock-frequency", CLOCK_HZ);
	put_u32(w, "phandle", CLOCK);
	end(w);
	begin_at(w, "gpio", s->base);
	put_bytes(w, "compatible", "arm,pl061\0arm,primecell",
		  sizeof("arm,pl061\0arm,primecell"));
	put_reg(w, s->base, s->size);
	put_edge(w, s->gsi);
	put_flag(w, "gpio-controller");
	put_u32(w, "#gpio-cells", 2);
	put_flag(w, "interrupt-controller");
	put_u32(w, "#interrupt-cells", 2);
	put_u32(w, "#address-cells", 0);
	put_u32(w, "clocks", CLOCK);
	put_text(w, "clock-names", "apb_pclk");
	put_u32(w, "phandle", GPIO);
	end(w);
	begin(w, "gpio-keys");
	put_text(w, "compatible", "gpio-keys");
	begin(w, "key-power");
	put_text(w, "label", "power");
	put_u32(w, "linux,code", KEY_POWER);
	PUT_CELLS(w, "gpios", GPIO, ARCH_POWER_KEY_LINE, ACTIVE_HIGH);
	end(w);
	end(w);
}

/* The id, and the page of the clock behind it, by one interrupt. */
static void write_generation(struct writer *w, const struct arch_slot *s)
{
	begin_at(w, "vmgenid", s->base);
	put_text(w, "compatible", "microsoft,vmgenid");
	put_reg(w, s->base, LAYOUT_VMCLOCK - s->base);
	put_edge(w, s->gsi);
	end(w);
	begin_at(w, "ptp", LAYOUT_VMCLOCK);
	put_text(w, "compatible", "amazon,vmclock");
	put_reg(w, LAYOUT_VMCLOCK, LAYOUT_SLOT_SIZE);
	put_edge(w, s->gsi);
	end(w);
}

static void write_device(struct writer *w, const struct arch_slot *s)
{
	switch (s->kind) {
	case ARCH_VIRTIO_MMIO:
		write_virtio(w, s);
		break;
	case ARCH_UART:
		write_uart(w, s);
		break;
	case ARCH_GENERATION:
		write_generation(w, s);
		break;
	case ARCH_POWER_KEY:
		write_power_key(w, s);
		break;
	case ARCH_BOOT_TIMER: /* no driver of Linux's knows it */
	case ARCH_I8042:
	case ARCH_SLEEP:
		break;
	}
}

int tree_write(const struct tree_plan *plan, void *out, size_t size,
	       struct err *e)
{
	struct writer w = {.out = out};
	unsigned i;

	note(&w, fdt_create(out, (int)size));
	note(&w, fdt_finish_reservemap(out));
	begin(&w, "");
	put_text(&w, "compatible", "linux,dummy-virt");
	put_text(&w, "model", "mayfly");
	put_u32(&w, "#address-cells", 2);
	put_u32(&w, "#size-cells", 2);
	put_u32(&w, "interrupt-parent", GIC);
	write_chosen(&w, plan);
	write_memory(&w, &plan->memory);
	write_cpus(&w, plan);
	write_psci(&w);
	write_gic(&w, plan->topology->vcpus);
	write_timer(&w);
	for (i = 0; i < plan->slot_count; i++)
		write_device(&w, &plan->slots[i]);
	end(&w);
	note(&w, fdt_finish(out));
	if (w.rc)
		return err_set(e, -ENOSPC, "no room for the device tree: %s",
			       fdt_strerror(w.rc));
	return (int)fdt_totalsize(out);
}
