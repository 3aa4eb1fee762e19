/*
 * REP MOVSB and MOVSD: lengths from 0 to some pages, all alignments, both directions, overlapping and apart.
 *
 * The hash takes ESI, EDI and ECX after each copy and, at the end of a round, a sample of the arena. A forward copy
 * onto bytes just ahead of itself must repeat a pattern, which a copy in larger pieces gets wrong.
 */
#include "guest.h"

#define ARENA 0x8000u
#define COPIES 96

GUEST("rep_movs", 0)

struct registers {
    uint32_t si, di, cx;
};

static struct registers copy(uint32_t si, uint32_t di, uint32_t count, int dwords, int down)
{
    struct registers r = {si, di, count};
    if (!dwords && !down)
        __asm__ volatile("cld; rep movsb" : "+S"(r.si), "+D"(r.di), "+c"(r.cx) : : "memory", "cc");
    else if (!dwords)
        __asm__ volatile("std; rep movsb; cld" : "+S"(r.si), "+D"(r.di), "+c"(r.cx) : : "memory", "cc");
    else if (!down)
        __asm__ volatile("cld; rep movsl" : "+S"(r.si), "+D"(r.di), "+c"(r.cx) : : "memory", "cc");
    else
        __asm__ volatile("std; rep movsl; cld" : "+S"(r.si), "+D"(r.di), "+c"(r.cx) : : "memory", "cc");
    return r;
}

/* One copy that stays inside [base, base + ARENA). */
static uint32_t random_copy(uint32_t h, uint32_t base, uint32_t *seed)
{
    uint32_t r = next_random(seed), s = next_random(seed);
    int dwords = r & 1, down = r >> 1 & 1, near = (r >> 2 & 7) == 0;
    uint32_t len = (r >> 5 & 3) == 0 ? s & 15 : s % (ARENA / 4);
    uint32_t count = dwords ? len / 4 : len, last = len >= 4 ? len - 4 : 0;
    uint32_t from = r >> 8 & (ARENA / 2 - 1);
    uint32_t to = near ? from + 1 + (s >> 20 & 7) : s >> 16 & (ARENA / 2 - 1);
    uint32_t start = down ? (dwords ? last : len) : 0;
    struct registers after = copy(base + from + start, base + to + start, count, dwords, down);
    return mix(mix(mix(h, after.si - base), after.di - base), after.cx);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t *words = (uint32_t *)HEAP, h = 1, seed = 0xc0ffee;
    for (uint32_t i = 0; i < ARENA / 2; i++)
        words[i] = next_random(&seed);
    for (uint32_t round = 0; round < n; round++) {
        for (int i = 0; i < COPIES; i++)
            h = random_copy(h, (uint32_t)(HEAP + ARENA / 2), &seed);
        for (uint32_t i = 0; i < ARENA / 2; i += 7) {
            h = mix(h, words[i]);
            words[i] += h;
        }
    }
    return h;
}
