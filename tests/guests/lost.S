/* Goes on where there is no memory, which KVM cannot run or emulate. */
#include "tests/guests/bare.inc"

	.set NOBODY, 0xd8000000

start:	movl $NOBODY, %eax
	jmp *%eax
