/* Entry of a guest on a machine: multiboot header, entry point, vector code. */

#define MAGIC 0x1badb002
/* Modules aligned to pages; memory information wanted. */
#define FLAGS 3

        .section .multiboot, "a"
        .balign 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .globl _start
_start:
        cli
        cld
        movl $stack_top, %esp
        pushl $0
        popfl
        pushl %ebx
        pushl %eax
        call machine_start
1:      hlt
        jmp 1b

/* Loads the GDT that the pseudo-descriptor at 4(%esp) describes, all segment registers, TR, and a null LDTR. */
        .globl load_gdt
load_gdt:
        movl 4(%esp), %eax
        lgdt (%eax)
        ljmp $0x08, $1f
1:      movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %gs
        movl %eax, %ss
        movl $0x28, %eax
        ltr %ax
        xorl %eax, %eax
        lldt %ax
        ret

/* One entry for each vector below 48, all 16 bytes apart. Vectors without an error code push 0. */
        .balign 16
        .globl vector_entries
vector_entries:
        .set vector, 0
        .rept 48
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
        pushl $0
        .endif
        pushl $vector
        jmp vector_common
        .set vector, vector + 1
        .endr

/* The stack from here is struct frame of machine.h. */
        .balign 16
        .globl vector_common
vector_common:
        pushal
        pushl %ds
        pushl %es
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        cld
        pushl %esp
        call vector_dispatch
        addl $4, %esp
        popl %es
        popl %ds
        popal
        addl $8, %esp
        iret

        .bss
        .balign 4096
        .space 32768
stack_top:
        .section .note.GNU-stack, "", @progbits
