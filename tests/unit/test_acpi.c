/*
 * The ACPI tables, read as a guest would (ACPI 6.5): every link, length and
 * checksum, and the AML walked by hand. test_iasl.c shows them to iasl.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/acpi_bench.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

enum { HEADER_BYTES = 36, VIRTIO_MAX = 19 };
enum { FADT_BYTES = 276, AT_SLEEP = 244, AT_SLEEP_STATUS = 256 };

static struct guest_mem mem;
static struct err err;

/* What a walk over the tables found. */
static struct {
	const uint8_t *rsdp, *xsdt, *fadt, *madt, *dsdt;
	unsigned devices, scopes, hids, crs, packages, methods, notes;
} found;

static int mem_setup(void **state)
{
	const struct guest_range ram = {0, 2 << 20};

	(void)state;
	return guest_mem_open(&mem, &ram, 1,
			      &(struct guest_mem_backing){GUEST_MEM_SMALL},
			      NULL);
}

static int mem_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

static uint64_t get(const uint8_t *at, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, at, len);
	return v;
}

static uint8_t sum(const uint8_t *at, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *at++;
	return s;
}

/* A table at gpa: inside the BIOS area, aligned, whole, summing to zero. */
static const uint8_t *table_at(uint64_t gpa, const char *signature)
{
	const uint8_t *t = guest_mem_at(&mem, gpa, HEADER_BYTES);
	uint64_t len;

	assert_true(gpa >= LAYOUT_BIOS + HEADER_BYTES);
	assert_int_equal(gpa % 16, 0);
	assert_non_null(t);
	assert_memory_equal(t, signature, 4);
	len = get(t + 4, 4);
	assert_true(len >= HEADER_BYTES && gpa + len <= LAYOUT_GENERATION);
	assert_int_equal(sum(t, len), 0);
	assert_memory_equal(t + 10, "MAYFLY", 6);
	assert_memory_equal(t + 16, "MICROVM ", 8);
	return t;
}

static void write_and_follow(const struct arch_slot *slots, unsigned count,
			     uint32_t vcpus)
{
	const struct arch_topology topology = {.vcpus = vcpus};
	uint64_t rsdp = 0;

	memset(&found, 0, sizeof(found));
	memset(mem.map + LAYOUT_BIOS, 0, LAYOUT_GENERATION - LAYOUT_BIOS);
	assert_int_equal(acpi_write(&mem, slots, count, &topology, &rsdp, &err),
			 0);
	assert_int_equal(rsdp, LAYOUT_BIOS);
	found.rsdp = guest_mem_at(&mem, rsdp, 36);
	assert_memory_equal(found.rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(found.rsdp, 20), 0);
	assert_int_equal(sum(found.rsdp, 36), 0);
	assert_int_equal(found.rsdp[15], 2);
	assert_int_equal(get(found.rsdp + 16, 4), 0); /* no RSDT */
	assert_int_equal(get(found.rsdp + 20, 4), 36);
	found.xsdt = table_at(get(found.rsdp + 24, 8), "XSDT");
	assert_int_equal(get(found.xsdt + 4, 4), HEADER_BYTES + 2 * 8);
	found.fadt = table_at(get(found.xsdt + 36, 8), "FACP");
	found.madt = table_at(get(found.xsdt + 44, 8), "APIC");
	assert_int_equal(get(found.fadt + 4, 4), FADT_BYTES);
	found.dsdt = table_at(get(found.fadt + 140, 8), "DSDT");
	assert_int_equal(get(found.fadt + 40, 4), get(found.fadt + 140, 8));
}

static void write_machine(unsigned virtio, uint32_t vcpus)
{
	struct arch_slot slots[ARCH_SLOTS_MAX];

	write_and_follow(slots, acpi_slots(slots, virtio), vcpus);
}

/* ---- AML, 20.2: what we write of it, and not a byte more ---------------- */

/* A package length (20.2.4). Gives where the package ends. */
static const uint8_t *package_end(const uint8_t **at, const uint8_t *limit)
{
	const uint8_t *p = *at, *end;
	const unsigned more = *p >> 6;
	uint32_t len = more ? *p & 0xf : *p & 0x3f;
	unsigned i;

	assert_true(more == 0 || (*p & 0x30) == 0);
	for (i = 0; i < more; i++)
		len |= (uint32_t)p[1 + i] << (4 + 8 * i);
	end = p + len;
	*at = p + 1 + more;
	assert_true(end >= *at && end <= limit);
	return end;
}

