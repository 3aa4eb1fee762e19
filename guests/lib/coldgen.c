/*
 * Writes the functions of the guest `cold` as assembly: a host program, run by the build script.
 *
 * Every function takes a running value in EAX and the address of a 4 KiB table in ESI, returns the new value in EAX,
 * clobbers ECX and EDX, and has 10 to 30 instructions with loads, stores and forward branches.
 */
#include <stdint.h>
#include <stdio.h>

#define FUNCTIONS 4000

static uint32_t state = 0x2545f491;

static uint32_t pick(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (state >> 8) % below;
}

static const char *const registers[] = {"%eax", "%ecx", "%edx"};

static void load(void)
{
    printf("\tmovl %u(%%esi), %s\n", 4 * pick(1024), registers[1 + pick(2)]);
}

static void store(void)
{
    if (pick(3))
        printf("\tmovl %s, %u(%%esi)\n", registers[pick(3)], 4 * pick(1024));
    else
        printf("\tmovb %s, %u(%%esi)\n", pick(2) ? "%al" : "%dl", pick(4096));
}

static void arithmetic(void)
{
    static const char *const two[] = {"addl", "subl", "xorl", "adcl", "orl", "imull"};
    const char *a = registers[pick(3)], *b = registers[pick(3)];
    switch (pick(5)) {
    case 0: printf("\t%s %s, %s\n", two[pick(6)], a, b); break;
    case 1: printf("\taddl $0x%x, %s\n", pick(0x1000000), b); break;
    case 2: printf("\troll $%u, %s\n", 1 + pick(30), b); break;
    case 3: printf("\tleal %u(%s,%s,%u), %s\n", pick(128), a, b, 1u << pick(4), registers[pick(3)]); break;
    default: printf("\t%s %u(%%esi), %s\n", two[pick(3)], 4 * pick(1024), b); break;
    }
}

/* A compare and a jump over one or two instructions. Returns the instructions written. */
static int branch(int label)
{
    static const char *const conditions[] = {"z", "c", "s", "l", "be", "g"};
    int skipped = 1 + (int)pick(2);
    printf("\tcmpl %s, %s\n\tj%s %df\n", registers[pick(3)], registers[pick(3)], conditions[pick(6)], label);
    for (int i = 0; i < skipped; i++)
        arithmetic();
    printf("%d:\n", label);
    return 2 + skipped;
}

static void function(int index)
{
    int len = 10 + (int)pick(21), at = 3, label = 1;
    printf("cold_%d:\n", index);
    load();
    while (at < len - 5) {
        switch (pick(6)) {
        case 0: load(); at++; break;
        case 1: store(); at++; break;
        case 2: at += branch(label++); break;
        default: arithmetic(); at++; break;
        }
    }
    for (; at < len; at++)
        arithmetic();
    /* Whatever the body did, the value changes, and so differently in each function. */
    printf("\txorl %s, %%eax\n\taddl $0x%x, %%eax\n\tret\n", registers[1 + pick(2)], pick(0xffffff) << 4 | 1);
}

int main(void)
{
    printf("\t.text\n");
    for (int i = 0; i < FUNCTIONS; i++)
        function(i);
    /* EAX = value, ESI = table: runs all functions once, in order. */
    printf("\t.globl cold_pass\ncold_pass:\n");
    for (int i = 0; i < FUNCTIONS; i++)
        printf("\tcall cold_%d\n", i);
    printf("\tret\n\t.section .note.GNU-stack, \"\", @progbits\n");
    return 0;
}
