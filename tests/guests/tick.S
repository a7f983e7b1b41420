/* Writes a dot to the serial port for ever: a guest that shows that it runs. */
#include "tests/guests/bare.inc"

start:	print text
1:	movl $20000, %ecx
2:	pause
	loop 2b
	movw $COM1, %dx
	movb $'.', %al
	outb %al, %dx
	jmp 1b
	define_puts
text:	.asciz "ticking\n"
