/*
 * What the hostile guest needs of a machine: words on the serial port, time,
 * memory's end, and a second processor.
 */
#include "tests/guests/hostile.h"

enum { COM1 = 0x3f8, CPUID_TIMING = 0x40000010 };

/*
 * The local APIC, and a page for the second processor's first instructions.
 * They are sent with INIT, then SIPI with the page's number.
 */
enum {
	LAPIC_SPURIOUS = 0xfee000f0,
	LAPIC_ICR = 0xfee00300,
	LAPIC_ICR_HIGH = 0xfee00310,
	PAGE = 0x10
};

/* Fields of PVH's start_info and of an entry of its memory map. */
enum { INFO_MAP = 40, INFO_MAP_COUNT = 48, MAP_ENTRY = 24, MAP_RAM = 1 };

extern const uint8_t second_begin[], second_end[];
void accomplice_main(void);

/* What the compiler may call. */
void *memcpy(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);

void *memcpy(void *to, const void *from, size_t len)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	while (len--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	uint8_t *t = to;

	while (len--)
		*t++ = (uint8_t)byte;
	return to;
}

bool same_bytes(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a;
	const uint8_t *y = b;

	while (len--)
		if (*x++ != *y++)
			return false;
	return true;
}

static void print_char(char c)
{
	__asm__ volatile("outb %0, %1" : : "a"(c), "Nd"((uint16_t)COM1));
}

void print(const char *text)
{
	while (*text)
		print_char(*text++);
}

void print_hex(uint64_t n)
{
	int shift;

	print("0x");
	for (shift = 60; shift > 0 && !(n >> shift); shift -= 4)
		;
	for (; shift >= 0; shift -= 4)
		print_char("0123456789abcdef"[n >> shift & 15]);
}

/* Up to 2^32: there is no 64-bit division here. */
void print_number(uint64_t n)
{
	char digits[12];
	uint32_t rest = (uint32_t)n;
	unsigned at = sizeof(digits);

	digits[--at] = 0;
	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	print(&digits[at]);
}

uint32_t random_next(void)
{
	static uint32_t state = 2463534242U;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* ---- time ---- */

uint64_t moment_now(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* Of the time-stamp counter, as the monitor's CPUID leaf tells. */
static uint32_t ticks_per_us(void)
{
	static uint32_t found;
	uint32_t a = CPUID_TIMING, b, c, d;

	if (found)
		return found;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	found = a / 1000;
	if (!found)
		found = 2000;
	return found;
}

/* 64 by 32 bits, by hand: the compiler would call a library. */
static uint64_t divide(uint64_t n, uint32_t by)
{
	uint64_t quotient = 0;
	uint64_t rest = 0;
	int bit;

	for (bit = 63; bit >= 0; bit--) {
		rest = rest << 1 | (n >> bit & 1);
		if (rest < by)
			continue;
		rest -= by;
		quotient |= 1ULL << bit;
	}
	return quotient;
}

uint64_t moment_in_us(uint32_t us)
{
	return moment_now() + (uint64_t)us * ticks_per_us();
}

bool is_past(uint64_t moment)
{
	return moment_now() >= moment;
}

uint32_t us_of(uint64_t ticks)
{
	return (uint32_t)divide(ticks, ticks_per_us());
}

void sleep_us(uint32_t us)
{
	const uint64_t end = moment_in_us(us);

	while (!is_past(end))
		__asm__ volatile("pause");
}

/* ---- memory ---- */

static uint64_t info(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | at[len];
	return value;
}

uint64_t memory_end(void)
{
	const uint8_t *map =
		(const uint8_t *)(uintptr_t)info(start_info + INFO_MAP, 8);
	uint32_t count = (uint32_t)info(start_info + INFO_MAP_COUNT, 4);
	uint64_t end = 0;
	uint64_t begin, size;

	for (; count--; map += MAP_ENTRY) {
		begin = info(map, 8);
		size = info(map + 8, 8);
		if (info(map + 16, 4) == MAP_RAM && begin <= SLOTS &&
		    begin + size > end)
			end = begin + size;
	}
	return end;
}

/* ---- the second processor ---- */

static void (*volatile accomplice_work)(void);
static volatile bool accomplice_is_up;

/* Asleep for good at the end; only another INIT wakes it. */
void accomplice_main(void)
{
	void (*work)(void);

	accomplice_is_up = true;
	while ((work = accomplice_work))
		work();
	accomplice_is_up = false;
}

static void interrupt_second(uint32_t command)
{
	*(volatile uint32_t *)(uintptr_t)LAPIC_ICR_HIGH = 1U << 24;
	*(volatile uint32_t *)(uintptr_t)LAPIC_ICR = command;
}

static void wait_for_second(bool is_up)
{
	const uint64_t end = moment_in_us(5000000);

	while (accomplice_is_up != is_up && !is_past(end))
		__asm__ volatile("pause");
}

bool accomplice_start(void (*work)(void))
{
	accomplice_work = work;
	memcpy((void *)(uintptr_t)(PAGE << 12), second_begin,
	       (uintptr_t)second_end - (uintptr_t)second_begin);
	*(volatile uint32_t *)(uintptr_t)LAPIC_SPURIOUS = 0x1ff; /* on */
	interrupt_second(0x4500);
	sleep_us(200);
	interrupt_second(0x4600 | PAGE);
	wait_for_second(true);
	return accomplice_is_up;
}

void accomplice_stop(void)
{
	accomplice_work = NULL;
	wait_for_second(false);
}
