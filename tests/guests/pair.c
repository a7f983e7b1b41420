/*
 * Two processors that pass a turn to each other by interrupts alone: each arms
 * its timer's deadline, waits for it, and calls the other by an interrupt
 * between processors. So one interrupt that is lost, or one processor that does
 * not go on, and nothing goes on. A line "tick N" for every so many rounds, or
 * "bad WHAT" for interrupts too many: a load may double one of the timer's.
 *
 * Each sleeps for two turns and spins for two, so that it is saved in both
 * states, and with any of the interrupts on its way. With the word "kicks" the
 * calls are KVM's (Documentation/virt/kvm/x86/hypercalls.rst): who waits for
 * one sleeps with interrupts off, and only the kick ends that.
 */
#include "tests/guests/hostile.h"
#include "tests/guests/words.h"

void hostile_main(void);
void pair_tables(void);
void pair_load(void);
void pair_sleep(void);
void pair_spin(void);

/* By processor; counted by pair_tables.S. */
extern volatile uint32_t pair_timers[2], pair_calls[2];

enum {
	LAPIC_TPR = 0x80,
	LAPIC_SPURIOUS = 0xf0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	SPURIOUS_ON = 0x1ff,
	VECTOR_TIMER = 0x40,
	VECTOR_CALL = 0x41,
	ASSERTED = 0x4000,
	REMOTE_READ = 3 << 8,
	DEADLINE = 0x40000,
	MSR_TSC_DEADLINE = 0x6e0,
};

static uint32_t rest_us, dawdle_us, rounds_per_line;
static volatile bool second_listens;
static bool by_kicks;

static void lapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(0xfee00000U + reg) = value;
}

static void arm(void)
{
	const uint64_t at = moment_in_us(rest_us);

	__asm__ volatile("wrmsr"
			 :
			 : "c"(MSR_TSC_DEADLINE), "a"((uint32_t)at),
			   "d"((uint32_t)(at >> 32)));
}

/*
 * What KVM has a hypercall for, which not every KVM has for every guest: it
 * sends a remote read to the local APIC of who is to be woken.
 */
static void kick(uint32_t cpu)
{
	barrier();
	lapic_write(LAPIC_ICR_HIGH, cpu << 24);
	lapic_write(LAPIC_ICR, ASSERTED | REMOTE_READ);
}

static void await_kick(const volatile uint32_t *count, uint32_t wanted)
{
	while (*count != wanted) {
		sleep_us(dawdle_us);
		__asm__ volatile("hlt" ::: "memory");
	}
}

static void call(uint32_t cpu)
{
	if (by_kicks) {
		pair_calls[cpu]++;
		kick(cpu);
		return;
	}
	lapic_write(LAPIC_ICR_HIGH, cpu << 24);
	lapic_write(LAPIC_ICR, ASSERTED | VECTOR_CALL);
}

/* Until one of that kind has come; interrupts are off before and after. */
static void await(const volatile uint32_t *count, uint32_t wanted, bool sleeps)
{
	while (*count != wanted) {
		if (sleeps)
			pair_sleep();
		else
			pair_spin();
		if ((int32_t)(*count - wanted) > 0) {
			print("bad interrupts: two too many\n");
			return;
		}
	}
}

static void await_call(uint32_t cpu, uint32_t number)
{
	if (by_kicks)
		await_kick(&pair_calls[cpu], number);
	else
		await(&pair_calls[cpu], number, number & 4);
}

static void turn(uint32_t cpu, uint32_t number)
{
	const bool sleeps = number & 2;

	arm();
	await(&pair_timers[cpu], number, sleeps);
	call(!cpu);
}

static void setup(void)
{
	pair_load();
	lapic_write(LAPIC_SPURIOUS, SPURIOUS_ON);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_LVT_TIMER, DEADLINE | VECTOR_TIMER);
}

static void second(void)
{
	uint32_t i;

	setup();
	second_listens = true;
	for (i = 1;; i++) {
		await_call(1, i);
		turn(1, i);
	}
}

void hostile_main(void)
{
	uint32_t i;

	rest_us = number("rest_us=", 100);
	rounds_per_line = number("rounds=", 32);
	dawdle_us = number("dawdle_us=", 0);
	by_kicks = word("kicks");
	pair_tables();
	setup();
	if (!accomplice_start(second))
		print("bad processor: the second does not come up\n");
	while (!second_listens)
		__asm__ volatile("pause");
	for (i = 1;; i++) {
		turn(0, i);
		await_call(0, i);
		if (i % rounds_per_line)
			continue;
		print("tick ");
		print_number(i / rounds_per_line);
		print("\n");
	}
}
