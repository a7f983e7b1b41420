/*
 * What a kernel reads first: the memory map, the zero page, PVH's start_info,
 * and arch_load(), which puts all of it together.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/kernel_file.h"
#include "vmm/arch/x86_64/bootparams.h"
#include "vmm/arch/x86_64/e820.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/pvh.h"
#include "vmm/arch/x86_64/x86.h"

#define MIB (1ULL << 20)

static struct guest_mem mem;
static struct kernel_file file;
static struct err err;

static void mem_open(uint64_t mem_bytes)
{
	struct guest_range ranges[GUEST_MEM_REGIONS_MAX];
	const unsigned count = arch_ranges(mem_bytes, ranges);

	memset(&err, 0, sizeof(err));
	if (guest_mem_open(&mem, ranges, count,
			   &(struct guest_mem_backing){GUEST_MEM_SMALL}, &err))
		fail_msg("%s", err.text);
}

static int mem_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

static uint64_t get(uint64_t gpa, size_t len)
{
	uint64_t v = 0;

	assert_int_equal(guest_mem_read(&mem, gpa, &v, len), 0);
	return v;
}

/* ---- the memory map ------------------------------------------------------ */

static void has_map(uint64_t mem_bytes, const struct e820_range *want,
		    unsigned count)
{
	struct e820_range got[E820_MAX];
	uint64_t ram = 0, end = 0;
	unsigned i;

	mem_open(mem_bytes);
	assert_int_equal(e820_list(&mem, got), count);
	for (i = 0; i < count; i++) {
		assert_int_equal(got[i].gpa, want[i].gpa);
		assert_int_equal(got[i].size, want[i].size);
		assert_int_equal(got[i].type, want[i].type);
		/* Ascending, apart, and memory all of it. */
		assert_true(got[i].gpa >= end);
		end = got[i].gpa + got[i].size;
		assert_non_null(guest_mem_at(&mem, got[i].gpa, got[i].size));
		if (got[i].type == E820_RAM)
			ram += got[i].size;
	}
	/* Only the firmware's area below 1 MiB is missing. */
	assert_int_equal(mem_bytes - ram, LAYOUT_HIGH_RAM - LAYOUT_EBDA);
	guest_mem_close(&mem);
}

static void the_memory_map_of_128_mib(void **state)
{
	const struct e820_range want[] = {
		{0, 0x9fc00, E820_RAM},
		{0x9fc00, 0x400, E820_RESERVED},
		{0xe0000, 0x20000, E820_RESERVED},
		{0x100000, 127 * MIB, E820_RAM},
	};

	(void)state;
	has_map(128 * MIB, want, 4);
}

static void the_memory_map_of_3_gib_meets_the_hole(void **state)
{
	const struct e820_range want[] = {
		{0, 0x9fc00, E820_RAM},
		{0x9fc00, 0x400, E820_RESERVED},
		{0xe0000, 0x20000, E820_RESERVED},
		{0x100000, 3071 * MIB, E820_RAM},
	};

	(void)state;
	has_map(3072 * MIB, want, 4);
}

static void the_memory_map_of_5_gib_goes_on_behind_it(void **state)
{
	const struct e820_range want[] = {
		{0, 0x9fc00, E820_RAM},
		{0x9fc00, 0x400, E820_RESERVED},
		{0xe0000, 0x20000, E820_RESERVED},
		{0x100000, 3071 * MIB, E820_RAM},
		{0x100000000, 2048 * MIB, E820_RAM},
	};

	(void)state;
	has_map(5120 * MIB, want, 5);
}

static void one_mebibyte_above_3_gib_is_one_behind_the_hole(void **state)
{
	struct guest_range ranges[GUEST_MEM_REGIONS_MAX];

	(void)state;
	assert_int_equal(arch_ranges(3073 * MIB, ranges), 2);
	assert_int_equal(ranges[0].size, LAYOUT_HOLE);
	assert_int_equal(ranges[1].gpa, LAYOUT_HOLE_END);
	assert_int_equal(ranges[1].size, MIB);
	assert_int_equal(arch_ranges(3072 * MIB, ranges), 1);
}

