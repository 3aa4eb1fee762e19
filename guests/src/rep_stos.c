/*
 * REP STOSB, STOSW and STOSD: lengths from 0 to some pages, all alignments, both directions.
 *
 * The hash takes EDI and ECX after each fill and a sample of the arena after each round; every byte outside the filled
 * range must stay, which the bytes around each fill are compared for.
 */
#include "guest.h"

#define ARENA 0x8000u
#define FILLS 128

GUEST("rep_stos", 0)

struct registers {
    uint32_t di, cx;
};

static struct registers fill(uint32_t di, uint32_t count, uint32_t value, unsigned shift, int down)
{
    struct registers r = {di, count};
    if (down)
        __asm__ volatile("std");
    switch (shift) {
    case 0: __asm__ volatile("rep stosb" : "+D"(r.di), "+c"(r.cx) : "a"(value) : "memory"); break;
    case 1: __asm__ volatile("rep stosw" : "+D"(r.di), "+c"(r.cx) : "a"(value) : "memory"); break;
    default: __asm__ volatile("rep stosl" : "+D"(r.di), "+c"(r.cx) : "a"(value) : "memory"); break;
    }
    __asm__ volatile("cld");
    return r;
}

static uint32_t random_fill(uint32_t h, uint32_t base, uint32_t *seed)
{
    uint32_t r = next_random(seed), s = next_random(seed);
    unsigned shift = r % 3;
    int down = r >> 2 & 1;
    uint32_t len = ((r >> 5 & 3) == 0 ? s & 15 : s % (ARENA / 4)) >> shift << shift;
    uint32_t first = base + 16 + (r >> 8 & (ARENA / 2 - 1));
    uint8_t before = *(uint8_t *)(first - 1), after = *(uint8_t *)(first + len);
    uint32_t start = down && len ? first + len - (1u << shift) : first;
    struct registers end = fill(start, len >> shift, s ^ h, shift, down);
    if (*(uint8_t *)(first - 1) != before || *(uint8_t *)(first + len) != after)
        fail(s);
    return mix(mix(h, end.di - base), end.cx);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t *words = (uint32_t *)HEAP, h = 1, seed = 0xf111;
    for (uint32_t i = 0; i < ARENA / 4; i++)
        words[i] = next_random(&seed);
    for (uint32_t round = 0; round < n; round++) {
        for (int i = 0; i < FILLS; i++)
            h = random_fill(h, (uint32_t)HEAP, &seed);
        for (uint32_t i = round & 3; i < ARENA / 4; i += 5)
            h = mix(h, words[i]);
    }
    return h;
}
