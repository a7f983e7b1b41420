/* The I/O APIC: what KVM is told of its pins, and how seldom. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/arch/x86_64/ioapic.h"
#include "vmm/base/log.h"

enum { PINS = 24, TABLE = 0x10 };
enum { LOGICAL = 1 << 11, LEVEL = 1 << 15, MASKED = 1 << 16 };

static struct vm vm;
static struct bus bus;
static struct ioapic io;

static int setup(void **state)
{
	struct err e;

	(void)state;
	fake_kvm_reset();
	memset(&bus, 0, sizeof(bus));
	memset(&io, 0, sizeof(io));
	return ioapic_open(&io, &vm, &bus, &e);
}

static void write32(uint64_t offset, uint32_t value)
{
	bus_write(&bus, LAYOUT_IOAPIC + offset, &value, sizeof(value));
}

static uint32_t read32(uint64_t offset)
{
	uint32_t value;

	bus_read(&bus, LAYOUT_IOAPIC + offset, &value, sizeof(value));
	return value;
}

static void set(uint32_t reg, uint32_t value)
{
	write32(0, reg);
	write32(0x10, value);
}

static uint32_t get(uint32_t reg)
{
	write32(0, reg);
	return read32(0x10);
}

static void set_pin(unsigned pin, uint8_t dest, uint32_t low)
{
	set(TABLE + 2 * pin + 1, (uint32_t)dest << 24);
	set(TABLE + 2 * pin, low);
}

static const struct kvm_irq_routing_entry *route_of(unsigned pin)
{
	unsigned i;

	for (i = 0; i < fake_kvm.route_count; i++)
		if (fake_kvm.routes[i].gsi == pin)
			return &fake_kvm.routes[i];
	return NULL;
}

static void it_asks_for_a_split_irqchip(void **state)
{
	(void)state;
	assert_int_equal(fake_kvm.enables, 1);
	assert_int_equal(fake_kvm.cap, KVM_CAP_SPLIT_IRQCHIP);
	assert_true(fake_kvm.cap_arg == PINS);
	assert_int_equal(bus.count, 1);
}

static void a_host_without_it_is_told_so(void **state)
{
	struct err e = {0};

	(void)state;
	fake_kvm.fail_enable = true;
	memset(&bus, 0, sizeof(bus));
	assert_int_equal(ioapic_open(&io, &vm, &bus, &e), -EINVAL);
	assert_non_null(strstr(e.text, "split irqchip"));
	assert_int_equal(bus.count, 0);
}

static void it_introduces_itself(void **state)
{
	(void)state;
	assert_int_equal(get(1), 0x00170011);
	assert_int_equal(get(0), 0);
	set(0, 0xffffffff);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(2), 0x0f000000);
	set(1, 0);
	set(2, 0);
	assert_int_equal(get(1), 0x00170011);
	assert_int_equal(get(2), 0x0f000000);
}

static void every_pin_starts_masked(void **state)
{
	unsigned pin;

	(void)state;
	for (pin = 0; pin < PINS; pin++) {
		assert_int_equal(get(TABLE + 2 * pin), MASKED);
		assert_int_equal(get(TABLE + 2 * pin + 1), 0);
	}
	assert_int_equal(fake_kvm.route_calls, 0);
}

static void masking_what_is_masked_is_not_told(void **state)
{
	unsigned pin;

	(void)state;
	for (pin = 0; pin < PINS; pin++) {
		set_pin(pin, 0, MASKED);
		set_pin(pin, 3, MASKED | 0x30);
		set_pin(pin, 3, MASKED | LEVEL | LOGICAL | 0x41);
	}
	assert_int_equal(fake_kvm.route_calls, 0);
}

static void an_open_pin_becomes_a_message(void **state)
{
	const struct kvm_irq_routing_entry *r;

	(void)state;
	set_pin(5, 3, 0x31);
	assert_int_equal(fake_kvm.route_calls, 1);
	assert_int_equal(fake_kvm.route_count, 1);
	r = route_of(5);
	assert_non_null(r);
	assert_int_equal(r->type, KVM_IRQ_ROUTING_MSI);
	assert_int_equal(r->flags, 0);
	assert_true(r->u.msi.address_lo == 0xfee03000);
	assert_int_equal(r->u.msi.address_hi, 0);
	assert_int_equal(r->u.msi.data, 0x31);
	/* Logical destination, lowest priority. */
	set_pin(23, 0xff, LOGICAL | 0x100 | 0xee);
	assert_int_equal(fake_kvm.route_count, 2);
	r = route_of(23);
	assert_non_null(r);
	assert_true(r->u.msi.address_lo == 0xfeeff004);
	assert_int_equal(r->u.msi.data, 0x1ee);
	assert_non_null(route_of(5));
}

