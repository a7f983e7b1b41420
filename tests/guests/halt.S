/* Sleeps for good with interrupts off: an idle machine. */
#include "tests/guests/bare.inc"

start:	print text
1:	cli
	hlt
	jmp 1b
	define_puts
text:	.asciz "halted\n"
