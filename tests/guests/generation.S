/*
 * Says what it is by the id and the clock of its generation, at its start and
 * whenever the interrupt comes that tells of others: bytes in the order of
 * memory, "id 16 bytes, sequence, disruptions, generations".
 */
#include "tests/guests/bare.inc"

	.set IOAPIC, 0xfec00000
	.set LAPIC, 0xfee00000
	.set VECTOR, 0x40
	.set PIN, 3
	.set ID, 0xeeff0
	.set CLOCK, 0xef000

	/* Writes \value to I/O APIC register \reg. */
	.macro ioapic reg, value
	movl $\reg, IOAPIC
	movl $\value, IOAPIC + 0x10
	.endm

	/* A blank and \count bytes at \address. */
	.macro dump address, count
	movb $' ', %al
	movw $COM1, %dx
	outb %al, %dx
	movl $\address, %esi
	movl $\count, %ecx
	call hex
	.endm

start:	movl $0x80000, %esp
	lgdt gdt_pointer
	ljmp $8, $1f
1:	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $again, %eax
	movw %ax, idt + VECTOR * 8
	movw $8, idt + VECTOR * 8 + 2
	movw $0x8e00, idt + VECTOR * 8 + 4
	shrl $16, %eax
	movw %ax, idt + VECTOR * 8 + 6
	lidt idt_pointer
	movl $0x1ff, LAPIC + 0xf0	/* spurious vector, APIC on */
	movl $0, LAPIC + 0x80		/* task priority: take all */
	ioapic (0x10 + 2 * PIN + 1), 0
	ioapic (0x10 + 2 * PIN), VECTOR
	jmp say

	/* By the interrupt, from which nothing returns: see interrupt.S. */
again:	movl $0, LAPIC + 0xb0
say:	print id_text
	dump ID, 16
	dump CLOCK + 12, 4
	dump CLOCK + 16, 8
	dump CLOCK + 104, 8
	print end_text
2:	sti
	hlt
	jmp 2b

hex:	movb (%esi), %al
	shrb $4, %al
	call digit
	movb (%esi), %al
	andb $15, %al
	call digit
	incl %esi
	loop hex
	ret

digit:	addb $'0', %al
	cmpb $'9', %al
	jbe 3f
	addb $('a' - '9' - 1), %al
3:	outb %al, %dx
	ret

	define_puts
id_text: .asciz "id"
end_text: .asciz "\n"
	.balign 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer: .word 23
	.long gdt
idt_pointer: .word 256 * 8 - 1
	.long idt
	.bss
	.balign 16
idt:	.skip 256 * 8