static void only_what_matters_is_told(void **state)
{
	(void)state;
	set_pin(4, 1, 0x50);
	assert_int_equal(fake_kvm.route_calls, 1);
	set_pin(4, 1, 0x50);
	/* Trigger and polarity: all our lines are edges. */
	set_pin(4, 1, LEVEL | 1 << 13 | 0x50);
	/* Read-only bits. */
	set_pin(4, 1, 1 << 12 | 1 << 14 | 0x50);
	assert_int_equal(fake_kvm.route_calls, 1);
	set(TABLE + 2 * 4, 0x51);
	assert_int_equal(fake_kvm.route_calls, 2);
	set(TABLE + 2 * 4 + 1, 2U << 24);
	assert_int_equal(fake_kvm.route_calls, 3);
	set(TABLE + 2 * 4, MASKED | 0x51);
	assert_int_equal(fake_kvm.route_calls, 4);
	assert_int_equal(fake_kvm.route_count, 0);
	set(TABLE + 2 * 4 + 1, 7U << 24);
	assert_int_equal(fake_kvm.route_calls, 4);
	set(TABLE + 2 * 4, 0x51);
	assert_int_equal(fake_kvm.route_calls, 5);
	assert_true(route_of(4)->u.msi.address_lo == 0xfee07000);
}

static void illegal_vectors_go_nowhere(void **state)
{
	unsigned vector;

	(void)state;
	for (vector = 0; vector < 16; vector++)
		set_pin(7, 0, vector);
	assert_int_equal(fake_kvm.route_calls, 0);
	set_pin(7, 0, 16);
	assert_int_equal(fake_kvm.route_count, 1);
	set_pin(7, 0, 15);
	assert_int_equal(fake_kvm.route_count, 0);
}

static void entries_read_back_without_their_read_only_bits(void **state)
{
	(void)state;
	set_pin(9, 0xff, 0xffffffff);
	assert_int_equal(get(TABLE + 18), 0x0001afff);
	assert_true(get(TABLE + 19) == 0xff000000);
	set(TABLE + 19, 0xffffffff);
	assert_true(get(TABLE + 19) == 0xff000000);
}

static void registers_beyond_the_table_are_empty(void **state)
{
	unsigned reg;

	(void)state;
	for (reg = 3; reg < 256; reg++) {
		if (reg >= TABLE && reg < TABLE + 2 * PINS)
			continue;
		set(reg, 0xffffffff);
		assert_int_equal(get(reg), 0);
	}
	/* The index has eight bits. */
	write32(0, 0xffffff01);
	assert_int_equal(read32(0), 1);
	assert_int_equal(read32(0x10), 0x00170011);
	assert_int_equal(fake_kvm.route_calls, 0);
}

static void other_widths_and_places_do_nothing(void **state)
{
	static const uint32_t widths[] = {1, 2, 8};
	const uint8_t ones[8] = {0x12, 1, 1, 1, 1, 1, 1, 1};
	uint8_t data[8];
	unsigned i, at;

	(void)state;
	write32(0, TABLE);
	for (i = 0; i < 3; i++)
		for (at = 0; at < 0x20; at++) {
			memset(data, 0xee, sizeof(data));
			bus_write(&bus, LAYOUT_IOAPIC + at, ones, widths[i]);
			bus_read(&bus, LAYOUT_IOAPIC + at, data, widths[i]);
			assert_int_equal(data[0], 0);
			assert_int_equal(data[widths[i] - 1], 0);
		}
	for (at = 1; at < 0xffd; at++) {
		if (at == 0x10)
			continue;
		write32(at, 0x31);
		assert_int_equal(read32(at), 0);
	}
	assert_int_equal(read32(0), TABLE);
	assert_int_equal(get(TABLE), MASKED);
	assert_int_equal(fake_kvm.route_calls, 0);
}

