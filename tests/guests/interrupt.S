/*
 * One interrupt all the way: the UART's transmitter raises pin 4, our I/O APIC
 * routes it to vector 0x40 of the local APIC in KVM, and the handler says so.
 * The same pin masked must stay silent.
 */
#include "tests/guests/bare.inc"

	.set IOAPIC, 0xfec00000
	.set LAPIC, 0xfee00000
	.set VECTOR, 0x40

	/* Writes \value to I/O APIC register \reg. */
	.macro ioapic reg, value
	movl $\reg, IOAPIC
	movl $\value, IOAPIC + 0x10
	.endm

start:	movl $0x80000, %esp
	lgdt gdt_pointer
	ljmp $8, $1f
1:	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $handler, %eax
	movw %ax, idt + VECTOR * 8
	movw $8, idt + VECTOR * 8 + 2
	movw $0x8e00, idt + VECTOR * 8 + 4
	shrl $16, %eax
	movw %ax, idt + VECTOR * 8 + 6
	lidt idt_pointer
	movl $0x1ff, LAPIC + 0xf0	/* spurious vector, APIC on */
	movl $0, LAPIC + 0x80		/* task priority: take all */

	/* Masked: enable THRE interrupts and see that nothing comes. */
	ioapic 0x18, (1 << 16 | VECTOR)
	ioapic 0x19, 0
	movb $8, %al			/* MCR: OUT2 lets the line through */
	movw $COM1 + 4, %dx
	outb %al, %dx
	movb $2, %al			/* IER: transmitter empty */
	movw $COM1 + 1, %dx
	outb %al, %dx
	sti
	movl $1000, %ecx
2:	pause
	loop 2b
	cli

	/* Unmasked: off and on again is a new edge. */
	movb $1, expected
	ioapic 0x18, VECTOR
	xorb %al, %al
	movw $COM1 + 1, %dx
	outb %al, %dx
	movb $2, %al
	outb %al, %dx
3:	sti
	hlt
	jmp 3b

bad:	print bad_text
	reset

	/*
	 * Never returns: kvm_pvm interprets this code, and KVM's interpreter
	 * knows no iret in protected mode.
	 */
handler: movw $COM1 + 2, %dx		/* IIR: which one? also acknowledges */
	inb %dx, %al
	movl $0, LAPIC + 0xb0		/* end of interrupt */
	cmpb $1, expected
	jne bad
	print good_text
	reset

	define_puts
good_text: .asciz "interrupt taken\n"
bad_text: .asciz "interrupt through a masked pin\n"
	.balign 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer: .word 23
	.long gdt
idt_pointer: .word 256 * 8 - 1
	.long idt
expected: .byte 0
	.bss
	.balign 16
idt:	.skip 256 * 8
