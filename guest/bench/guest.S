/*
 * The guest of `mayctl bench`: it needs no kernel, and so it measures monitors,
 * on any /dev/kvm. The first letter of its command line says what it does:
 *
 *	W  says so and waits until its memory file was written to: a restore
 *	I  says so and sleeps for good: an idle machine
 *	S  writes to 64 pages, over and over
 *	D  writes to 32 MiB, over and over
 *	P  turns the machine off by its sleep register, as ACPI has it
 *
 * and any other that it ends by a triple fault, without a word.
 *
 * All of it is in one page, and `wait` at a place that api/ctl/floor knows.
 */
	.set CODE, 0x100000
	.set FLAG, 0x180000	/* bench.h knows it, too */
	.set COM1, 0x3f8
	.set KEYBOARD, 0x64
	.set SLEEP_CONTROL, 0x600
	.set FIRST_PAGE, 16 << 20

	.section .note.pvh, "a", @note
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start, wait

start:	testl %ebx, %ebx	/* struct hvm_start_info; the floor has none */
	jz end
	movl 24(%ebx), %esi	/* cmdline_paddr */
	testl %esi, %esi
	jz end
	movb (%esi), %al
	movl $64, %edi
	cmpb $'S', %al
	je dirty
	movl $32 << 8, %edi
	cmpb $'D', %al
	je dirty
	cmpb $'W', %al
	je ready
	cmpb $'I', %al
	je idle
	cmpb $'P', %al
	je off

end:	lidt empty
	ud2

ready:	movw $COM1, %dx
	outb %al, %dx
	jmp wait

	/* Here it is entered after a restore, too; no stack, no registers. */
	.org 0x100
wait:	pause
	cmpb $0, FLAG
	je wait
	cmpb $1, FLAG
	jne speak
	movb $0xfe, %al		/* a reset, as by `reboot=k` */
	outb %al, $KEYBOARD
1:	hlt
	jmp 1b

speak:	movb $'!', %al
idle:	movw $COM1, %dx
	outb %al, %dx
1:	cli
	hlt
	jmp 1b

	/* %edi pages, and says so after the first round. */
dirty:	xorl %ecx, %ecx
1:	movl %ecx, %ebx
	shll $12, %ebx
	addl $FIRST_PAGE, %ebx
	incl (%ebx)
	incl %ecx
	cmpl %edi, %ecx
	jne 1b
	testb %al, %al
	jz 2f
	movw $COM1, %dx
	outb %al, %dx
	xorb %al, %al
2:	pause
	jmp dirty

off:	movb $0x34, %al		/* SLP_TYP 5 and SLP_EN */
	movw $SLEEP_CONTROL, %dx
	outb %al, %dx
	jmp end

empty:	.word 0
	.long 0
