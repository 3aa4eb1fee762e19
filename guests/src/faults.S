/*
 * The cases of faults.c. A case starts with
 *   EAX a1a2a3a4, ECX c1c2c3c4, EDX d1d2d3d4, EBX b1b2b3b4, EBP e1e2e3e4, ESI 40000000, EDI 40006000, ESP 40003800,
 *   CF PF AF ZF SF OF set,
 * and ends with its exception, or with INT 2f.
 */
#define END int $0x2f
#define SKIP_FLAGS 1
#define SKIP_MEMORY 2
/* A read-modify-write of an absent page: processors say write, QEMU says read. */
#define SKIP_DIRECTION 4

/* Pages of the window, see set_up_window. */
#define RW 0x40000000
#define RO 0x40001000
#define ABSENT 0x40002000
#define SUPER 0x40004000
#define SUPER_RO 0x40005000
#define RW2 0x40006000
#define ABSENT2 0x40007000

/* Selectors, see set_up_descriptors. */
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x1b
#define USER_DATA 0x23
#define TSS 0x28
#define DATA_ABSENT 0x30
#define DATA_READ_ONLY 0x38
#define CODE_EXECUTE_ONLY 0x40
#define CODE_ABSENT 0x48
#define TSS_ABSENT 0x60
#define BEYOND_LIMIT 0x80
#define IN_LDT 0x0c

        .macro CASE name, ring=0, skip=0
        .section .rodata
        .long \name, \ring, \skip
8:      .asciz "\name"
        .skip 20 - (. - 8b)
        .text
        .balign 16
\name:
        .endm

/* A data segment register, or SS, gets the selector. */
        .macro LOAD register, selector
        movl $\selector, %eax
        movl %eax, \register
        END
        .endm

/* IRET with this frame (from ring 0 to ring 3 when CS says so). */
        .macro RETURN_TO cs, ss
        pushl $\ss
        pushl $RW2
        pushl $2
        pushl $\cs
        pushl $0
        iret
        END
        .endm

        .section .rodata
        .balign 4
        .globl fault_cases
fault_cases:

/* Arithmetic and invalid operations. */
CASE de_zero
        movl $0, %ecx
        divl %ecx
CASE de_quotient
        movl $1, %ecx
        movl $1, %edx
        divl %ecx
CASE de_signed
        movl $0x80000000, %eax
        movl $-1, %edx
        movl $-1, %ecx
        idivl %ecx
CASE de_byte
        movl $0x8000, %eax
        movb $-1, %bl
        idivb %bl
CASE de_memory
        divl RW + 0x100
CASE de_aam
        aam $0
CASE ud_ud2
        ud2
CASE ud_lock_register
        .byte 0xf0, 0x40
CASE ud_lea_register
        .byte 0x8d, 0xc0
CASE ud_mov_cs
        .byte 0x8e, 0xc8
CASE ud_cr1
        .byte 0x0f, 0x20, 0xc8
CASE br_outside
        bound %eax, RW
        END
CASE br_inside
        movl $0x12, %eax
        movl $0x10, RW
        movl $0x12, RW + 4
        bound %eax, RW
        END
CASE of_set
        into
CASE of_clear
        cmpl %ecx, %ecx
        into
        END
CASE bp_int3
        int3
CASE db_step
        pushfl
        orl $0x100, (%esp)
        popfl
        incl %eax
        incl %eax
        END
CASE db_step_rep
        movl $5, %ecx
        pushfl
        orl $0x100, (%esp)
        popfl
        rep stosb
        END
CASE int_end
        END

/* Selectors and gates. */
CASE np_gate
        int $0x90
CASE gp_gate_type
        int $0xa0
CASE gp_ds_limit
        LOAD %ds, BEYOND_LIMIT
CASE gp_ds_tss
        LOAD %ds, TSS
CASE gp_ds_ldt
        LOAD %ds, IN_LDT
CASE gp_ds_execute_only
        LOAD %es, CODE_EXECUTE_ONLY
CASE np_ds
        LOAD %ds, DATA_ABSENT
CASE np_pop_fs
        pushl $DATA_ABSENT
        popl %fs
        END
CASE ss_absent
        LOAD %ss, DATA_ABSENT
CASE gp_ss_null
        LOAD %ss, 0
CASE gp_ss_code
        LOAD %ss, KERNEL_CODE
CASE gp_ss_rpl
        LOAD %ss, KERNEL_DATA + 3
CASE gp_ss_dpl
        LOAD %ss, USER_DATA
CASE gp_ss_read_only
        LOAD %ss, DATA_READ_ONLY
CASE gp_jump_null
        ljmp $0, $0
CASE gp_jump_data
        ljmp $KERNEL_DATA, $0
CASE gp_jump_user
        ljmp $USER_CODE, $0
CASE np_jump
        ljmp $CODE_ABSENT, $0
CASE np_call
        lcall $CODE_ABSENT, $0
CASE gp_iret_null
        RETURN_TO 0, KERNEL_DATA
CASE gp_iret_data
        RETURN_TO KERNEL_DATA, KERNEL_DATA
