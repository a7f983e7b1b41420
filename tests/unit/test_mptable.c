/* The MP table, read as a kernel without ACPI would (Intel MP 1.4, 4). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/mptable.h"

enum { POINTER_BYTES = 16, HEADER_BYTES = 44 };

static struct guest_mem mem;
static struct err err;

static int mem_setup(void **state)
{
	const struct guest_range ram = {0, 1 << 20};

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

/* Writes a table and gives its header, found by the pointer as a guest does. */
static const uint8_t *write_table(uint32_t vcpus)
{
	const struct arch_topology topology = {.vcpus = vcpus};
	const uint8_t *p, *t = NULL;
	uint64_t at;

	/* A dirty area: the writer may not count on zeroes. */
	memset(mem.map, 0x5a, mem.size);
	assert_int_equal(mptable_write(&mem, &topology, &err), 0);
	for (at = LAYOUT_EBDA; at < LAYOUT_EBDA_END && !t; at += 16) {
		p = mem.map + at;
		if (memcmp(p, "_MP_", 4) != 0)
			continue;
		assert_int_equal(p[8], POINTER_BYTES / 16);
		assert_int_equal(sum(p, POINTER_BYTES), 0);
		assert_int_equal(p[9], 4); /* MP 1.4 */
		/* Feature bytes: a table, and no PIC mode. */
		assert_int_equal(get(p + 11, 5), 0);
		t = guest_mem_at(&mem, get(p + 4, 4), HEADER_BYTES);
	}
	assert_non_null(t);
	return t;
}

static void the_header_is_whole_for_any_number_of_vcpus(void **state)
{
	uint32_t vcpus;

	(void)state;
	for (vcpus = 1; vcpus <= ARCH_VCPUS_MAX; vcpus++) {
		const uint8_t *t = write_table(vcpus);
		const size_t len = get(t + 4, 2);

		assert_memory_equal(t, "PCMP", 4);
		assert_int_equal(len, HEADER_BYTES + 20 * vcpus + 8 + 8 +
					      8 * LAYOUT_PINS + 2 * 8);
		assert_int_equal(sum(t, len), 0);
		assert_int_equal(t[6], 4);
		assert_memory_equal(t + 8, "MAYFLY  microVM     ", 20);
		assert_int_equal(get(t + 28, 6), 0); /* no OEM table */
		assert_int_equal(get(t + 34, 2), vcpus + 28);
		assert_int_equal(get(t + 36, 4), LAYOUT_LAPIC);
		assert_int_equal(get(t + 40, 4), 0);
		assert_true(t + len <= mem.map + LAYOUT_EBDA_END);
	}
}

/* The entries come sorted by type, and their sizes add up to the length. */
static void the_entries_fill_the_table(void **state)
{
	static const uint32_t counts[] = {1, 2, 17, ARCH_VCPUS_MAX};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const uint8_t *t = write_table(counts[i]);
		const uint8_t *p = t + HEADER_BYTES, *end = t + get(t + 4, 2);
		unsigned of_type[5] = {0}, last = 0, total = 0;

		while (p < end) {
			assert_true(*p < 5 && *p >= last);
			last = *p;
			of_type[*p]++;
			total++;
			p += *p ? 8 : 20;
		}
		assert_ptr_equal(p, end);
		assert_int_equal(total, get(t + 34, 2));
		assert_int_equal(of_type[0], counts[i]);
		assert_int_equal(of_type[1], 1);
		assert_int_equal(of_type[2], 1);
		assert_int_equal(of_type[3], LAYOUT_PINS);
		assert_int_equal(of_type[4], 2);
	}
}

static void the_first_vcpu_boots(void **state)
{
	const uint8_t *p = write_table(ARCH_VCPUS_MAX) + HEADER_BYTES;
	uint32_t id;

	(void)state;
	for (id = 0; id < ARCH_VCPUS_MAX; id++, p += 20) {
		assert_int_equal(p[0], 0);
		assert_int_equal(p[1], id);
		assert_int_equal(p[2], 0x14);
		assert_int_equal(p[3],
				 id ? 1 : 3); /* enabled; the first boots */
		/* Eight reserved bytes at the end are zero. */
		assert_int_equal(get(p + 12, 8), 0);
	}
}

static void the_io_apic_comes_after_the_last_vcpu(void **state)
{
	const uint8_t *p = write_table(4) + HEADER_BYTES + 4 * 20;
	unsigned pin;

	(void)state;
	assert_memory_equal(p, "\1\0ISA   ", 8);
	p += 8;
	assert_memory_equal(p, "\2\4\x11\1", 4);
	assert_int_equal(get(p + 4, 4), LAYOUT_IOAPIC);
	/* Each pin is the ISA line of its number, an edge. */
	for (pin = 0, p += 8; pin < LAYOUT_PINS; pin++, p += 8) {
		assert_int_equal(get(p, 4), 3);
		assert_int_equal(p[4], 0);
		assert_int_equal(p[5], pin);
		assert_int_equal(p[6], 4);
		assert_int_equal(p[7], pin);
	}
	/* LINT0 of the first is the external interrupt, LINT1 of all NMI. */
	assert_memory_equal(p, "\4\3\0\0\0\0\0\0", 8);
	assert_memory_equal(p + 8, "\4\1\0\0\0\0\xff\1", 8);
}

static void nothing_outside_the_ebda_is_touched(void **state)
{
	size_t i;

	(void)state;
	write_table(ARCH_VCPUS_MAX);
	for (i = 0; i < mem.size; i++)
		if (i < LAYOUT_EBDA || i >= LAYOUT_EBDA_END)
			assert_int_equal(mem.map[i], 0x5a);
}

static void more_vcpus_than_fit_are_refused(void **state)
{
	static const uint32_t counts[] = {38, 64, 255, 1 << 20};
	struct arch_topology topology = {.vcpus = 37};
	size_t i;

	(void)state;
	/* 16 + 44 + 37 * 20 + 224 is the whole area. */
	assert_int_equal(mptable_write(&mem, &topology, &err), 0);
	memset(mem.map, 0x5a, mem.size);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		topology.vcpus = counts[i];
		assert_int_equal(mptable_write(&mem, &topology, &err), -ENOSPC);
		assert_non_null(strstr(err.text, "vCPUs"));
	}
	for (i = LAYOUT_EBDA_END; i < mem.size; i++)
		assert_int_equal(mem.map[i], 0x5a);
}

static void a_machine_without_low_memory_is_refused(void **state)
{
	const struct guest_range tiny = {0, LAYOUT_EBDA_END - 0x1000};
	const struct arch_topology topology = {.vcpus = 1};
	struct guest_mem small;

	(void)state;
	assert_int_equal(
		guest_mem_open(&small, &tiny, 1,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       NULL),
		0);
	assert_int_equal(mptable_write(&small, &topology, &err), -EFAULT);
	guest_mem_close(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_whole_for_any_number_of_vcpus),
		cmocka_unit_test(the_entries_fill_the_table),
		cmocka_unit_test(the_first_vcpu_boots),
		cmocka_unit_test(the_io_apic_comes_after_the_last_vcpu),
		cmocka_unit_test(nothing_outside_the_ebda_is_touched),
		cmocka_unit_test(more_vcpus_than_fit_are_refused),
		cmocka_unit_test(a_machine_without_low_memory_is_refused),
	};

	return cmocka_run_group_tests_name("mptable", tests, mem_setup,
					   mem_teardown);
}
