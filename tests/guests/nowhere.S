/*
 * Reads and writes where nobody answers, in every width, by port and by
 * memory, and checks that reads give all ones. Prints what it found.
 */
#include "tests/guests/bare.inc"

	.set NOBODY_PORT, 0x5658
	.set NOBODY, 0xd8000000

start:	movw $NOBODY_PORT, %dx
	xorl %eax, %eax
	outb %al, %dx
	outw %ax, %dx
	outl %eax, %dx
	inl %dx, %eax
	cmpl $0xffffffff, %eax
	jne bad
	xorl %eax, %eax
	inb %dx, %al
	cmpl $0xff, %eax
	jne bad
	movl $1, NOBODY
	movl NOBODY + 0xffc, %eax
	cmpl $0xffffffff, %eax
	jne bad
	movzwl NOBODY, %eax
	cmpl $0xffff, %eax
	jne bad
	print good_text
	reset
bad:	print bad_text
	reset
	define_puts
good_text: .asciz "nobody answers, as it should be\n"
bad_text: .asciz "somebody answered\n"
