/* The device tree of aarch64 machines: its bytes, and what dtc says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libfdt.h>
#include <zlib.h>

#include "vmm/arch/aarch64/layout.h"
#include "vmm/arch/aarch64/tree.h"

static _Alignas(8) uint8_t out[LAYOUT_TREE_SIZE];
static struct arch_topology topology;
static struct arch_slot slots[ARCH_SLOTS_MAX];
static struct tree_plan plan;
static struct err err;

static void add(enum arch_kind kind, uint64_t base, uint64_t size, uint32_t gsi)
{
	slots[plan.slot_count++] = (struct arch_slot){
		kind, false, kind != ARCH_BOOT_TIMER, base, size, gsi};
}

/* One vCPU and what each machine has; no caches, no initrd. */
static int setup(void **state)
{
	(void)state;
	memset(out, 0, sizeof(out));
	topology = (struct arch_topology){.vcpus = 1};
	plan = (struct tree_plan){
		.topology = &topology,
		.slots = slots,
		.memory = {LAYOUT_TREE, 126ULL << 20},
		.cmdline = "console=ttyS0",
	};
	memset(plan.rng_seed, 0x5a, sizeof(plan.rng_seed));
	add(ARCH_UART, LAYOUT_UART, 8, LAYOUT_GSI_UART);
	return 0;
}

/* All there can be. */
static void make_full(void)
{
	topology.vcpus = 18;
	plan.initrd_gpa = 0x87f00000;
	plan.initrd_size = 0x12345;
	plan.kaslr_seed = 0x0123456789abcdefULL;
	plan.caches = (struct tree_caches){
		.instructions = {65536, 64, 256},
		.levels = {{32768, 64, 128},
			   {1 << 20, 64, 1024},
			   {32 << 20, 64, 32768}},
	};
	add(ARCH_VIRTIO_MMIO, LAYOUT_VIRTIO, LAYOUT_SLOT_SIZE, 8);
	add(ARCH_VIRTIO_MMIO, LAYOUT_VIRTIO + LAYOUT_SLOT_SIZE,
	    LAYOUT_SLOT_SIZE, 9);
	add(ARCH_BOOT_TIMER, LAYOUT_BOOT_TIMER, LAYOUT_SLOT_SIZE, 0);
	add(ARCH_GENERATION, LAYOUT_GENERATION, 0x1010, LAYOUT_GSI_GENERATION);
	add(ARCH_POWER_KEY, LAYOUT_POWER_KEY, LAYOUT_SLOT_SIZE,
	    LAYOUT_GSI_POWER_KEY);
}

static uint32_t sum_of_tree(void)
{
	const int len = tree_write(&plan, out, sizeof(out), &err);

	assert_true(len > 0);
	assert_int_equal(len, fdt_totalsize(out));
	assert_int_equal(fdt_check_full(out, sizeof(out)), 0);
	return (uint32_t)crc32(0, out, (unsigned)len);
}

static int node(const char *path)
{
	const int at = fdt_path_offset(out, path);

	if (at < 0)
		print_message("no %s\n", path);
	assert_true(at >= 0);
	return at;
}

/* Whether a property is these cells. */
static void assert_cells(const char *path, const char *name, unsigned count,
			 const uint32_t *cells)
{
	int len = 0;
	const fdt32_t *is = fdt_getprop(out, node(path), name, &len);
	unsigned i;

	assert_non_null(is);
	assert_int_equal(len, count * sizeof(*is));
	for (i = 0; i < count; i++)
		assert_int_equal(fdt32_to_cpu(is[i]), cells[i]);
}

#define CELLS(path, name, ...)                                          \
	assert_cells(path, name, sizeof((uint32_t[]){__VA_ARGS__}) / 4, \
		     (uint32_t[]){__VA_ARGS__})

static void assert_text(const char *path, const char *name, const char *text)
{
	int len = 0;
	const char *is = fdt_getprop(out, node(path), name, &len);

	assert_non_null(is);
	assert_string_equal(is, text);
	assert_int_equal(len, strlen(text) + 1);
}

/* dtc says nothing of it: what it says goes to stderr. */
static void assert_quiet_dtc(void)
{
	char name[] = "/tmp/mayfly-tree.XXXXXX", command[128], said[512];
	FILE *pipe;
	size_t n;
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, out, fdt_totalsize(out)),
			 fdt_totalsize(out));
	close(fd);
	snprintf(command, sizeof(command),
		 "dtc -I dtb -O dtb -o /dev/null %s 2>&1", name);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	n = fread(said, 1, sizeof(said) - 1, pipe);
	said[n] = '\0';
	assert_int_equal(pclose(pipe), 0);
	unlink(name);
	assert_string_equal(said, "");
}

static void the_bytes_of_the_least_are_known(void **state)
{
	(void)state;
	assert_int_equal(sum_of_tree(), 0x7981d828);
	assert_quiet_dtc();
}

static void the_bytes_of_all_there_can_be_are_known(void **state)
{
	(void)state;
	make_full();
	assert_int_equal(sum_of_tree(), 0xec708ee6);
	assert_quiet_dtc();
}

static void two_threads_of_a_core_are_told(void **state)
{
	(void)state;
	topology.vcpus = 4;
	topology.smt = true;
	sum_of_tree();
	assert_quiet_dtc();
	assert_true(fdt_path_offset(out, "/cpus/cpu-map/cluster0/core2") < 0);
	assert_true(fdt_getprop(out,
				node("/cpus/cpu-map/cluster0/core1/thread1"),
				"cpu", NULL) != NULL);
}

