/*
 * A guest that dirties memory as it is told by its command line:
 *
 *	pages=N     in each round, one word at both ends of each (default 64)
 *	rest_us=N   between rounds; 0 for none (default 20000)
 *	rounds=N    then it sleeps for good; 0 for no end (default 0)
 *	moves       each round takes the next pages, not the same
 *	quiet_for=N rounds between two lines on the serial port (default 1)
 *	asks        a round waits for a byte from the serial port first
 *
 * Before a page is written it must hold what was written last, or the guest
 * says so: a page from another moment, or of two, shows.
 */
#include "tests/guests/hostile.h"
#include "tests/guests/idle.h"
#include "tests/guests/words.h"

void hostile_main(void);

enum {
	FIRST_PAGE = 16 << 20,
	PAGE_BYTES = 4096,
	LAST_WORD = PAGE_BYTES - 4,
	COM1_DATA = 0x3f8,
	COM1_LINE = 0x3fd,
	LINE_HAS_DATA = 1,
	TICK_US = 1000,
};

static uint8_t port_read(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void wait_for_byte(void)
{
	while (!(port_read(COM1_LINE) & LINE_HAS_DATA))
		sleep_us(200);
	port_read(COM1_DATA);
}

static volatile uint32_t *word_of(uint32_t page, uint32_t at)
{
	return (volatile uint32_t *)(uintptr_t)(FIRST_PAGE + page * PAGE_BYTES +
						at);
}

/* Both ends of a page hold `last` now, and `next` then. */
static void dirty(uint32_t page, uint32_t last, uint32_t next)
{
	if (*word_of(page, 0) != last || *word_of(page, LAST_WORD) != last) {
		print("bad page ");
		print_number(page);
		print(": ");
		print_hex(*word_of(page, 0));
		print(" and ");
		print_hex(*word_of(page, LAST_WORD));
		print(", not ");
		print_hex(last);
		print("\n");
	}
	*word_of(page, 0) = next;
	*word_of(page, LAST_WORD) = next;
}

static void rest(uint32_t us)
{
	uint32_t ticks = (us + TICK_US - 1) / TICK_US;

	idle_timer(us ? TICK_US : 0);
	while (ticks--)
		idle();
	idle_timer(0);
}

void hostile_main(void)
{
	const uint32_t room =
		((uint32_t)memory_end() - FIRST_PAGE) / PAGE_BYTES;
	const uint32_t pages = number("pages=", 64);
	const uint32_t rest_us = number("rest_us=", 20000);
	const uint32_t rounds = number("rounds=", 0);
	const uint32_t quiet_for = number("quiet_for=", 1);
	const bool moves = word("moves"), asks = word("asks");
	uint32_t page = 0, sweep = 0, round, i;

	idle_setup();
	print("dirtying\n");
	for (round = 1; !rounds || round <= rounds; round++) {
		if (asks)
			wait_for_byte();
		for (i = 0; i < pages; i++) {
			dirty(page, sweep, sweep + 1);
			if (++page == (moves ? room : pages)) {
				page = 0;
				sweep++;
			}
		}
		if (quiet_for && round % quiet_for == 0) {
			print("round ");
			print_number(round);
			print("\n");
		}
		if (!asks)
			rest(rest_us);
	}
	print("done\n");
	idle_timer(0);
	for (;;)
		idle();
}