static uint32_t walk_int(const uint8_t **at)
{
	const uint8_t *p = *at;

	if (*p == 0x0a) {
		*at = p + 2;
		return p[1];
	}
	assert_int_equal(*p, 0x0c);
	*at = p + 5;
	return (uint32_t)get(p + 1, 4);
}

static void check_name(const uint8_t *name)
{
	unsigned i;

	assert_true(name[0] == '_' || (name[0] >= 'A' && name[0] <= 'Z'));
	for (i = 1; i < 4; i++)
		assert_true(name[i] == '_' ||
			    (name[i] >= 'A' && name[i] <= 'Z') ||
			    (name[i] >= '0' && name[i] <= '9'));
}

/* A resource template: whole descriptors, and the end tag last (6.4). */
static void check_template(const uint8_t *p, const uint8_t *end)
{
	while (*p != 0x79) {
		p += *p & 0x80 ? 3 + get(p + 1, 2) : 1U + (*p & 7);
		assert_true(p < end);
	}
	assert_int_equal(end - p, 2);
}

static void walk_object(const uint8_t **at, const uint8_t *limit)
{
	const uint8_t *end;
	uint32_t size;
	unsigned count;

	switch (**at) {
	case 0x0d:
		*at = memchr(*at, 0, (size_t)(limit - *at));
		assert_non_null(*at);
		++*at;
		break;
	case 0x11:
		++*at;
		end = package_end(at, limit);
		size = walk_int(at);
		assert_int_equal(end - *at, size);
		check_template(*at, end);
		*at = end;
		break;
	case 0x12:
		found.packages++;
		++*at;
		end = package_end(at, limit);
		for (count = *(*at)++; count; count--)
			walk_int(at);
		assert_ptr_equal(*at, end);
		break;
	default:
		walk_int(at);
	}
	assert_true(*at <= limit);
}

static const uint8_t *walk_method(const uint8_t *p, const uint8_t *limit)
{
	const uint8_t *end;

	found.methods++;
	p++;
	end = package_end(&p, limit);
	check_name(p);
	assert_int_equal(p[4], 1); /* one argument, 20.2.5.2 */
	for (p += 5; p < end; p += 7) {
		found.notes++;
		assert_int_equal(*p, 0x86);
		check_name(p + 1);
		assert_memory_equal(p + 5, "\x0a\x80", 2);
	}
	assert_ptr_equal(p, end);
	return end;
}

static void walk_terms(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *inner;

	while (p < end) {
		if (*p == 0x08) {
			check_name(++p);
			found.crs += !memcmp(p, "_CRS", 4);
			found.hids += !memcmp(p, "_HID", 4);
			p += 4;
			walk_object(&p, end);
		} else if (*p == 0x10) {
			found.scopes++;
			p++;
			inner = package_end(&p, end);
			assert_memory_equal(p, "\\_SB_", 5);
			walk_terms(p + 5, inner);
			p = inner;
		} else if (*p == 0x14) {
			p = walk_method(p, end);
		} else {
			found.devices++;
			assert_memory_equal(p, "\x5b\x82", 2);
			p += 2;
			inner = package_end(&p, end);
			check_name(p);
			walk_terms(p + 4, inner);
			p = inner;
		}
	}
	assert_ptr_equal(p, end);
}

static size_t dsdt_len(void)
{
	return get(found.dsdt + 4, 4);
}

static bool dsdt_has(const void *bytes, size_t len)
{
	return memmem(found.dsdt, dsdt_len(), bytes, len);
}

/* ---- the tests ----------------------------------------------------------- */

static void tables_are_linked_and_sum_to_zero(void **state)
{
	(void)state;
	write_machine(0, 1);
	write_machine(1, 2);
	write_machine(VIRTIO_MAX, ARCH_VCPUS_MAX);
}

static void tables_do_not_overlap(void **state)
{
	const uint8_t *t[4];
	size_t i, j;

	(void)state;
	write_machine(VIRTIO_MAX, ARCH_VCPUS_MAX);
	t[0] = found.xsdt;
	t[1] = found.fadt;
	t[2] = found.madt;
	t[3] = found.dsdt;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++)
			assert_true(i == j || t[j] >= t[i] + get(t[i] + 4, 4) ||
				    t[i] >= t[j] + get(t[j] + 4, 4));
}