static void the_boot_is_told(void **state)
{
	(void)state;
	make_full();
	sum_of_tree();
	assert_text("/chosen", "bootargs", "console=ttyS0");
	CELLS("/chosen", "linux,initrd-start", 0, 0x87f00000);
	CELLS("/chosen", "linux,initrd-end", 0, 0x87f12345);
	CELLS("/chosen", "kaslr-seed", 0x01234567, 0x89abcdef);
	CELLS("/memory@80200000", "reg", 0, 0x80200000, 0, 126 << 20);
	assert_text("/psci", "method", "hvc");
}

/* KEY_POWER at line 3, and a clock without which Linux does not look. */
static void the_power_key_is_told(void **state)
{
	uint32_t gpio, clock;

	(void)state;
	make_full();
	sum_of_tree();
	gpio = fdt_get_phandle(out, node("/gpio@40002000"));
	clock = fdt_get_phandle(out, node("/apb-pclk"));
	CELLS("/gpio@40002000", "interrupts", 0, LAYOUT_GSI_POWER_KEY, 1);
	CELLS("/gpio@40002000", "clocks", clock);
	CELLS("/gpio-keys/key-power", "gpios", gpio, 3, 0);
	CELLS("/gpio-keys/key-power", "linux,code", 116);
}

static void no_initrd_is_no_property(void **state)
{
	(void)state;
	sum_of_tree();
	assert_null(
		fdt_getprop(out, node("/chosen"), "linux,initrd-start", NULL));
	assert_null(fdt_getprop(out, node("/chosen"), "kaslr-seed", NULL));
}

static void processors_are_numbered_as_kvm_numbers_them(void **state)
{
	(void)state;
	make_full();
	sum_of_tree();
	CELLS("/cpus/cpu@f", "reg", 15);
	/* The seventeenth begins the next sixteen. */
	CELLS("/cpus/cpu@100", "reg", 0x100);
	CELLS("/cpus/cpu@101", "reg", 0x101);
	assert_true(fdt_path_offset(out, "/cpus/cpu@10") < 0);
	assert_text("/cpus/cpu@101", "enable-method", "psci");
}

static void the_interrupt_controller_has_room_for_each(void **state)
{
	(void)state;
	make_full();
	sum_of_tree();
	/* 18 redistributors of 128 KiB end where the distributor begins. */
	CELLS("/interrupt-controller@3fff0000", "reg", 0, 0x3fff0000, 0,
	      0x10000, 0, 0x3fff0000 - 18 * 0x20000, 0, 18 * 0x20000);
	CELLS("/interrupt-controller@3fff0000", "#interrupt-cells", 3);
	CELLS("/", "interrupt-parent", 1);
}

static void caches_are_told_by_level(void **state)
{
	(void)state;
	make_full();
	sum_of_tree();
	CELLS("/cpus/cpu@0", "i-cache-size", 65536);
	CELLS("/cpus/cpu@0", "d-cache-sets", 128);
	CELLS("/cpus/cpu@0/l2-cache", "cache-size", 1 << 20);
	CELLS("/cpus/l3-cache", "cache-line-size", 64);
	CELLS("/cpus/cpu@0", "next-level-cache",
	      fdt_get_phandle(out, node("/cpus/cpu@0/l2-cache")));
	CELLS("/cpus/cpu@1/l2-cache", "next-level-cache",
	      fdt_get_phandle(out, node("/cpus/l3-cache")));
}

static void devices_are_told_with_their_edges(void **state)
{
	(void)state;
	make_full();
	sum_of_tree();
	CELLS("/serial@40001000", "interrupts", 0, 0, 1);
	assert_text("/serial@40001000", "compatible", "ns16550a");
	CELLS("/virtio_mmio@40011000", "reg", 0, 0x40011000, 0, 0x1000);
	CELLS("/virtio_mmio@40011000", "interrupts", 0, 9, 1);
	CELLS("/vmgenid@80000ff0", "reg", 0, 0x80000ff0, 0, 16);
	CELLS("/ptp@80001000", "reg", 0, 0x80001000, 0, 0x1000);
}

static void no_room_is_a_sentence(void **state)
{
	(void)state;
	make_full();
	assert_true(tree_write(&plan, out, 2000, &err) < 0);
	assert_non_null(strstr(err.text, "no room for the device tree"));
}

/* 32 vCPUs, all slots and the longest command line. */
static void the_largest_fits(void **state)
{
	static char words[ARCH_CMDLINE_SIZE];

	(void)state;
	make_full();
	memset(words, 'x', sizeof(words) - 1);
	plan.cmdline = words;
	topology.vcpus = ARCH_VCPUS_MAX;
	while (plan.slot_count < ARCH_SLOTS_MAX)
		add(ARCH_VIRTIO_MMIO,
		    LAYOUT_VIRTIO + plan.slot_count * LAYOUT_SLOT_SIZE,
		    LAYOUT_SLOT_SIZE, 8 + plan.slot_count);
	sum_of_tree();
	assert_quiet_dtc();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(the_bytes_of_the_least_are_known),
		TEST(the_bytes_of_all_there_can_be_are_known),
		TEST(two_threads_of_a_core_are_told),
		TEST(the_boot_is_told),
		TEST(the_power_key_is_told),
		TEST(no_initrd_is_no_property),
		TEST(processors_are_numbered_as_kvm_numbers_them),
		TEST(the_interrupt_controller_has_room_for_each),
		TEST(caches_are_told_by_level),
		TEST(devices_are_told_with_their_edges),
		TEST(no_room_is_a_sentence),
		TEST(the_largest_fits),
	};

	return cmocka_run_group_tests_name("device_tree", tests, NULL, NULL);
}
