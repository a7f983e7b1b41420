/*
 * The ticker's registers: ticker_wait() fills all with words that tell them
 * apart, and %ebx with the count of ticks, which memory has as well; waits for
 * the next tick, looks whether they are still so, and calls ticker_tick() with
 * the name of the first that is not, or with NULL.
 */
#include "tests/guests/descriptors.inc"

	.set STACK, 0x90000
	.set EAX, 0xa0a1a2a3
	.set ECX, 0xc0c1c2c3
	.set EDX, 0xd0d1d2d3
	.set ESI, 0x50515253
	.set EDI, 0xd1d1d2d2
	.set EBP, 0xeb00eb11
	.set CR2, 0xc2c2c000
	.set DR0, 0x00d0d000
	.set DR1, 0x00d1d100
	.set DR2, 0x00d2d200
	.set DR3, 0x00d3d300
	.set OSFXSR, 0x200
	.set FRAME_CODE, 4		/* of what an interrupt pushes */
	.set FRAME_BYTES, 12
	.set FXSAVE_WORDS, 288 / 4	/* as far as XMM7 */

	/* The last comparison decided: \name is to blame unless it was equal. */
	.macro blame_unless_equal name
	.pushsection .rodata
8:	.asciz "\name"
	.popsection
	movl $8b, culprit
	jne ticked
	.endm

	.macro same register, value, name
	cmpl $\value, %\register
	blame_unless_equal \name
	.endm

	/* %eax is lost. */
	.macro same_special register, value
	movl %\register, %eax
	same eax, \value, \register
	.endm

	.text
	.code32
	.globl ticker_setup
ticker_setup:
	load_tables
	interrupt_gate 0x40, tick
	movl %cr4, %eax
	orl $OSFXSR, %eax
	movl %eax, %cr4
	movl %eax, cr4_was
	movl %cr0, %eax
	movl %eax, cr0_was
	fxrstor fx_pattern
	fxsave fx_before
	movl $CR2, %eax
	movl %eax, %cr2
	.irp n, 0, 1, 2, 3
	movl $DR\n, %eax
	movl %eax, %dr\n
	.endr
	ret

	/* The byte on the stack: whether to sleep or to spin meanwhile. */
	.globl ticker_wait
ticker_wait:
	movb 4(%esp), %al
	movb %al, sleeps
	movl $STACK, %esp
	movl $EAX, %eax
	movl tick_count, %ebx
	movl $ECX, %ecx
	movl $EDX, %edx
	movl $ESI, %esi
	movl $EDI, %edi
	movl $EBP, %ebp
	cmpb $0, sleeps
	je 2f
	sti
1:	hlt
	jmp 1b
2:	sti
3:	pause
	jmp 3b

tick:	same eax, EAX, eax
	cmpl tick_count, %ebx
	blame_unless_equal "ebx: registers and memory are of two moments"
	same ecx, ECX, ecx
	same edx, EDX, edx
	same esi, ESI, esi
	same edi, EDI, edi
	same ebp, EBP, ebp
	same esp, (STACK - FRAME_BYTES), esp
	same_special cs, CODE
	same_special ds, DATA
	same_special ss, DATA
	cmpl $CODE, FRAME_CODE(%esp)
	blame_unless_equal "cs of the frame"
	same_special cr2, CR2
	same_special dr0, DR0
	same_special dr1, DR1
	same_special dr2, DR2
	same_special dr3, DR3
	movl %cr0, %eax
	cmpl cr0_was, %eax
	blame_unless_equal cr0
	movl %cr4, %eax
	cmpl cr4_was, %eax
	blame_unless_equal cr4
	sgdt table
	movl gdt_pointer + 2, %eax
	cmpl table + 2, %eax
	blame_unless_equal gdtr
	sidt table
	movl idt_pointer + 2, %eax
	cmpl table + 2, %eax
	blame_unless_equal idtr
	fxsave fx_now
	movl $fx_now, %esi
	movl $fx_before, %edi
	movl $FXSAVE_WORDS, %ecx
	repe cmpsl
	blame_unless_equal "the FPU, or an XMM register"
	movl $0, culprit
ticked:	movl $STACK, %esp
	pushl culprit
	call ticker_tick
1:	hlt
	jmp 1b

	define_tables

	.data
	/* FCW, FSW, FTW (all in use), FOP, IP, DP, MXCSR, its mask. */
	.balign 16
	.globl fx_pattern, fx_before
fx_pattern:
	.word 0x027f, 0x0000, 0x00ff, 0
	.quad 0, 0
	.long 0x9fc0, 0xffff
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	.quad 0x87654321deadbe\n\n, 0x400\n
	.endr
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	.quad 0x0123456789abcd\n\n, 0xfedcba98765432\n\n
	.endr
	.fill 512 - 288, 1, 0
fx_before: .skip 512
fx_now:	.skip 512
culprit: .long 0
cr0_was: .long 0
cr4_was: .long 0
table:	.skip 8
sleeps:	.byte 0