CASE np_iret
        RETURN_TO CODE_ABSENT, KERNEL_DATA
CASE gp_iret_ss_null
        RETURN_TO USER_CODE, 0
CASE gp_iret_ss_dpl
        RETURN_TO USER_CODE, KERNEL_DATA
CASE np_lret
        pushl $CODE_ABSENT
        pushl $0
        lret
CASE gp_ltr_busy
        movl $TSS, %eax
        ltr %ax
        END
CASE np_ltr
        movl $TSS_ABSENT, %eax
        ltr %ax
        END
CASE gp_lldt_data
        movl $KERNEL_DATA, %eax
        lldt %ax
        END
CASE queries
        movl $KERNEL_DATA, %ebx
        larl %ebx, %eax
        lsll %ebx, %ecx
        movl $CODE_EXECUTE_ONLY, %edx
        verr %dx
        setz %dl
        movl $BEYOND_LIMIT, %ebp
        larl %ebp, %ebx
        setz %dh
        movl $DATA_READ_ONLY, %ebp
        verw %bp
        END

/* Page faults in ring 0. */
CASE pf_read
        movl ABSENT + 8, %eax
CASE pf_write
        movl %eax, ABSENT + 8
CASE pf_modify, 0, SKIP_DIRECTION
        addl %eax, ABSENT + 8
CASE pf_read_only
        movl %eax, RO + 4
CASE pf_read_only_wp0, 0, SKIP_FLAGS
        movl %cr0, %eax
        andl $~0x10000, %eax
        movl %eax, %cr0
        movl $0x5a5a5a5a, RO + 4
        movl RO + 4, %eax
        END
CASE pf_increment
        incl RO + 4
CASE pf_shift
        shll $3, RO + 4
CASE pf_exchange
        xchgl %eax, RO + 4
CASE pf_add_exchange
        xaddl %eax, RO + 4
CASE pf_compare_unequal
        cmpxchgl %ecx, RO + 4
CASE pf_compare_8
        cmpxchg8b RO + 8
CASE pf_set
        setc RO + 5
CASE pf_bit_string
        movl $0x8000 + 65, %ecx
        btsl %ecx, RW
CASE pf_cross_read
        movl RO + 0xffe, %eax
CASE pf_cross_write
        movl %eax, RW2 + 0xffe
CASE pf_cross_write_ro
        movl %eax, RW + 0xffd
CASE pf_cross_modify, 0, SKIP_DIRECTION
        addl %eax, RW2 + 0xfff
CASE pf_cross_word
        movw %ax, RW2 + 0xfff
CASE pf_push_memory
        pushl ABSENT
CASE pf_pop_memory
        popl ABSENT
CASE pf_pop_memory_esp
        movl $0x40003800, %esp
        popl -0x1800(%esp)
CASE pf_call_memory
        call *ABSENT
CASE pf_jump
        movl $ABSENT + 5, %eax
        jmp *%eax
CASE pf_fetch_cross
        movl $RW2 + 0xffd, %eax
        jmp *%eax
CASE pf_movs_into
        movl $RW2 + 0xff0, %edi
        movl $8, %ecx
        rep movsl
CASE pf_movs_from
        movl $RO + 0xffa, %esi
        movl $9, %ecx
        rep movsb
CASE pf_movs_unaligned
        movl $RW2 + 0xff3, %edi
        movl $8, %ecx
        rep movsl
CASE pf_movs_down
        std
        movl $SUPER + 8, %esi
        movl $RW2 + 8, %edi
        movl $9, %ecx
        rep movsl
CASE pf_stos_ro
        movl $RW + 0xffb, %edi
        movl $20, %ecx
        rep stosb
CASE pf_stos_word
        movl $RW + 0xffb, %edi
        movl $20, %ecx
        rep stosw
CASE pf_scas, 0, SKIP_FLAGS
        movl $RW2 + 0xffa, %edi
        movl $20, %ecx
        repne scasb
CASE pf_cmps, 0, SKIP_FLAGS
        movl $RO + 0xff0, %esi
        movl $RO + 0xff0, %edi
        movl $20, %ecx
        repe cmpsl
CASE pf_lods
        movl $RO + 0xff8, %esi
        movl $20, %ecx
        rep lodsl
CASE pf_xlat
        movl $ABSENT, %ebx
        xlat
CASE pf_far_pointer
        lesl ABSENT - 2, %eax
CASE pf_bound
        bound %eax, ABSENT - 4

/* Ring 3. */
CASE u_end, 3
        END
CASE u_de, 3
        movl $0, %ecx
        idivl %ecx
CASE u_ud, 3
        ud2
CASE u_br, 3
        bound %eax, RW
CASE u_int_dpl0, 3
        int $0x20
CASE u_int3_dpl0, 3
        int3
CASE u_into_dpl0, 3
        into
CASE u_gate_absent, 3
        int $0x90
CASE u_hlt, 3
        hlt
CASE u_cli, 3
        cli
CASE u_sti, 3
        sti
CASE u_in, 3
        inb $0x80, %al
CASE u_out, 3
        outl %eax, %dx
CASE u_outs, 3
        rep outsb
