/*
 * REPNE SCASB and SCASD, REPE SCASB: searches that hit early, late and never, at all alignments and in both directions.
 *
 * The hash takes EDI, ECX and the flags CF, PF, AF, ZF, SF and OF after each search; with a count of 0 the flags must
 * stay as they were.
 */
#include "guest.h"

#define ARENA 0x4000u
#define SEARCHES 160
#define STATUS 0x8d5u

GUEST("repne_scas", 0)

struct after {
    uint32_t di, cx, flags;
};

#define SCAN(code) \
    __asm__ volatile("pushl %4; popfl; " code "; pushfl; popl %2; cld" \
                     : "+D"(r.di), "+c"(r.cx), "=&r"(r.flags) : "a"(value), "ri"(flags) : "memory", "cc")

static struct after scan(unsigned kind, uint32_t di, uint32_t count, uint32_t value, uint32_t flags)
{
    struct after r = {di, count, 0};
    switch (kind) {
    case 0: SCAN("repne scasb"); break;
    case 1: SCAN("repne scasl"); break;
    case 2: SCAN("repe scasb"); break;
    case 3: SCAN("std; repne scasb"); break;
    case 4: SCAN("std; repne scasl"); break;
    default: SCAN("repne scasw"); break;
    }
    return r;
}

static uint32_t random_scan(uint32_t h, uint8_t *arena, uint32_t *seed)
{
    uint32_t r = next_random(seed), s = next_random(seed);
    unsigned kind = r % 6;
    uint32_t len = (r >> 5 & 7) == 0 ? s & 3 : s % (ARENA / 4);
    uint32_t start = ARENA / 4 + (r >> 8 & (ARENA / 2 - 1)), width = kind == 1 || kind == 4 ? 4 : kind == 5 ? 2 : 1;
    uint32_t value, count = len / width;
    if (kind == 2) {
        /* A run of equal bytes, to have something that REPE skips. */
        memset(arena + start, (uint8_t)s, len / 2);
        value = (uint8_t)s;
    } else {
        __builtin_memcpy(&value, arena + (s >> 14) % (ARENA - 4), 4);
        value = s >> 31 ? 0 : value;
    }
    struct after after = scan(kind, (uint32_t)(arena + start), count, value, (s & 0x8d5) | 2);
    return mix(mix(mix(h, after.di - (uint32_t)arena), after.cx), after.flags & STATUS);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1, seed = 0x5ca5;
    for (uint32_t i = 0; i < ARENA; i++)
        HEAP[i] = (uint8_t)(next_random(&seed) | 1);
    for (uint32_t round = 0; round < n; round++) {
        for (int i = 0; i < SEARCHES; i++)
            h = random_scan(h, HEAP, &seed);
        HEAP[h % ARENA] ^= 0x10;
    }
    return h;
}
