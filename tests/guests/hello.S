/* Talks to the serial port and the boot timer, then resets. */
#include "tests/guests/bare.inc"

start:	print text
	movb $123, BOOT_TIMER
	reset
	define_puts
text:	.asciz "hello from a bare guest\n"
