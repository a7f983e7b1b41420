/*
 * The pair's interrupts: each is counted for the processor that takes it, and
 * ends the wait of that one. Nothing is returned to by IRET, which not every
 * software KVM knows.
 */
#include "tests/guests/descriptors.inc"

	.set LAPIC_ID, 0xfee00020
	.set LAPIC_EOI, 0xfee000b0

	/* %eax is this processor's number then. */
	.macro which_processor
	movl LAPIC_ID, %eax
	shrl $24, %eax
	.endm

	.macro counts_in counts
	which_processor
	incl \counts(, %eax, 4)
	movl stacks(, %eax, 4), %esp
	movl $0, LAPIC_EOI
	popl %ebp
	popl %ebx
	popl %esi
	popl %edi
	ret
	.endm

	.macro begin_wait
	pushl %edi
	pushl %esi
	pushl %ebx
	pushl %ebp
	which_processor
	movl %esp, stacks(, %eax, 4)
	sti
	.endm

	.text
	.code32
	.globl pair_tables
pair_tables:
	interrupt_gate 0x40, timer
	interrupt_gate 0x41, called
	ret

	.globl pair_load
pair_load:
	load_tables
	ret

	/* Both return after one interrupt, with interrupts off. */
	.globl pair_sleep
pair_sleep:
	begin_wait
1:	hlt
	jmp 1b

	.globl pair_spin
pair_spin:
	begin_wait
1:	pause
	jmp 1b

timer:	counts_in pair_timers
called:	counts_in pair_calls

	define_tables
	.globl pair_timers, pair_calls
	.balign 4
pair_timers: .skip 8
pair_calls: .skip 8
stacks:	.skip 8
