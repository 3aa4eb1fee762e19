/* Entry of a guest as a static Linux i386 process: the initial stack is the argument of native_start. */
        .text
        .globl _start
_start:
        movl %esp, %eax
        andl $-16, %esp
        subl $12, %esp
        pushl %eax
        call native_start
        .section .note.GNU-stack, "", @progbits
