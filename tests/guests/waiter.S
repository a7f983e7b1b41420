/*
 * Waits until somebody has written into its memory, as nobody does while it
 * runs: into the memory file of its snapshot. Then it ends as `reboot=k` does,
 * so that its first act after a restore is one that shows.
 * tests/bench/restore-floor.c enters it at `wait` as well.
 */
#include "tests/guests/bare.inc"

	.set FLAG, 0x180000

start:	print text
	.globl wait
wait:	pause
	cmpb $0, FLAG
	je wait
	reset
	define_puts
text:	.asciz "waiting\n"