static void nothing_outside_the_tables_area_is_touched(void **state)
{
	size_t i;

	(void)state;
	memset(mem.map, 0x5a, mem.size);
	write_machine(VIRTIO_MAX, ARCH_VCPUS_MAX);
	for (i = 0; i < mem.size; i++)
		if (i < LAYOUT_BIOS || i >= LAYOUT_GENERATION)
			assert_int_equal(mem.map[i], 0x5a);
}

static void the_platform_is_hardware_reduced(void **state)
{
	const uint8_t *f;
	size_t i;

	(void)state;
	write_machine(2, 1);
	f = found.fadt;
	assert_int_equal(f[8], 6);
	assert_int_equal(f[131], 5);
	assert_int_equal(get(f + 36, 4), 0); /* no FACS */
	assert_int_equal(get(f + 132, 8), 0);
	/* 46 to 108: SCI, SMI and the PM blocks; 148 to 243: their long form */
	for (i = 46; i < 109; i++)
		assert_int_equal(f[i], 0);
	for (i = 148; i < AT_SLEEP; i++)
		assert_int_equal(f[i], 0);
	/* An i8042, no VGA, no CMOS clock, and no other ISA device. */
	assert_int_equal(get(f + 109, 2), 1 << 1 | 1 << 2 | 1 << 5);
	/* WBINVD, no buttons, reset register, hardware-reduced. */
	assert_int_equal(get(f + 112, 4),
			 1 << 0 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20);
}

static void the_reset_register_is_the_i8042_s(void **state)
{
	(void)state;
	write_machine(0, 1);
	assert_memory_equal(found.fadt + 116, "\1\10\0\1\x64\0\0\0\0\0\0\0",
			    12);
	assert_int_equal(found.fadt[128], 0xfe);
}

static const struct arch_slot uart = {ARCH_UART,   true, true,
				      LAYOUT_COM1, 8,	 LAYOUT_GSI_COM1};

static void without_an_i8042_nobody_is_sent_to_it(void **state)
{
	static const uint8_t none[13];

	(void)state;
	write_and_follow(&uart, 1, 1);
	assert_false(get(found.fadt + 109, 2) & 1 << 1);
	assert_false(get(found.fadt + 112, 4) & 1 << 10);
	assert_memory_equal(found.fadt + 116, none, sizeof(none));
	assert_false(dsdt_has("PNP0303", 7));
}

static void the_sleep_register_is_told_where_there_is_one(void **state)
{
	static const uint8_t none[24];

	(void)state;
	write_machine(0, 1);
	assert_memory_equal(found.fadt + AT_SLEEP, "\1\10\0\1\0\6\0\0\0\0\0\0",
			    12);
	assert_memory_equal(found.fadt + AT_SLEEP_STATUS,
			    "\1\10\0\1\1\6\0\0\0\0\0\0", 12);
	write_and_follow(&uart, 1, 1);
	assert_memory_equal(found.fadt + AT_SLEEP, none, 24);
}

/* Processors 0 to n - 1, one I/O APIC with the next number, LINT1 as NMI. */
static void every_vcpu_is_a_processor(void **state)
{
	static const uint32_t counts[] = {1, 2, 31, ARCH_VCPUS_MAX};
	const uint8_t *p;
	size_t i;
	uint32_t id;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		write_machine(1, counts[i]);
		p = found.madt;
		assert_int_equal(get(p + 4, 4), 44 + 8 * counts[i] + 12 + 6);
		assert_int_equal(get(p + 36, 4), LAYOUT_LAPIC);
		assert_int_equal(get(p + 40, 4), 0); /* no 8259 */
		for (p += 44, id = 0; id < counts[i]; id++, p += 8) {
			assert_int_equal(get(p, 2), 0x0800);
			assert_int_equal(p[2], id);
			assert_int_equal(p[3], id);
			assert_int_equal(get(p + 4, 4), 1);
		}
		assert_int_equal(get(p, 2), 0x0c01);
		assert_int_equal(p[2], counts[i]);
		assert_int_equal(get(p + 4, 4), LAYOUT_IOAPIC);
		assert_int_equal(get(p + 8, 4), 0);
		assert_memory_equal(p + 12, "\4\6\xff\0\0\1", 6);
	}
}