CASE u_read_cr, 3
        movl %cr0, %eax
CASE u_write_cr, 3
        movl %eax, %cr3
CASE u_read_dr, 3
        movl %dr7, %eax
CASE u_lgdt, 3
        lgdt RW
CASE u_lidt_absent, 3
        lidt ABSENT
CASE u_invlpg, 3
        invlpg RW
CASE u_clts, 3
        clts
CASE u_wbinvd, 3
        wbinvd
CASE u_rdmsr, 3
        rdmsr
CASE u_popf, 3
        pushl $0x3ed7
        popfl
        pushfl
        popl %eax
        cld
        END
CASE u_kernel_ds, 3
        LOAD %ds, KERNEL_DATA
CASE u_kernel_ss, 3
        LOAD %ss, KERNEL_DATA
CASE u_null_ds, 3
        LOAD %ds, 0
CASE u_kernel_jump, 3
        ljmp $KERNEL_CODE, $0
CASE u_iret_inward, 3
        RETURN_TO KERNEL_CODE, KERNEL_DATA
CASE u_lret_inward, 3
        pushl $KERNEL_CODE
        pushl $0
        lret
CASE u_queries, 3
        movl $KERNEL_DATA, %ebx
        verr %bx
        setz %al
        movl $USER_DATA, %ebx
        verw %bx
        setz %ah
        lsll %ebx, %ecx
        movl $KERNEL_DATA, %edx
        movl %edx, %ebp
        larl %ebp, %edx
        movl $0x10, %ebp
        movl $USER_DATA, %ebx
        arpl %bx, %bp
        END
CASE u_read_super, 3
        movl SUPER, %eax
CASE u_write_super, 3
        movl %eax, SUPER
CASE u_write_super_ro, 3
        movl %eax, SUPER_RO
CASE u_read_absent, 3
        movl ABSENT, %eax
CASE u_write_absent, 3
        movl %eax, ABSENT
CASE u_read_ro, 3
        movl RO, %eax
        END
CASE u_write_ro, 3
        movl %eax, RO
CASE u_jump_super, 3
        movl $SUPER, %eax
        jmp *%eax
CASE u_jump_absent, 3
        movl $ABSENT, %eax
        jmp *%eax
CASE u_fetch_cross, 3
        movl $RW2 + 0xffd, %eax
        jmp *%eax
CASE u_push, 3
        movl $ABSENT2 + 0x1000, %esp
        pushl %eax
CASE u_push_ro, 3
        movl $RO + 0x10, %esp
        pushl $0x1234
CASE u_push_cross, 3
        movl $RW2 + 2, %esp
        pushl %eax
CASE u_pushf, 3
        movl $ABSENT + 0x20, %esp
        pushfl
CASE u_call, 3
        movl $ABSENT + 0x20, %esp
        call u_call
CASE u_call_indirect, 3
        movl $ABSENT + 0x20, %esp
        call *%eax
CASE u_ret, 3
        movl $ABSENT2 - 2, %esp
        ret
CASE u_pop, 3
        movl $ABSENT2 - 2, %esp
        popl %ebx
CASE u_enter, 3
        movl $ABSENT + 0x20, %esp
        enter $16, $0
CASE u_leave, 3
        movl $ABSENT, %ebp
        leave
CASE u_int_on_bad_stack, 3
        movl $ABSENT, %esp
        END
CASE u_sgdt_absent, 3
        sgdt ABSENT
CASE u_step, 3
        pushfl
        orl $0x100, (%esp)
        popfl
        nop
        END

        .section .rodata
        .globl fault_cases_end
fault_cases_end:

/* Where the gate of ring 3 leads: what the processor pushed goes to registers. */
        .text
        .globl faults_gate_target
faults_gate_target:
        movl 8(%esp), %eax
        movl 12(%esp), %ebx
        movl 16(%esp), %ecx
        movl 20(%esp), %edx
        END

/* faults_run(code, ring): returns when the case's exception was recorded. */
        .globl faults_run
faults_run:
        pushal
        movl %esp, faults_saved
        movl 36(%esp), %eax
        movl %eax, faults_target
        cmpl $0, 40(%esp)
        movl $0xc1c2c3c4, %ecx
        movl $0xd1d2d3d4, %edx
        movl $0xb1b2b3b4, %ebx
        movl $0xe1e2e3e4, %ebp
        movl $RW, %esi
        movl $RW2, %edi
        jne 1f
        movl $0x40003800, %esp
        pushl $0x8d7
        movl $0xa1a2a3a4, %eax
        popfl
        jmp *faults_target
1:      movl $USER_DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        pushl $USER_DATA
        pushl $0x40003800
        pushl $0x8d7
        pushl $USER_CODE
        pushl faults_target
        movl $0xa1a2a3a4, %eax
        iret

        .globl faults_leave
faults_leave:
        movl $KERNEL_DATA, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %ss
        movl faults_saved, %esp
        pushl $2
        popfl
        popal
        ret

        .lcomm faults_saved, 4
        .lcomm faults_target, 4
        .section .note.GNU-stack, "", @progbits
