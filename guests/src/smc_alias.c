/*
 * Self-modifying code through a second linear mapping of the same frame: the store and the execution have different
 * linear addresses. Also the other way about, executing through the alias what was stored through the first mapping,
 * and code that patches its own block through the alias.
 *
 * Bookkeeping by linear address misses these stores. Each pass compares what the functions return with what was
 * stored.
 */
#include "machine.h"

#define ALIAS 0x50000000u
#define PASSES 200

GUEST("smc_alias", NEEDS_PAGING)

extern uint8_t alias_page[], alias_function[], alias_own[];

/* alias_own: EAX = value, EBX = distance of the mapping through which it patches the instruction behind the store. */
__asm__("        .section .smc, \"awx\"\n"
        "        .balign 4096\n"
        "alias_page:\n"
        "        .balign 64\n"
        "alias_function:\n"
        "        movl $0x11111111, %eax\n"
        "        ret\n"
        "        .balign 64\n"
        "alias_own:\n"
        "        movl %eax, 1f + 1(%ebx)\n"
        "1:      movl $0x22222222, %eax\n"
        "        ret\n"
        "        .balign 4096\n"
        "        .text\n");

typedef uint32_t function(void);

static uint32_t call_own(uint32_t at, uint32_t value, uint32_t distance)
{
    __asm__ volatile("call *%1" : "+a"(value) : "r"(at), "b"(distance) : "memory", "cc");
    return value;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t page = (uint32_t)alias_page, h = 1, distance = ALIAS - page;
    map_page(page_directory(), ALIAS, page, PTE_P | PTE_W);
    for (uint32_t i = 0; i < n * PASSES; i++) {
        uint32_t stored_by = h >> 7 & 1 ? distance : 0, run_by = h >> 8 & 1 ? distance : 0;
        *(volatile uint32_t *)(alias_function + 1 + stored_by) = h;
        if (((function *)(alias_function + run_by))() != h)
            fail(2 * i);
        h = mix(h, run_by);
        /* The block runs by one mapping and patches itself by the other. */
        if (call_own((uint32_t)alias_own + run_by, h, distance - run_by) != h)
            fail(2 * i + 1);
    }
    return h;
}
