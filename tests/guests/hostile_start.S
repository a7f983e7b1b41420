/*
 * Entry of the hostile guest, and the way up of its second processor: from
 * real mode at a page below 1 MiB, where hostile_machine.c copies it, to the
 * same flat 32 bits the first one was entered in.
 */
	.section .note.pvh, "a", @note
	.long 4, 4, 18		/* name and value sizes, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:	movl $stack_end, %esp
	movl %ebx, start_info
	xorl %ebp, %ebp
	call hostile_main
1:	cli
	hlt
	jmp 1b

	.globl second_begin, second_end
	.code16
second_begin:
	cli
	movw %cs, %ax
	movw %ax, %ds
	lgdtl gdt_pointer - second_begin
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $8, $second_flat
gdt_pointer: .word 23
	.long gdt
second_end:

	.code32
second_flat:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $second_stack_end, %esp
	xorl %ebp, %ebp
	call accomplice_main
1:	cli
	hlt
	jmp 1b

	.data
	.balign 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
	.globl start_info
start_info: .long 0

	.bss
	.balign 16
	.skip 0x4000
stack_end:
	.skip 0x2000
second_stack_end:
