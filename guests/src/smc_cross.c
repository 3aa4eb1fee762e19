/*
 * Stores to an instruction that crosses a page: to its bytes on the first page, on the second page, and by one store
 * that crosses the boundary itself. The instruction's immediate has two bytes on each page.
 *
 * Each pass compares what the function returns with the bytes stored; stale code returns an older value.
 */
#include "guest.h"

#define PASSES 200

GUEST("smc_cross", 0)

uint32_t cross_function(void);
extern uint8_t cross_immediate[4];

/* movl $imm32, %eax is b8 and four bytes: it starts three bytes before the boundary. */
__asm__("        .section .smc, \"awx\"\n"
        "        .balign 4096\n"
        "        .skip 4096 - 3 - 2\n"
        "cross_function:\n"
        "        nop\n"
        "        nop\n"
        "        .byte 0xb8\n"
        "cross_immediate:\n"
        "        .long 0\n"
        "        ret\n"
        "        .text\n");

uint32_t guest_main(uint32_t n)
{
    volatile uint8_t *immediate = cross_immediate;
    uint32_t h = 1, expected = 0;
    if (((uint32_t)immediate & 4095) != 4094)
        fail(1);
    *(volatile uint32_t *)immediate = 0;
    for (uint32_t i = 0; i < n * PASSES; i++) {
        switch (h >> 11 & 3) {
        case 0: /* Last byte of the first page. */
            immediate[1] = (uint8_t)h;
            expected = (expected & 0xffff00ff) | (h & 0xff) << 8;
            break;
        case 1: /* Second page. */
            *(volatile uint16_t *)(immediate + 2) = (uint16_t)h;
            expected = (expected & 0xffff) | h << 16;
            break;
        case 2: /* Both, by one dword. */
            *(volatile uint32_t *)immediate = h;
            expected = h;
            break;
        default: /* Both, by one word across the boundary. */
            *(volatile uint16_t *)(immediate + 1) = (uint16_t)h;
            expected = (expected & 0xff0000ff) | (h & 0xffff) << 8;
            break;
        }
        uint32_t got = cross_function();
        if (got != expected)
            fail(i);
        h = mix(h, got);
    }
    return h;
}
