/*
 * Code that changes other blocks: the one it jumps to next, the one that jumped to it, and one that has run many times
 * and is reached by a direct jump, an indirect jump and a return.
 *
 * A translator that links blocks directly must sever the links. Each pass compares with what a processor computes.
 */
#include "guest.h"

#define PASSES 24

GUEST("smc_next", 0)

/* EAX = value, ECX = way to reach the changed block (0 jump, 1 indirect jump, 2 return), EBX = what comes back. */
__asm__("        .section .smc, \"awx\"\n"
        "        .balign 4096\n"
        "next_block:\n"
        "        xorl %ebx, %ebx\n"
        "        movl $2, %edx\n"
        "1:      movl %eax, 4f + 2\n" /* The block that comes next. */
        "        testl %ecx, %ecx\n"
        "        jz 2f\n"
        "        cmpl $1, %ecx\n"
        "        je 3f\n"
        "        pushl $4f\n"
        "        ret\n"
        "2:      jmp 4f\n"
        "        .balign 64\n"
        "3:      movl $4f, %esi\n"
        "        jmp *%esi\n"
        "        .balign 64\n"
        "4:      addl $0x33333333, %ebx\n"
        "        movl %ebx, 6f + 1\n" /* A block further on, not yet run in this round of the loop. */
        "        roll $3, %eax\n"
        "        movb %dl, 5f + 2\n" /* This block's own end, reached by a jump. */
        "        jmp 5f\n"
        "        .balign 64\n"
        "5:      addl $0x44, %ebx\n"
        "        jmp 6f\n"
        "        .balign 64\n"
        "6:      movl $0x55555555, %esi\n"
        "        xorl %esi, %ebx\n"
        "        addl %eax, %ebx\n"
        "        decl %edx\n"
        "        jns 1b\n"
        "        ret\n"
        "        .text\n");

static uint32_t next_block(uint32_t value, uint32_t way)
{
    uint32_t sum;
    __asm__ volatile("call next_block" : "+a"(value), "=&b"(sum) : "c"(way) : "edx", "esi", "memory", "cc");
    return sum;
}

static uint32_t model(uint32_t value)
{
    uint32_t sum = 0;
    for (int round = 2; round >= 0; round--) {
        sum += value;
        uint32_t stored = sum;
        value = rotate_left(value, 3);
        sum += (uint32_t)round;
        sum = (sum ^ stored) + value;
    }
    return sum;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t i = 0; i < n * PASSES; i++) {
        uint32_t sum = next_block(h, i % 3);
        if (sum != model(h))
            fail(i);
        h = mix(h, sum);
    }
    return h;
}
