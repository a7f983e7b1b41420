/*
 * Waits like waiter.S until its memory file says that it may go on. Then it says
 * one byte on its serial port, which shows its first act after a restore, and
 * sleeps for good: tests/bench/clone wants many of it at once.
 * tests/bench/restore-floor.c enters it at `wait` as well.
 */
#include "tests/guests/bare.inc"

	.set FLAG, 0x180000
	.set COM1, 0x3f8

start:	print text
	.globl wait
wait:	pause
	cmpb $0, FLAG
	je wait
	movw $COM1, %dx
	movb $'!', %al
	outb %al, %dx
sleep:	cli
	hlt
	jmp sleep
	define_puts
text:	.asciz "waiting\n"
