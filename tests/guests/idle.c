/* The interrupt controllers, for idle.h. */
#include "tests/guests/idle.h"

void idle_tables(void); /* idle_tables.S */

enum {
	LAPIC_TPR = 0x80,
	LAPIC_SPURIOUS = 0xf0,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_TIMER_START = 0x380,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	SPURIOUS_ON = 0x1ff,
	PERIODIC = 0x20000,
	BY_16 = 3,
	/* KVM's local APIC counts nanoseconds. */
	TICKS_PER_US = 1000 / 16,
	PIN_ENTRIES = 0x10,
};

static void lapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(0xfee00000U + reg) = value;
}

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)0xfec00000U = reg;
	*(volatile uint32_t *)(uintptr_t)0xfec00010U = value;
}

void idle_setup(void)
{
	idle_tables();
	lapic_write(LAPIC_SPURIOUS, SPURIOUS_ON);
	lapic_write(LAPIC_TPR, 0);
}

void idle_timer(uint32_t period_us)
{
	lapic_write(LAPIC_TIMER_DIVIDE, BY_16);
	lapic_write(LAPIC_LVT_TIMER, PERIODIC | VECTOR_TIMER);
	lapic_write(LAPIC_TIMER_START, period_us * TICKS_PER_US);
}

void idle_pin(unsigned pin)
{
	ioapic_write(PIN_ENTRIES + 2 * pin + 1, 0);
	ioapic_write(PIN_ENTRIES + 2 * pin, VECTOR_DEVICE);
}
