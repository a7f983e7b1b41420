/* Never ends: for signals, pauses and clients that must end it. */
#include "tests/guests/bare.inc"

start:	print text
1:	pause
	jmp 1b
	define_puts
text:	.asciz "spinning\n"
