/*
 * A guest that counts ticks of its timer aloud, and looks at each whether all
 * is as it was: registers of every kind (ticker_registers.S), MSRs, the local
 * APIC, our I/O APIC, the clock, and what it wrote into memory. A line "tick N"
 * for each, or "bad WHAT" for what is not, so that whoever saves and restores
 * it can see that it goes on where it was.
 *
 * It sleeps for the odd ticks and spins for the even ones, so that it is saved
 * in both states.
 */
#include "tests/guests/hostile.h"

void hostile_main(void);
void ticker_setup(void);
void ticker_wait(uint32_t sleeps) __attribute__((noreturn));
void ticker_tick(const char *culprit) __attribute__((noreturn));

extern const uint32_t fx_pattern[], fx_before[];
extern uint32_t tick_count;

enum {
	LAPIC_TPR = 0x80,
	LAPIC_EOI = 0xb0,
	LAPIC_LOGICAL = 0xd0,
	LAPIC_FORMAT = 0xe0,
	LAPIC_SPURIOUS = 0xf0,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_TIMER_START = 0x380,
	LAPIC_TIMER_NOW = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	TICK_COUNT = 20 * 1000 * 1000 / 16, /* 20 ms, in 16 ns */
	PAGES = 256,
	PAGE_BYTES = 4096,
	MEMORY = 16 << 20,
	FX_XMM_WORD = 160 / 4,
	FX_XMM_WORDS = 8 * 16 / 4,
};

/* What is written at the start, and read at each tick. */
struct word {
	const char *name;
	uint32_t at;
	uint64_t value;
	bool is_absent; /* an MSR that this processor does not keep */
};

static struct word msrs[] = {
	{"SYSENTER_CS", 0x174, 0x1230},
	{"SYSENTER_ESP", 0x175, 0x45670},
	{"SYSENTER_EIP", 0x176, 0x89ab0},
	{"PAT", 0x277, 0x0007010600070106},
	{"STAR", 0xc0000081, 0x0023001000000000},
	{"LSTAR", 0xc0000082, 0x7654321000},
	{"CSTAR", 0xc0000083, 0x1234567000},
	{"SFMASK", 0xc0000084, 0x47700},
	{"KERNEL_GS_BASE", 0xc0000102, 0x0000123456789000},
};

static struct word lapic[] = {
	{"LAPIC TPR", LAPIC_TPR, 0x10},
	{"LAPIC logical id", LAPIC_LOGICAL, 0x12000000},
	{"LAPIC format", LAPIC_FORMAT, 0x0fffffff},
	{"LAPIC spurious", LAPIC_SPURIOUS, 0x1ff},
	{"LAPIC LINT0", LAPIC_LVT_LINT0, 0x10077},
	{"LAPIC divide", LAPIC_TIMER_DIVIDE, 3},
	{"LAPIC timer", LAPIC_LVT_TIMER, 0x20040},
	{"LAPIC timer's count", LAPIC_TIMER_START, TICK_COUNT},
};

static struct word ioapic[] = {
	{"I/O APIC entry 9, low", 0x22, 0x10051},
	{"I/O APIC entry 9, high", 0x23, 0x05000000},
	{"I/O APIC entry 17, low", 0x32, 0x100a7},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

uint32_t tick_count; /* in a register as well */
static uint64_t latest;

static uint32_t lapic_read(uint32_t reg)
{
	return *(volatile uint32_t *)(uintptr_t)(0xfee00000U + reg);
}

static void lapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(0xfee00000U + reg) = value;
}

static volatile uint32_t *ioapic_at(uint32_t reg)
{
	*(volatile uint32_t *)(uintptr_t)0xfec00000U = reg;
	return (volatile uint32_t *)(uintptr_t)0xfec00010U;
}

static uint64_t msr_read(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static void msr_write(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value),
			   "d"((uint32_t)(value >> 32)));
}

static volatile uint32_t *page_word(uint32_t page)
{
	return (volatile uint32_t *)(uintptr_t)(MEMORY + page * PAGE_BYTES +
						page % 1000 * 4);
}

static void bad(const char *what)
{
	print("bad ");
	print(what);
	print("\n");
}

static void write_all(void)
{
	unsigned i;

	for (i = 0; i < COUNT(msrs); i++)
		msr_write(msrs[i].at, msrs[i].value);
	for (i = 0; i < COUNT(lapic); i++)
		lapic_write(lapic[i].at, (uint32_t)lapic[i].value);
	for (i = 0; i < COUNT(ioapic); i++)
		*ioapic_at(ioapic[i].at) = (uint32_t)ioapic[i].value;
	for (i = 0; i < PAGES; i++)
		*page_word(i) = i * 2654435761U;
}

/* What has no place of its own here can't be lost either; it is said once. */
static void find_absent(void)
{
	unsigned i;

	for (i = 0; i < COUNT(msrs); i++) {
		msrs[i].is_absent = msr_read(msrs[i].at) != msrs[i].value;
		if (!msrs[i].is_absent)
			continue;
		print("absent here: ");
		print(msrs[i].name);
		print("\n");
	}
}

static void look_at_all(void)
{
	const uint64_t now = moment_now();
	unsigned i;

	for (i = 0; i < COUNT(msrs); i++)
		if (!msrs[i].is_absent && msr_read(msrs[i].at) != msrs[i].value)
			bad(msrs[i].name);
	for (i = 0; i < COUNT(lapic); i++)
		if (lapic_read(lapic[i].at) != lapic[i].value)
			bad(lapic[i].name);
	if (lapic_read(LAPIC_TIMER_NOW) > TICK_COUNT)
		bad("LAPIC timer's rest");
	for (i = 0; i < COUNT(ioapic); i++)
		if (*ioapic_at(ioapic[i].at) != ioapic[i].value)
			bad(ioapic[i].name);
	for (i = 0; i < PAGES; i++)
		if (*page_word(i) != i * 2654435761U)
			bad("memory");
	if (now < latest)
		bad("TSC: it went back");
	latest = now;
}

/* Never returns: the stack starts anew for each. */
void ticker_tick(const char *culprit)
{
	if (culprit)
		bad(culprit);
	look_at_all();
	lapic_write(LAPIC_EOI, 0);
	print("tick ");
	print_number(++tick_count);
	print("\n");
	ticker_wait(tick_count & 1);
}

void hostile_main(void)
{
	unsigned i;

	ticker_setup();
	for (i = FX_XMM_WORD; i < FX_XMM_WORD + FX_XMM_WORDS; i++)
		if (fx_before[i] != fx_pattern[i])
			bad("XMM registers: they were never set");
	write_all();
	find_absent();
	print("ticking\n");
	ticker_wait(1);
}