/* ---- the zero page, by the offsets of zero-page.rst ---------------------- */

enum {
	AT_RSDP = 0x70,
	AT_E820_COUNT = 0x1e8,
	AT_HEADER = 0x1f1,
	AT_BOOT_FLAG = 0x1fe,
	AT_MAGIC = 0x202,
	AT_LOADER = 0x210,
	AT_RAMDISK = 0x218,
	AT_RAMDISK_SIZE = 0x21c,
	AT_CMDLINE = 0x228,
	AT_ALIGNMENT = 0x230,
	AT_E820 = 0x2d0,
};

static const struct load_plan plan = {
	.initrd_gpa = 0x7000000,
	.initrd_size = 0x123456,
	.cmdline_gpa = LAYOUT_CMDLINE,
	.cmdline_size = 21,
	.rsdp_gpa = LAYOUT_BIOS,
};

static uint64_t zero_page(unsigned at, size_t len)
{
	return get(LAYOUT_ZERO_PAGE + at, len);
}

static void check_zero_page(void)
{
	struct e820_range ranges[E820_MAX];
	unsigned i, count = e820_list(&mem, ranges);

	assert_int_equal(zero_page(AT_BOOT_FLAG, 2), 0xaa55);
	assert_int_equal(zero_page(AT_MAGIC, 4), 0x53726448);
	assert_int_equal(zero_page(AT_LOADER, 1), 0xff);
	assert_int_equal(zero_page(AT_CMDLINE, 4), plan.cmdline_gpa);
	assert_int_equal(zero_page(AT_RAMDISK, 4), plan.initrd_gpa);
	assert_int_equal(zero_page(AT_RAMDISK_SIZE, 4), plan.initrd_size);
	assert_int_equal(zero_page(AT_RSDP, 8), plan.rsdp_gpa);
	assert_int_equal(zero_page(AT_E820_COUNT, 1), count);
	for (i = 0; i < count; i++) {
		const unsigned at = AT_E820 + 20 * i;

		assert_int_equal(zero_page(at, 8), ranges[i].gpa);
		assert_int_equal(zero_page(at + 8, 8), ranges[i].size);
		assert_int_equal(zero_page(at + 16, 4), ranges[i].type);
	}
	/* Entries beyond the count are empty. */
	assert_int_equal(zero_page(AT_E820 + 20 * count, 8), 0);
}

static void an_elf_kernel_gets_a_minimal_header(void **state)
{
	const struct kernel_image kernel = {.entry = 0x1000000};

	(void)state;
	mem_open(5120 * MIB);
	memset(guest_mem_at(&mem, LAYOUT_ZERO_PAGE, 4096), 0x5a, 4096);
	assert_int_equal(bootparams_write(&mem, &kernel, &plan, &err), 0);
	check_zero_page();
	assert_int_equal(zero_page(AT_ALIGNMENT, 4), 1 << 24);
	assert_int_equal(zero_page(AT_HEADER, 1), 0);
}

static void a_bzimage_keeps_its_header(void **state)
{
	struct kernel_image kernel = {.header_len = 0x26c - AT_HEADER};

	(void)state;
	mem_open(128 * MIB);
	kernel_file_bzimage(&file);
	kernel_file_setup(&file)->kernel_alignment = 0x200000;
	memcpy(kernel.header, kernel_file_setup(&file), kernel.header_len);
	memset(guest_mem_at(&mem, LAYOUT_ZERO_PAGE, 4096), 0x5a, 4096);
	assert_int_equal(bootparams_write(&mem, &kernel, &plan, &err), 0);
	check_zero_page();
	assert_int_equal(zero_page(AT_ALIGNMENT, 4), 0x200000);
	assert_int_equal(zero_page(AT_HEADER, 1), 2); /* setup sectors */
	assert_int_equal(zero_page(0x206, 2), 0x020f);
	assert_int_equal(zero_page(0x258, 8), KERNEL_FILE_PREF_GPA);
}