static void the_aml_is_whole_for_any_number_of_devices(void **state)
{
	unsigned virtio;

	(void)state;
	for (virtio = 0; virtio <= VIRTIO_MAX; virtio++) {
		write_machine(virtio, 1);
		walk_terms(found.dsdt + HEADER_BYTES, found.dsdt + dsdt_len());
		assert_int_equal(found.scopes, 1);
		assert_int_equal(found.packages, 2);
		/*
		 * The UART and the keyboard, and three of the generation, of
		 * which the id is told by a package.
		 */
		assert_int_equal(found.devices, virtio + 5);
		assert_int_equal(found.hids, virtio + 5);
		assert_int_equal(found.crs, virtio + 4);
		assert_int_equal(found.methods, 1);
		assert_int_equal(found.notes, 2);
	}
}

/* Far more than a machine takes, for the third byte of a package length. */
static void a_package_may_be_longer_than_4_kib(void **state)
{
	static struct arch_slot slots[300];
	unsigned i;

	(void)state;
	for (i = 0; i < 300; i++)
		slots[i] = (struct arch_slot){.kind = ARCH_VIRTIO_MMIO};
	write_and_follow(slots, 300, 1);
	assert_true(dsdt_len() > 8192);
	walk_terms(found.dsdt + HEADER_BYTES, found.dsdt + dsdt_len());
	assert_int_equal(found.devices, 300);
}

static void a_machine_without_devices_has_tables_too(void **state)
{
	(void)state;
	write_and_follow(NULL, 0, 1);
	walk_terms(found.dsdt + HEADER_BYTES, found.dsdt + dsdt_len());
	assert_int_equal(found.devices, 0);
	assert_int_equal(found.scopes, 1);
}

static void each_virtio_device_is_told_with_its_place(void **state)
{
	uint8_t want[32];
	char name[5];
	struct cursor c;
	uint32_t i;

	(void)state;
	write_machine(VIRTIO_MAX, 1);
	assert_true(dsdt_has("_HID\x0dLNRO0005", 14));
	for (i = 0; i < VIRTIO_MAX; i++) {
		snprintf(name, sizeof(name), "V%03X", i);
		assert_true(dsdt_has(name, 4));
		assert_true(dsdt_has("\x08_CCA\x0a\1", 7));
		c = cursor_over(want, sizeof(want));
		cursor_put(&c, "\x86\x09\0\1", 4);
		cursor_put32(&c, 0xc0001000 + i * 0x1000);
		cursor_put32(&c, 0x1000);
		cursor_put(&c, "\x89\6\0\3\1", 5);
		cursor_put32(&c, 5 + i);
		assert_true(dsdt_has(want, c.at));
	}
}

static void the_uart_and_s5_are_told(void **state)
{
	(void)state;
	write_machine(0, 1);
	assert_true(dsdt_has("COM1\x08_HID\x0dPNP0501", 18));
	/* Ports 0x3f8 to 0x3ff, interrupt 4. */
	assert_true(dsdt_has("\x47\1\xf8\3\xf8\3\1\10", 8));
	assert_true(dsdt_has("\x89\6\0\3\1\4\0\0\0", 9));
	/* devices/power.c turns off at sleep type 5. */
	assert_true(dsdt_has("_S5_\x12", 5));
	assert_true(dsdt_has("\4\x0a\5\x0a\0\x0a\0\x0a\0", 9));
	assert_false(dsdt_has("LNRO0005", 8));
}

/*
 * Data port first, command port second, as Linux's i8042 driver takes them,
 * and the interrupt without which it hears no Ctrl-Alt-Del.
 */
static void the_keyboard_is_told_with_its_interrupt(void **state)
{
	static const char crs[] = "\x47\1\x60\0\x60\0\1\1"
				  "\x47\1\x64\0\x64\0\1\1"
				  "\x89\6\0\3\1\1\0\0\0\x79";

	(void)state;
	write_machine(0, 1);
	assert_true(dsdt_has("KBD_\x08_HID\x0dPNP0303", 18));
	assert_true(dsdt_has(crs, sizeof(crs) - 1));
}

