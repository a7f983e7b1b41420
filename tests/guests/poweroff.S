/* Turns itself off through the ACPI sleep register: SLP_TYP 5, SLP_EN. */
#include "tests/guests/bare.inc"

start:	movw $SLEEP_CONTROL, %dx
	movb $(5 << 2 | 1 << 5), %al
	outb %al, %dx
1:	hlt
	jmp 1b