static void a_refusing_kvm_is_survived(void **state)
{
	(void)state;
	fake_kvm.fail_routes = true;
	set_pin(1, 0, 0x31);
	assert_int_equal(get(TABLE + 2), 0x31);
}

/* What the entries as read back say, computed anew. */
static void check_routes(void)
{
	unsigned pin, open = 0;

	for (pin = 0; pin < PINS; pin++) {
		const uint32_t low = get(TABLE + 2 * pin);
		const uint32_t high = get(TABLE + 2 * pin + 1);
		const struct kvm_irq_routing_entry *r = route_of(pin);

		if (low & MASKED || (low & 0xff) < 16) {
			assert_null(r);
			continue;
		}
		open++;
		assert_non_null(r);
		assert_int_equal(r->u.msi.data, low & 0x7ff);
		assert_true(r->u.msi.address_lo == (0xfee00000 | high >> 12 |
						    (low & LOGICAL ? 4U : 0)));
	}
	assert_int_equal(open, fake_kvm.route_count);
}

static void a_hostile_guest_breaks_nothing(void **state)
{
	static const uint32_t widths[] = {1, 2, 4, 8};
	struct fake_random r = {.state = 82093};
	uint64_t value;
	unsigned i;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	for (i = 0; i < 100000; i++) {
		value = fake_random(&r);
		if (fake_random_below(&r, 4))
			set(fake_random_below(&r, 0x48), (uint32_t)value);
		else
			bus_write(&bus,
				  LAYOUT_IOAPIC + fake_random_below(&r, 0x1000),
				  &value, widths[value >> 62]);
		if (i % 64 == 0)
			check_routes();
	}
	assert_true(fake_kvm.route_calls > 1000);
}

/* ---- saved and loaded -----------------------------------------------------
 */

enum { ENTRIES = 8, STATE_LEN = ENTRIES + PINS * 8 };

static void save(uint8_t data[STATE_LEN])
{
	struct visitor v;

	visitor_save(&v, 1, NULL);
	ioapic_visit(&io, &v);
	assert_int_equal(v.rc, 0);
	assert_int_equal(v.len, STATE_LEN);
	memcpy(data, v.data, STATE_LEN);
	visitor_fini(&v);
}

static int load(const uint8_t *data, size_t len, struct err *e)
{
	struct visitor v;

	memset(e, 0, sizeof(*e));
	visitor_load(&v, data, len, 1, e);
	ioapic_visit(&io, &v);
	return visitor_end(&v);
}

static void it_comes_back_as_it_was(void **state)
{
	uint8_t data[STATE_LEN], again[STATE_LEN];
	struct kvm_irq_routing_entry told[FAKE_KVM_ROUTES];
	struct err e;

	set(0, 0x07000000);
	set_pin(0, 1, 0x31);
	set_pin(5, 3, LOGICAL | LEVEL | 0x41);
	set_pin(23, 0xff, 0x51);
	set_pin(9, 2, MASKED | 0x61);
	write32(0, TABLE + 10);
	save(data);
	assert_int_equal(fake_kvm.route_count, 3);
	memcpy(told, fake_kvm.routes, sizeof(told));
	setup(state);
	assert_int_equal(load(data, STATE_LEN, &e), 0);
	/* All of the routes at once. */
	assert_int_equal(fake_kvm.route_calls, 1);
	assert_int_equal(fake_kvm.route_count, 3);
	assert_memory_equal(told, fake_kvm.routes, 3 * sizeof(told[0]));
	assert_int_equal(read32(0), TABLE + 10);
	assert_int_equal(read32(0x10), LOGICAL | LEVEL | 0x41);
	save(again);
	assert_memory_equal(data, again, STATE_LEN);
	assert_int_equal(get(0), 0x07000000);
	assert_int_equal(get(TABLE + 18), MASKED | 0x61);
	assert_true(get(TABLE + 19) == 2U << 24);
	/* What is routed is known: the same again is not told. */
	set_pin(5, 3, LOGICAL | LEVEL | 0x41);
	assert_int_equal(fake_kvm.route_calls, 1);
}