static void a_header_of_any_length_stays_a_header(void **state)
{
	struct kernel_image kernel;
	size_t len;

	(void)state;
	mem_open(128 * MIB);
	for (len = 1; len <= sizeof(kernel.header); len++) {
		memset(&kernel, 0xcc, sizeof(kernel));
		kernel.header_len = len;
		assert_int_equal(bootparams_write(&mem, &kernel, &plan, &err),
				 0);
		check_zero_page();
		/* What follows the header is not the file's to fill. */
		assert_int_equal(zero_page(0x290, 8), 0);
		assert_int_equal(zero_page(0x1e9, 8), 0);
	}
}

/* ---- start_info, by the offsets of Xen's start_info.h ---------------------
 */

static void check_start_info(bool has_initrd)
{
	const uint64_t info = LAYOUT_PVH_INFO;
	const uint64_t modules = get(info + 16, 8), map = get(info + 40, 8);
	struct e820_range ranges[E820_MAX];
	unsigned i, count = e820_list(&mem, ranges);

	assert_int_equal(get(info, 4), 0x336ec578);
	assert_int_equal(get(info + 4, 4), 1);
	assert_int_equal(get(info + 8, 4), 0);
	assert_int_equal(get(info + 12, 4), has_initrd);
	assert_int_equal(get(info + 24, 8), LAYOUT_CMDLINE);
	assert_int_equal(get(info + 48, 4), count);
	assert_int_equal(get(info + 52, 4), 0);
	for (i = 0; i < count; i++) {
		assert_int_equal(get(map + 24 * i, 8), ranges[i].gpa);
		assert_int_equal(get(map + 24 * i + 8, 8), ranges[i].size);
		assert_int_equal(get(map + 24 * i + 16, 4), ranges[i].type);
		assert_int_equal(get(map + 24 * i + 20, 4), 0);
	}
	assert_true(map + 24 * count <= LAYOUT_ZERO_PAGE);
	if (!has_initrd) {
		assert_int_equal(modules, 0);
		return;
	}
	assert_true(modules >= info + 56 && modules + 32 <= map);
	assert_int_equal(get(modules + 16, 8), 0);
	assert_int_equal(get(modules + 24, 8), 0);
}

static void start_info_tells_the_initrd_and_the_map(void **state)
{
	uint64_t modules;

	(void)state;
	mem_open(5120 * MIB);
	memset(guest_mem_at(&mem, LAYOUT_PVH_INFO, 4096), 0x5a, 4096);
	assert_int_equal(pvh_write(&mem, &plan, &err), 0);
	check_start_info(true);
	assert_int_equal(get(LAYOUT_PVH_INFO + 32, 8), LAYOUT_BIOS);
	modules = get(LAYOUT_PVH_INFO + 16, 8);
	assert_int_equal(get(modules, 8), plan.initrd_gpa);
	assert_int_equal(get(modules + 8, 8), plan.initrd_size);
}

static void start_info_without_an_initrd_has_no_module(void **state)
{
	const struct load_plan bare = {.cmdline_gpa = LAYOUT_CMDLINE};

	(void)state;
	mem_open(128 * MIB);
	assert_int_equal(pvh_write(&mem, &bare, &err), 0);
	check_start_info(false);
	assert_int_equal(get(LAYOUT_PVH_INFO + 32, 8), 0);
}

