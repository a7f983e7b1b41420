/*
 * A guest that touches known pages in a known order. It writes a number into
 * each of FILL pages, says "filled" and waits until somebody has set the flag,
 * as can be done in the memory file of its snapshot. Then it touches some of
 * them in an order that jumps, writes to each fourth, says "touched" and in
 *what time, and waits for good.
 *
 *	fill=N	   pages that are filled (default 16384)
 *	touched=N  of those, with a flag of 1 (default 1000); each more in the
 *		   flag is 16 more
 *	ends	   resets in the place of waiting for good
 *
 * The order is that of i * 617 % fill; tests/vm/working-set has the same.
 */
#include "tests/guests/hostile.h"
#include "tests/guests/words.h"

void hostile_main(void);

enum {
	FLAG = 0x180000,
	FIRST_PAGE = 16 << 20,
	PAGE_BYTES = 4096,
	STEP = 617,
	WRITE_EACH = 4,
	MORE = 16,
	I8042_COMMAND = 0x64,
	RESET = 0xfe,
};

static volatile uint32_t *first_word(uint32_t page)
{
	return (volatile uint32_t *)(uintptr_t)(FIRST_PAGE + page * PAGE_BYTES);
}

static void touch(uint32_t page, bool writes)
{
	if (*first_word(page) != page + 1 && *first_word(page) != ~page) {
		print("bad page ");
		print_number(page);
		print("\n");
	}
	if (writes)
		*first_word(page) = ~page;
}

/* A write must come first there: what was read before is no first touch. */
static void overwrite(uint32_t page)
{
	first_word(page)[1] = ~page;
	touch(page, true);
}

void hostile_main(void)
{
	const uint32_t pages = number("fill=", 16384);
	const bool ends = word("ends");
	volatile uint8_t *flag = (volatile uint8_t *)(uintptr_t)FLAG;
	uint64_t begin;
	uint32_t touched, i;

	for (i = 0; i < pages; i++)
		*first_word(i) = i + 1;
	print("filled\n");
	while (!*flag)
		__asm__ volatile("pause");
	touched = number("touched=", 1000) + (*flag - 1U) * MORE;
	begin = moment_now();
	for (i = 0; i < touched; i++)
		if (i % WRITE_EACH == WRITE_EACH - 1)
			overwrite(i * STEP % pages);
		else
			touch(i * STEP % pages, false);
	print("touched in ");
	print_number(us_of(moment_now() - begin));
	print(" us\n");
	if (ends)
		__asm__ volatile("outb %0, %1"
				 :
				 : "a"((uint8_t)RESET),
				   "Nd"((uint16_t)I8042_COMMAND));
	for (;;)
		__asm__ volatile("pause");
}
