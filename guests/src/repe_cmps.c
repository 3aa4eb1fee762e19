/*
 * REPE CMPSB and CMPSD, REPNE CMPSB: comparisons that end early, late and never, at all pairs of alignments.
 *
 * The hash takes ESI, EDI, ECX and the flags CF, PF, AF, ZF, SF and OF after each comparison.
 */
#include "guest.h"

#define ARENA 0x4000u
#define COMPARISONS 160
#define STATUS 0x8d5u

GUEST("repe_cmps", 0)

struct after {
    uint32_t si, di, cx, flags;
};

#define COMPARE(code) \
    __asm__ volatile("pushl %4; popfl; " code "; pushfl; popl %3; cld" \
                     : "+S"(r.si), "+D"(r.di), "+c"(r.cx), "=&r"(r.flags) : "ri"(flags) : "memory", "cc")

static struct after compare(unsigned kind, uint32_t si, uint32_t di, uint32_t count, uint32_t flags)
{
    struct after r = {si, di, count, 0};
    switch (kind) {
    case 0: COMPARE("repe cmpsb"); break;
    case 1: COMPARE("repe cmpsl"); break;
    case 2: COMPARE("repne cmpsb"); break;
    case 3: COMPARE("std; repe cmpsb"); break;
    case 4: COMPARE("std; repe cmpsl"); break;
    default: COMPARE("repe cmpsw"); break;
    }
    return r;
}

static uint32_t random_compare(uint32_t h, uint8_t *a, uint8_t *b, uint32_t *seed)
{
    uint32_t r = next_random(seed), s = next_random(seed);
    unsigned kind = r % 6, width = kind == 1 || kind == 4 ? 4 : kind == 5 ? 2 : 1;
    uint32_t len = (r >> 5 & 7) == 0 ? s & 3 : s % (ARENA / 4), count = len / width;
    uint32_t at = ARENA / 4 + (r >> 8 & (ARENA / 2 - 1)), to = ARENA / 4 + (s >> 16 & (ARENA / 2 - 1));
    uint32_t low = kind == 3 || kind == 4 ? len : 0;
    memmove(b + to - low, a + at - low, len + 4);
    /* One byte differs, often beyond the end. */
    if (kind != 2)
        b[to - low + (r >> 4) % (len + len / 2 + 1)] ^= (uint8_t)(s | 1);
    struct after after = compare(kind, (uint32_t)(a + at), (uint32_t)(b + to), count, (s & 0x8d5) | 2);
    h = mix(mix(h, after.si - (uint32_t)a), after.di - (uint32_t)b);
    return mix(mix(h, after.cx), after.flags & STATUS);
}

uint32_t guest_main(uint32_t n)
{
    uint8_t *a = HEAP, *b = HEAP + 2 * ARENA;
    uint32_t h = 1, seed = 0xc3b5;
    for (uint32_t i = 0; i < ARENA; i++)
        a[i] = (uint8_t)next_random(&seed), b[i] = (uint8_t)next_random(&seed);
    for (uint32_t round = 0; round < n; round++) {
        for (int i = 0; i < COMPARISONS; i++)
            h = random_compare(h, a, b, &seed);
        a[h % ARENA] ^= 0x10;
    }
    return h;
}
