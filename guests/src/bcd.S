/*
 * The operations of bcd.c. Each is a function that takes EAX, EBX, ECX, EDX, EDI (an array in memory) and the flags,
 * and leaves results in EAX to EDX, the array and the flags. The table has code, flags that are defined, and the kind
 * of count that makes flags undefined.
 */
#define CF 0x001
#define PF 0x004
#define AF 0x010
#define ZF 0x040
#define SF 0x080
#define OF 0x800
#define ALL 0x8d5
#define NONE 0

/* Kinds: fixed; rotate by CL (OF only for 1); shift by CL (AF never, OF only for 1; nothing changes for 0). */
#define FIXED 0
#define ROTATE 1
#define SHIFT 2

        .macro OP name, flags, kind=FIXED
        .section .rodata
        .long \name, \flags, \kind
        .text
\name:
        .endm

        .section .rodata
        .balign 4
        .globl operations
operations:

OP aaa, AF | CF
        aaa
        ret
OP aas, AF | CF
        aas
        ret
OP daa, SF | ZF | AF | PF | CF
        daa
        ret
OP das, SF | ZF | AF | PF | CF
        das
        ret
OP aam, SF | ZF | PF
        aam
        ret
OP aam7, SF | ZF | PF
        aam $7
        ret
OP aad, SF | ZF | PF
        aad
        ret
OP aad13, SF | ZF | PF
        aad $13
        ret
OP add_daa, SF | ZF | AF | PF | CF
        addb %bl, %al
        daa
        adcb %bh, %ah
        ret
OP sub_das, SF | ZF | AF | PF | CF
        subb %bl, %al
        das
        ret

/* Bound and translation. */
OP bound_inside, ALL
        movl %eax, (%edi)
        movl %eax, 4(%edi)
        bound %eax, (%edi)
        ret
OP bound_word, ALL
        movw $0x8000, (%edi)
        movw $0x7fff, 2(%edi)
        boundw %ax, (%edi)
        ret
OP translate, ALL
        pushl %ebx
        movl %edi, %ebx
        xlat
        popl %ebx
        ret

/* Bits and strings of bits. */
OP bt_register, CF
        btl %ecx, %eax
        ret
OP bts_register, CF
        btsl %ecx, %eax
        ret
OP btr_word, CF
        btrw %cx, %ax
        ret
OP btc_register, CF
        btcl %ecx, %ebx
        ret
OP bt_memory, CF
        movswl %cx, %ecx
        sarl $5, %ecx
        btl %ecx, 128(%edi)
        ret
OP bts_memory, CF
        movswl %cx, %ecx
        sarl $5, %ecx
        btsl %ecx, 128(%edi)
        ret
OP btr_memory, CF
        movswl %cx, %ecx
        sarl $5, %ecx
        btrl %ecx, 128(%edi)
        ret
OP btc_memory_word, CF
        movswl %cx, %ecx
        sarl $5, %ecx
        btcw %cx, 128(%edi)
        ret
OP bt_immediate, CF
        btcl $37, (%edi)
        ret
OP bsf, ZF
        orl $0x40000, %ecx
        bsfl %ecx, %eax
        ret
OP bsr, ZF
        orl $2, %ecx
        bsrl %ecx, %eax
        ret
OP bsf_word, ZF
        orl $0x8000, %ecx
        bsfw %cx, %ax
        ret

/* Rotates through carry and plain ones. */
OP rcl_one, CF | OF
        rcll $1, %eax
        ret
OP rcr_one, CF | OF
        rcrl $1, %eax
        ret
OP rcl_count, ALL, ROTATE
        rcll %cl, %eax
        ret
OP rcr_count, ALL, ROTATE
        rcrl %cl, %eax
        ret
OP rcl_byte, ALL, ROTATE
        rclb %cl, %al
        ret
OP rcr_byte, ALL, ROTATE
        rcrb %cl, %ah
        ret
OP rcl_word, ALL, ROTATE
        rclw %cl, %ax
        ret
OP rcr_word, ALL, ROTATE
        rcrw %cl, (%edi)
        ret
OP rol_count, ALL, ROTATE
        roll %cl, %eax
        ret
OP ror_byte, ALL, ROTATE
        rorb %cl, %al
        ret

/* Shifts. */
OP shl_count, ALL, SHIFT
        shll %cl, %eax
        ret
OP shr_count, ALL, SHIFT
        shrl %cl, (%edi)
        ret
OP sar_count, ALL, SHIFT
        sarl %cl, %eax
        ret
OP sar_byte, ALL, SHIFT
        sarb %cl, %al
        ret
OP shld_count, ALL, SHIFT
        shldl %cl, %ebx, %eax
        ret
OP shrd_count, ALL, SHIFT
        shrdl %cl, %ebx, %eax
        ret
OP shld_memory, SF | ZF | PF | CF
        shldl $13, %eax, (%edi)
        ret
OP shrd_word, SF | ZF | PF | CF
        shrdw $5, %bx, %ax
        ret

/* Compare and exchange, and add. */
OP cmpxchg_register, ALL
        cmpxchgl %ecx, %ebx
        ret