/* One that had routes, as in a reset in place. */
static void what_was_routed_before_goes(void **state)
{
	uint8_t data[STATE_LEN];
	struct err e;

	(void)state;
	set_pin(4, 0, 0x31);
	save(data);
	set_pin(6, 0, 0x41);
	set_pin(4, 0, MASKED);
	assert_int_equal(load(data, STATE_LEN, &e), 0);
	assert_int_equal(fake_kvm.route_count, 1);
	assert_non_null(route_of(4));
}

static void entries_that_no_guest_can_write_are_cut(void **state)
{
	uint8_t data[STATE_LEN];
	struct err e;

	(void)state;
	save(data);
	memset(data + ENTRIES, 0xff, 8);     /* masked, all else set */
	memset(data + ENTRIES + 8, 0xff, 8); /* … and open */
	data[ENTRIES + 8 + 2] = 0xfe;
	memset(data + ENTRIES + 16, 0, 8); /* open, vector 0 */
	assert_int_equal(load(data, STATE_LEN, &e), 0);
	assert_int_equal(get(TABLE), 0x0001afff);
	assert_true(get(TABLE + 1) == 0xff000000);
	assert_int_equal(get(TABLE + 2), 0x0000afff);
	assert_int_equal(fake_kvm.route_count, 1);
	assert_non_null(route_of(1));
	assert_int_equal(route_of(1)->u.msi.address_hi, 0);
	check_routes();
}

static void registers_that_are_none_are_refused(void **state)
{
	uint8_t data[STATE_LEN];
	struct err e;
	size_t i;

	set_pin(4, 0, 0x31);
	save(data);
	setup(state);
	data[1] = 1;
	assert_true(load(data, STATE_LEN, &e) < 0);
	assert_non_null(strstr(e.text, "no register 0x1"));
	data[1] = 0;
	data[4] = 1;
	assert_true(load(data, STATE_LEN, &e) < 0);
	assert_non_null(strstr(e.text, "no id 0x1"));
	data[4] = 0;
	for (i = 0; i < STATE_LEN; i++)
		assert_true(load(data, i, &e) < 0);
	/* KVM was told of none of them. */
	assert_int_equal(fake_kvm.route_calls, 0);
	assert_int_equal(load(data, STATE_LEN, &e), 0);
	assert_int_equal(fake_kvm.route_calls, 1);
}

/* A guest that is loaded without its interrupts would hang, and nobody know. */
static void routes_that_kvm_refuses_end_a_load(void **state)
{
	uint8_t data[STATE_LEN];
	struct err e;

	set_pin(4, 0, 0x31);
	save(data);
	setup(state);
	fake_kvm.fail_routes = true;
	assert_int_equal(load(data, STATE_LEN, &e), -EINVAL);
	assert_non_null(strstr(e.text, "KVM_SET_GSI_ROUTING"));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_asks_for_a_split_irqchip),
		TEST(a_host_without_it_is_told_so),
		TEST(it_introduces_itself),
		TEST(every_pin_starts_masked),
		TEST(masking_what_is_masked_is_not_told),
		TEST(an_open_pin_becomes_a_message),
		TEST(only_what_matters_is_told),
		TEST(illegal_vectors_go_nowhere),
		TEST(entries_read_back_without_their_read_only_bits),
		TEST(registers_beyond_the_table_are_empty),
		TEST(other_widths_and_places_do_nothing),
		TEST(a_refusing_kvm_is_survived),
		TEST(it_comes_back_as_it_was),
		TEST(what_was_routed_before_goes),
		TEST(entries_that_no_guest_can_write_are_cut),
		TEST(registers_that_are_none_are_refused),
		TEST(routes_that_kvm_refuses_end_a_load),
		/* Turns the log off. */
		TEST(a_hostile_guest_breaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