static void without_low_memory_nothing_is_written(void **state)
{
	const struct guest_range tiny = {0, 0x6000};
	const struct kernel_image kernel = {0};

	(void)state;
	assert_int_equal(
		guest_mem_open(&mem, &tiny, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	assert_int_equal(pvh_write(&mem, &plan, &err), -EFAULT);
	assert_int_equal(bootparams_write(&mem, &kernel, &plan, &err), -EFAULT);
	assert_true(err.text[0]);
}

/* ---- arch_load() --------------------------------------------------------- */

static struct boot_entry entry;
static uint32_t vcpus = 2;

/* Loads the file, with two virtio devices, into 16 MiB. */
static int load(const char *cmdline, int initrd_fd)
{
	struct arch arch = {.topology.vcpus = vcpus, .slot_count = 3};
	struct boot_source source = {
		.kernel_fd = kernel_file_open(&file),
		.kernel_path = "k",
		.initrd_fd = initrd_fd,
		.initrd_path = "i",
		.cmdline = cmdline,
	};
	int rc;

	arch.slots[0] = (struct arch_slot){ARCH_VIRTIO_MMIO, false,  true,
					   0xc0001000,	     0x1000, 5};
	arch.slots[1] = (struct arch_slot){ARCH_UART, true, true, 0x3f8, 8, 4};
	arch.slots[2] = (struct arch_slot){ARCH_VIRTIO_MMIO, false,  true,
					   0xc0002000,	     0x1000, 6};
	assert_true(source.kernel_fd > 0);
	if (!mem.map)
		mem_open(16 * MIB);
	memset(mem.map, 0, mem.size);
	memset(&err, 0, sizeof(err));
	memset(&entry, 0, sizeof(entry));
	rc = arch_load(&arch, &mem, &source, &entry, &err);
	close(source.kernel_fd);
	return rc;
}

/* The synthetic kernels stand low; a machine's begin at 1 MiB. */
static void make_elf(void)
{
	const uint32_t pvh_entry = KERNEL_FILE_PVH_ENTRY + LAYOUT_HIGH_RAM;

	kernel_file_elf(&file);
	kernel_file_ehdr(&file)->e_entry += LAYOUT_HIGH_RAM;
	kernel_file_phdr(&file, KERNEL_FILE_TEXT)->p_paddr += LAYOUT_HIGH_RAM;
	kernel_file_phdr(&file, KERNEL_FILE_DATA)->p_paddr += LAYOUT_HIGH_RAM;
	memcpy(kernel_file_notes(&file) + 16, &pvh_entry, 4);
}

static const char cmdline_want[] = "quiet virtio_mmio.device=4K@0xc0001000:5 "
				   "virtio_mmio.device=4K@0xc0002000:6 -- x";

static void a_pvh_kernel_is_entered_with_start_info(void **state)
{
	(void)state;
	make_elf();
	assert_int_equal(load("quiet -- x", -1), 0);
	assert_int_equal(entry.protocol, BOOT_PVH);
	assert_int_equal(entry.entry, KERNEL_FILE_PVH_ENTRY + LAYOUT_HIGH_RAM);
	assert_int_equal(entry.argument, LAYOUT_PVH_INFO);
	check_start_info(false);
	assert_int_equal(get(LAYOUT_PVH_INFO + 32, 8), LAYOUT_BIOS);
	assert_string_equal((char *)mem.map + LAYOUT_CMDLINE, cmdline_want);
	assert_memory_equal(mem.map + LAYOUT_BIOS, "RSD PTR ", 8);
	assert_memory_equal(mem.map + LAYOUT_EBDA, "_MP_", 4);
}

static void an_initrd_is_told_in_start_info(void **state)
{
	struct kernel_file initrd = {.bytes = "070701", .len = 5000};
	int fd = kernel_file_open(&initrd);
	uint64_t modules;

	(void)state;
	assert_true(fd > 0);
	make_elf();
	assert_int_equal(load("", fd), 0);
	close(fd);
	check_start_info(true);
	modules = get(LAYOUT_PVH_INFO + 16, 8);
	assert_int_equal(get(modules, 8), 16 * MIB - 8192);
	assert_int_equal(get(modules + 8, 8), 5000);
	assert_memory_equal(mem.map + 16 * MIB - 8192, "070701", 6);
}

static void an_elf_kernel_without_pvh_is_entered_in_64_bits(void **state)
{
	(void)state;
	make_elf();
	kernel_file_phdr(&file, KERNEL_FILE_NOTE)->p_type = PT_NULL;
	assert_int_equal(load("quiet -- x", -1), 0);
	assert_int_equal(entry.protocol, BOOT_LINUX64);
	assert_int_equal(entry.entry, KERNEL_FILE_ENTRY + LAYOUT_HIGH_RAM);
	assert_int_equal(entry.argument, LAYOUT_ZERO_PAGE);
	assert_int_equal(zero_page(AT_CMDLINE, 4), LAYOUT_CMDLINE);
	assert_int_equal(zero_page(AT_RAMDISK, 4), 0);
	assert_string_equal((char *)mem.map + LAYOUT_CMDLINE, cmdline_want);
}

/* boot.rst: code at 0x10, data at 0x18, the first memory mapped to itself. */
static void a_bzimage_is_entered_in_64_bits_with_tables(void **state)
{
	unsigned i;

	(void)state;
	kernel_file_bzimage(&file);
	kernel_file_setup(&file)->pref_address = 2 * MIB;
	assert_int_equal(load("", -1), 0);
	assert_int_equal(entry.protocol, BOOT_LINUX64);
	assert_int_equal(entry.entry, 2 * MIB + 0x200);
	assert_int_equal(zero_page(AT_HEADER, 1), 2);
	assert_int_equal(get(LAYOUT_GDT + 0x10, 8), 0x00af9b000000ffff);
	assert_int_equal(get(LAYOUT_GDT + 0x18, 8), 0x00cf93000000ffff);
	assert_int_equal(get(LAYOUT_PML4, 8), LAYOUT_PDPT | 3);
	assert_int_equal(get(LAYOUT_PDPT, 8), LAYOUT_PD | 3);
	for (i = 0; i < 512; i++)
		assert_int_equal(get(LAYOUT_PD + 8 * i, 8), 2 * MIB * i | 0x83);
}

static void with_acpi_off_there_is_none(void **state)
{
	(void)state;
	make_elf();
	assert_int_equal(load("quiet acpi=off", -1), 0);
	assert_int_equal(get(LAYOUT_PVH_INFO + 32, 8), 0);
	assert_int_equal(get(LAYOUT_BIOS, 8), 0);
	assert_memory_equal(mem.map + LAYOUT_EBDA, "_MP_", 4);
	/* To init it says nothing about the kernel. */
	assert_int_equal(load("quiet -- acpi=off", -1), 0);
	assert_int_equal(get(LAYOUT_PVH_INFO + 32, 8), LAYOUT_BIOS);
}

static void a_kernel_in_our_memory_is_refused(void **state)
{
	(void)state;
	kernel_file_elf(&file);
	assert_int_equal(load("", -1), -ENOEXEC);
	assert_string_equal(err.text, "the kernel k has a segment at 0x20000; "
				      "below 0xf0000 is not free");
}

/* As linkers do it whom no script keeps from it. */
static void headers_in_front_of_a_kernel_are_loaded(void **state)
{
	(void)state;
	make_elf();
	kernel_file_phdr(&file, KERNEL_FILE_DATA)->p_paddr = 0xff000;
	assert_int_equal(load("", -1), 0);
	assert_memory_equal(
		mem.map + 0xff000,
		file.bytes +
			kernel_file_phdr(&file, KERNEL_FILE_DATA)->p_offset,
		KERNEL_FILE_DATA_BYTES);
	kernel_file_phdr(&file, KERNEL_FILE_DATA)->p_paddr = 0xef000;
	assert_int_equal(load("", -1), -ENOEXEC);
	assert_string_equal(err.text, "the kernel k has a segment at 0xef000; "
				      "below 0xf0000 is not free");
}

/* What entry.c maps ends at 1 GiB, what 32 bits reach at 4 GiB. */
static void a_kernel_beyond_its_entry_s_reach_is_refused(void **state)
{
	const struct guest_range ranges[] = {{0, 16 * MIB},
					     {1024 * MIB, 16 * MIB}};

	(void)state;
	assert_int_equal(
		guest_mem_open(&mem, ranges, 2,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	make_elf();
	kernel_file_phdr(&file, KERNEL_FILE_NOTE)->p_type = PT_NULL;
	kernel_file_phdr(&file, KERNEL_FILE_TEXT)->p_paddr = 1024 * MIB;
	kernel_file_ehdr(&file)->e_entry = 1024 * MIB;
	assert_int_equal(load("", -1), -ENOEXEC);
	assert_string_equal(err.text,
			    "the kernel k has its entry at 0x40000000; below "
			    "0x40000000 is where it can be entered");
	assert_int_equal(get(LAYOUT_ZERO_PAGE + AT_CMDLINE, 4), 0);
}

static void what_fails_on_the_way_is_told(void **state)
{
	struct kernel_file empty = {.len = 0};
	int fd = kernel_file_open(&empty);

	(void)state;
	make_elf();
	assert_int_equal(load("", fd), -ENODATA);
	assert_string_equal(err.text, "the initrd i is empty");
	close(fd);
	assert_int_equal(load("a\nb", -1), -EINVAL);
	vcpus = 255;
	assert_int_equal(load("acpi=off", -1), -ENOSPC);
	assert_non_null(strstr(err.text, "MP table"));
	vcpus = 2;
	file.bytes[0] = 'x';
	assert_int_equal(load("", -1), -ENOEXEC);
}

static void a_long_command_line_is_refused(void **state)
{
	static char line[2048];

	(void)state;
	make_elf();
	memset(line, 'x', sizeof(line) - 1);
	assert_int_equal(load(line, -1), -E2BIG);
	/* Room for one device of two. */
	line[2047 - 50] = 0;
	assert_int_equal(load(line, -1), -E2BIG);
	line[2047 - 70] = 0;
	assert_int_equal(load(line, -1), 0);
	assert_int_equal(strlen((char *)mem.map + LAYOUT_CMDLINE), 2047);
}

int main(void)
{
#define ON_MEM(f) cmocka_unit_test_teardown(f, mem_teardown)
	const struct CMUnitTest tests[] = {
		ON_MEM(the_memory_map_of_128_mib),
		ON_MEM(the_memory_map_of_3_gib_meets_the_hole),
		ON_MEM(the_memory_map_of_5_gib_goes_on_behind_it),
		ON_MEM(one_mebibyte_above_3_gib_is_one_behind_the_hole),
		ON_MEM(an_elf_kernel_gets_a_minimal_header),
		ON_MEM(a_bzimage_keeps_its_header),
		ON_MEM(a_header_of_any_length_stays_a_header),
		ON_MEM(start_info_tells_the_initrd_and_the_map),
		ON_MEM(start_info_without_an_initrd_has_no_module),
		ON_MEM(without_low_memory_nothing_is_written),
		ON_MEM(a_pvh_kernel_is_entered_with_start_info),
		ON_MEM(an_initrd_is_told_in_start_info),
		ON_MEM(an_elf_kernel_without_pvh_is_entered_in_64_bits),
		ON_MEM(a_bzimage_is_entered_in_64_bits_with_tables),
		ON_MEM(with_acpi_off_there_is_none),
		ON_MEM(a_kernel_in_our_memory_is_refused),
		ON_MEM(headers_in_front_of_a_kernel_are_loaded),
		ON_MEM(a_kernel_beyond_its_entry_s_reach_is_refused),
		ON_MEM(what_fails_on_the_way_is_told),
		ON_MEM(a_long_command_line_is_refused),
	};

	return cmocka_run_group_tests_name("bootpage", tests, NULL, NULL);
}
