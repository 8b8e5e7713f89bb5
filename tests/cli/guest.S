/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of a few hundred bytes, an ELF file with a PVH entry, for tests of the command line and
 * of how the machine ends. Its command line is one word, what it is to do: see `actions`. It uses
 * simple instructions only, and the serial port without interrupts.
 */
	.set COM1, 0x3f8
	.set COM1_LSR, COM1 + 5
	.set LSR_DATA, 0x01
	.set LSR_EMPTY, 0x20
	.set PM1_STATUS, 0x600
	.set PM1_ENABLE, 0x602
	.set PM1_CONTROL, 0x604
	.set POWER_BUTTON, 0x0100
	.set SLEEP_S5, 5 << 10 | 1 << 13
	.set CMOS_INDEX, 0x70
	.set CMOS_DATA, 0x71
	.set CMOS_MARK, 0x50		/* memory of the clock, which a reset leaves alone */
	.set START_INFO_CMDLINE, 24
	.set NOT_MEMORY, 0xd0000000	/* in the PCI window, where no BAR is */

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	movl $stack_end, %esp
	movl START_INFO_CMDLINE(%ebx), %ebp
	movl $hello, %esi
	call print
	movl $actions, %ebx
next_action:
	movl (%ebx), %edi
	testl %edi, %edi
	jz unknown
	movl %ebp, %esi
compare:
	movb (%esi), %al
	cmpb %al, (%edi)
	jne differs
	testb %al, %al
	jz found
	incl %esi
	incl %edi
	jmp compare
differs:
	addl $8, %ebx
	jmp next_action
found:
	movl 4(%ebx), %eax
	jmp *%eax

unknown:
	movl $what, %esi
	call print
	jmp off

/* Prints the string at esi. */
print:
	movb (%esi), %cl
	testb %cl, %cl
	jz print_done
	call put
	incl %esi
	jmp print
print_done:
	ret

/* Sends the character in cl. */
put:
	movl $COM1_LSR, %edx
	inb %dx, %al
	testb $LSR_EMPTY, %al
	jz put
	movb %cl, %al
	movl $COM1, %edx
	outb %al, %dx
	ret

off:
	movl $bye, %esi
	call print
	movl $PM1_CONTROL, %edx
	movl $SLEEP_S5, %eax
	outw %ax, %dx
hang:
	cli
	hlt
	jmp hang

spin:
	jmp spin

/* No interrupt table, so that no exception can be delivered. */
triple:
	lidt no_table
	ud2

panic:
	movl $0x505, %edx
	movb $1, %al
	outb %al, %dx
	jmp hang

/* Works for any processor but not for one that is emulated: an 80-bit load from a device. */
emulate:
	fninit
	fldt NOT_MEMORY
	jmp off

reset:
	call first_time
	movl $0xcf9, %edx
	movb $6, %al
	outb %al, %dx
	jmp hang

keyboard:
	call first_time
	movl $0x64, %edx
	movb $0xfe, %al
	outb %al, %dx
	jmp hang

/* Returns in the first run of this machine; in the second one it is off. */
first_time:
	movl $CMOS_INDEX, %edx
	movb $CMOS_MARK, %al
	outb %al, %dx
	movl $CMOS_DATA, %edx
	inb %dx, %al
	cmpb $0xa5, %al
	je second
	movb $0xa5, %al
	outb %al, %dx
	ret
second:
	movl $again, %esi
	call print
	jmp off

/* Waits for the power button, says so, and is off. */
button:
	movl $PM1_ENABLE, %edx
	movl $POWER_BUTTON, %eax
	outw %ax, %dx
	movl $ready, %esi
	call print
	movl $PM1_STATUS, %edx
wait_button:
	inw %dx, %ax
	testl $POWER_BUTTON, %eax
	jz wait_button
	movl $pressed, %esi
	call print
	jmp off

/* Sends back what it gets until a full stop. */
echo:
	movl $ready, %esi
	call print
next_input:
	movl $COM1_LSR, %edx
	inb %dx, %al
	testb $LSR_DATA, %al
	jz next_input
	movl $COM1, %edx
	inb %dx, %al
	cmpb $'.', %al
	je off
	movb %al, %cl
	call put
	jmp next_input

/* Many lines. */
flood:
	movl $300, %ebp
next_line:
	movl $line, %esi
	call print
	decl %ebp
	jnz next_line
	jmp off

	.section .rodata
	.balign 4
actions:
	.long name_off, off, name_hang, hang, name_spin, spin, name_triple, triple
	.long name_panic, panic, name_emulate, emulate, name_reset, reset
	.long name_keyboard, keyboard, name_button, button, name_echo, echo, name_flood, flood
	.long 0
no_table:
	.short 0
	.long 0
name_off:	.asciz "off"
name_hang:	.asciz "hang"
name_spin:	.asciz "spin"
name_triple:	.asciz "triple"
name_panic:	.asciz "panic"
name_emulate:	.asciz "emulate"
name_reset:	.asciz "reset"
name_keyboard:	.asciz "keyboard"
name_button:	.asciz "button"
name_echo:	.asciz "echo"
name_flood:	.asciz "flood"
hello:		.asciz "guest: hello\n"
bye:		.asciz "guest: off\n"
again:		.asciz "guest: again\n"
ready:		.asciz "guest: ready\n"
pressed:	.asciz "guest: button\n"
what:		.asciz "guest: no such action\n"
line:		.asciz "guest: one line of many\n"

	.bss
	.balign 16
	.skip 4096
stack_end:

	.section .note.GNU-stack, "", @progbits
