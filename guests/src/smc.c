/*
 * Self-modifying code at speed: the immediate operand of a small function is patched and the function called, over
 * and over, as run-time code generators and old graphics routines do.
 *
 * The hash takes what each call returns; a call that runs stale code returns the value of the time before.
 */
#include "guest.h"

#define CALLS 500

GUEST("smc", 0)

uint32_t smc_function(uint32_t value);
extern uint8_t smc_immediate[4];

__asm__("        .section .smc, \"awx\"\n"
        "        .balign 4096\n"
        "smc_function:\n"
        "        movl 4(%esp), %eax\n"
        "        roll $7, %eax\n"
        "        .byte 0x05\n" /* addl $imm32, %eax */
        "smc_immediate:\n"
        "        .long 0\n"
        "        ret\n"
        "        .text\n");

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1, seed = 0x57c0de;
    for (uint32_t i = 0; i < n * CALLS; i++) {
        *(volatile uint32_t *)smc_immediate = next_random(&seed);
        h = smc_function(h);
    }
    return h;
}