/*
 * The id by a package with the two halves of its address, the clock by a
 * resource; both are notified by the interrupt of the event device.
 */
static void the_generation_is_told_with_its_places(void **state)
{
	static const char id[] = "VGEN\x08_HID\x0dMFLY0001\0"
				 "\x08_CID\x0dVM_Gen_Counter\0"
				 "\x08_DDN\x0dVM_Gen_Counter\0"
				 "\x08"
				 "ADDR\x12\x8b\0\0\2\x0c\xf0\xef\x0e\0\x0a";
	static const char clock[] = "VCLK\x08_HID\x0d"
				    "AMZNC10C\0\x08_CID\x0dVMCLOCK";
	static const char page[] = "\x86\x09\0\1\0\xf0\x0e\0\0\x10\0";
	static const char event[] = "GED_\x08_HID\x0d"
				    "ACPI0013";
	static const char method[] = "_EVT\1\x86VGEN\x0a\x80\x86VCLK\x0a";

	(void)state;
	write_machine(0, 1);
	assert_true(dsdt_has(id, sizeof(id)));
	assert_true(dsdt_has(clock, sizeof(clock)));
	assert_true(dsdt_has(page, sizeof(page)));
	assert_true(dsdt_has(event, sizeof(event)));
	assert_true(dsdt_has("\x89\6\0\3\1\3\0\0\0\x79", 10));
	assert_true(dsdt_has(method, sizeof(method) - 1));
	write_and_follow(&uart, 1, 1);
	assert_false(dsdt_has("ACPI0013", 8));
}

static void a_machine_without_low_memory_is_refused(void **state)
{
	const struct arch_topology topology = {.vcpus = 1};
	const struct guest_range tiny = {0, 0xee000};
	struct guest_mem small;
	uint64_t rsdp = 77;

	(void)state;
	assert_int_equal(
		guest_mem_open(&small, &tiny, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	assert_int_equal(acpi_write(&small, NULL, 0, &topology, &rsdp, &err),
			 -EFAULT);
	assert_int_equal(rsdp, 77);
	guest_mem_close(&small);
}

static void more_devices_than_fit_are_refused(void **state)
{
	enum { TOO_MANY = 2500 };
	struct arch_slot *slots = calloc(TOO_MANY, sizeof(*slots));
	const struct arch_topology topology = {.vcpus = 1};
	uint64_t rsdp = 77;
	unsigned i;

	(void)state;
	assert_non_null(slots);
	memset(mem.map, 0x5a, mem.size);
	for (i = 0; i < TOO_MANY; i++)
		slots[i].kind = ARCH_VIRTIO_MMIO;
	assert_int_equal(
		acpi_write(&mem, slots, TOO_MANY, &topology, &rsdp, &err),
		-ENOSPC);
	assert_int_equal(rsdp, 77);
	for (i = 0; i < 4096; i++)
		assert_int_equal(mem.map[LAYOUT_GENERATION + i], 0x5a);
	free(slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_linked_and_sum_to_zero),
		cmocka_unit_test(tables_do_not_overlap),
		cmocka_unit_test(nothing_outside_the_tables_area_is_touched),
		cmocka_unit_test(the_platform_is_hardware_reduced),
		cmocka_unit_test(the_reset_register_is_the_i8042_s),
		cmocka_unit_test(without_an_i8042_nobody_is_sent_to_it),
		cmocka_unit_test(the_sleep_register_is_told_where_there_is_one),
		cmocka_unit_test(every_vcpu_is_a_processor),
		cmocka_unit_test(the_aml_is_whole_for_any_number_of_devices),
		cmocka_unit_test(a_package_may_be_longer_than_4_kib),
		cmocka_unit_test(a_machine_without_devices_has_tables_too),
		cmocka_unit_test(each_virtio_device_is_told_with_its_place),
		cmocka_unit_test(the_uart_and_s5_are_told),
		cmocka_unit_test(the_keyboard_is_told_with_its_interrupt),
		cmocka_unit_test(the_generation_is_told_with_its_places),
		cmocka_unit_test(a_machine_without_low_memory_is_refused),
		cmocka_unit_test(more_devices_than_fit_are_refused),
	};

	return cmocka_run_group_tests_name("acpi", tests, mem_setup,
					   mem_teardown);
}
