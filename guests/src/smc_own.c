/*
 * Code that changes the straight-line code it is in, just ahead of itself: an immediate, one byte of an immediate, an
 * opcode (INC becomes DEC), and the instruction directly behind the store. It ends with a REP STOSB that overwrites
 * the instructions behind it with NOPs and INCs, as many as its count says.
 *
 * An x86 processor executes what was stored, from the next instruction on. The hash takes the value that each pass
 * computes; an instruction that ran in its old form leaves another value.
 */
#include "guest.h"

#define PASSES 50

GUEST("smc_own", 0)

/* EAX = value stored, ECX = number of NOPs among eight INCs; returns EAX. */
__asm__("        .section .smc, \"awx\"\n"
        "        .balign 4096\n"
        "own_block:\n"
        "        movl %eax, 1f + 1\n"
        "1:      movl $0x11111111, %edx\n"
        "        movb %ah, 2f + 3\n"
        "        addl $5, %edx\n"
        "2:      xorl $0x22222222, %edx\n"
        /* 0x40 is INC EAX, 0x48 DEC EAX. */
        "        movl %eax, %ebx\n"
        "        andl $8, %ebx\n"
        "        orl $0x40, %ebx\n"
        "        movb %bl, 3f\n"
        "3:      inc %eax\n"
        "        addl %edx, %eax\n"
        "        movl %eax, %edx\n"
        "        movb $0x90, %al\n"
        "        movl $4f, %edi\n"
        "        rep stosb\n"
        "4:      .fill 8, 1, 0x42\n" /* inc %edx */
        "        movl %edx, %eax\n"
        "        ret\n"
        "        .globl own_increments\n"
        "        .set own_increments, 4b\n"
        "        .text\n");

extern uint8_t own_increments[8];

static uint32_t own_block(uint32_t value, uint32_t count)
{
    __asm__ volatile("call own_block" : "+a"(value), "+c"(count) : : "ebx", "edx", "edi", "memory", "cc");
    return value;
}

/* What a pass must return. The byte stored is the second of the operand of XOR, whose others stay. */
static uint32_t model(uint32_t value, uint32_t count)
{
    uint32_t operand = 0x22220022u | (value & 0xff00);
    uint32_t sum = (value & 8 ? value - 1 : value + 1) + ((value + 5) ^ operand);
    return sum + 8 - count;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t i = 0; i < n * PASSES; i++) {
        memset(own_increments, 0x42, 8);
        uint32_t count = h >> 13 & 7, value = own_block(h, count);
        if (value != model(h, count))
            fail(i);
        h = mix(h, value);
    }
    return h;
}
