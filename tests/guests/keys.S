/* Asks the keyboard for a reset; its answer is an interrupt. Then ends. */
#include "tests/guests/bare.inc"

	.set KEYBOARD_RESET, 0xff
	.set PULSE_RESET_LINE, 0xfe

start:	movb $KEYBOARD_RESET, %al
	outb %al, $0x60
	movb $PULSE_RESET_LINE, %al
	outb %al, $0x64
1:	hlt
	jmp 1b
