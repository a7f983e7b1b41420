/* See idle.h. */
#include "tests/guests/descriptors.inc"

	.set LAPIC_EOI, 0xfee000b0

	.text
	.code32
	.globl idle_tables
idle_tables:
	load_tables
	interrupt_gate 0x40, timer
	interrupt_gate 0x41, device
	ret

	.globl idle
idle:	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, stack_of_idle
	sti
1:	hlt
	jmp 1b

timer:	movl $0x40, %eax
	jmp wake
device:	movl $0x41, %eax
wake:	movl stack_of_idle, %esp
	movl $0, LAPIC_EOI
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret

	define_tables
	.bss
stack_of_idle: .long 0