OP cmpxchg_memory, ALL
        cmpxchgl %ecx, (%edi)
        ret
OP cmpxchg_equal, ALL
        movl (%edi), %eax
        lock cmpxchgl %ecx, (%edi)
        ret
OP cmpxchg_byte, ALL
        cmpxchgb %cl, (%edi)
        ret
OP cmpxchg8b, ALL
        cmpxchg8b (%edi)
        ret
OP cmpxchg8b_equal, ALL
        movl (%edi), %eax
        movl 4(%edi), %edx
        lock cmpxchg8b (%edi)
        ret
OP xadd_register, ALL
        xaddl %ecx, %ebx
        ret
OP xadd_memory, ALL
        lock xaddl %ecx, (%edi)
        ret
OP xadd_same, ALL
        xaddl %eax, %eax
        ret
OP bswap, ALL
        bswap %eax
        ret

/* Conditions. */
        .macro CONDITIONAL cc
OP cmov\cc, ALL
        cmov\cc %ecx, %eax
        cmov\cc (%edi), %edx
        cmov\cc\()w %cx, %bx
        ret
OP set\cc, ALL
        set\cc %al
        set\cc 5(%edi)
        ret
        .endm
        .irp cc, o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g
        CONDITIONAL \cc
        .endr

/* Flags moved about. */
OP lahf, ALL
        lahf
        ret
OP sahf, ALL
        sahf
        ret
OP carry, ALL
        cmc
        ret
OP adc, ALL
        adcl %ebx, %eax
        adcw (%edi), %cx
        ret
OP sbb, ALL
        sbbl %ebx, %eax
        sbbb %dl, 3(%edi)
        ret
OP neg, ALL
        negl %eax
        negb %cl
        ret
OP inc_keeps_carry, ALL
        incl %eax
        decl (%edi)
        ret

/* Multiplication, division, widening. */
OP mul, CF | OF
        mull %ebx
        ret
OP mul_byte, CF | OF
        mulb %bl
        ret
OP imul, CF | OF
        imull %ebx
        ret
OP imul_two, CF | OF
        imulw %bx, %cx
        ret
OP imul_three, CF | OF
        imull $-77, (%edi), %ecx
        ret
OP div, NONE
        movl $0, %edx
        orl $1, %ebx
        divl %ebx
        ret
OP idiv, NONE
        cltd
        orl $0x100, %ebx
        andl $0x7fffffff, %ebx
        idivl %ebx
        ret
OP div_byte, NONE
        movb $3, %ah
        orb $0x80, %bl
        divb %bl
        ret
OP widen, ALL
        cbtw
        cwtl
        movsbl %bh, %ebx
        movzwl %cx, %ecx
        cwtd
        ret

/* Loops, frames, addresses. */
OP loops, ALL
        andl $7, %ecx
        incl %ecx
        movl $0, %eax
1:      leal 3(%eax,%eax), %eax
        loop 1b
        jecxz 2f
        movl $0xbad, %eax
2:      cmpl %eax, %ebx
        movl $5, %ecx
3:      leal 1(%ebx), %ebx
        loopne 3b
        ret
/* ENTER with two enclosing frames copies two pointers from the frame of EBP. EAX: the new frame below ESP as it was;
   EBX: the space that it takes. */
OP enter_leave, ALL
        pushl %ebp
        leal 64(%edi), %ebp
        movl %esp, %ecx
        enter $24, $3
        movl -4(%ebp), %edx
        leal (%ecx), %eax
        subl %ebp, %eax
        leal (%ebp), %ebx
        subl %esp, %ebx
        leave
        subl %edi, %ebp
        leal (%ebp,%ecx), %ecx
        subl %esp, %ecx
        popl %ebp
        ret
OP lea_word, ALL
        movw %bx, %si
        .byte 0x67, 0x8d, 0x40, 0x80 /* leal -128(%bx,%si), %eax with 16-bit addressing */
        leal -5(%eax,%ecx,8), %ecx
        ret
OP push_pop, ALL
        pushw %ax
        pushw $-5
        popl %eax
        pushl %ebx
        popw %cx
        popw 6(%edi)
        ret
OP push_all, ALL
        pushal
        movl (%esp), %eax
        subl %edi, %eax
        addl %eax, 16(%esp)
        addl %ebx, 28(%esp)
        popal
        ret

        .section .rodata
        .globl operations_end
operations_end:

/* run_operation(struct values *values, const void *code): see bcd.c. */
        .text
        .globl run_operation
run_operation:
        pushal
        movl 36(%esp), %ebp
        movl 0(%ebp), %eax
        movl 4(%ebp), %ebx
        movl 8(%ebp), %ecx
        movl 12(%ebp), %edx
        movl 20(%ebp), %edi
        pushl 16(%ebp)
        popfl
        call *40(%esp)
        pushfl
        popl 16(%ebp)
        movl %eax, 0(%ebp)
        movl %ebx, 4(%ebp)
        movl %ecx, 8(%ebp)
        movl %edx, 12(%ebp)
        popal
        ret
        .section .note.GNU-stack, "", @progbits
