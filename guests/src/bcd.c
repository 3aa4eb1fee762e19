/*
 * Operations that compilers hardly use: decimal adjustment, BOUND, XLAT, bit strings in memory, rotates through carry,
 * double shifts, CMPXCHG and CMPXCHG8B, XADD, CMOVcc and SETcc, LAHF, ENTER, LOOP, and more. They are in bcd.S.
 *
 * Each runs with random operands and flags. The hash takes all results, the memory and those flags that the manual
 * defines; a real processor is the oracle.
 */
#include "guest.h"

#define ROUNDS 20u
#define STATUS 0x8d5u
#define AF 0x010u
#define OF 0x800u
#define WORDS 64

GUEST("bcd", 0)

enum kind { FIXED, ROTATE, SHIFT };

struct operation {
    const void *code;
    uint32_t flags, kind;
};

struct values {
    uint32_t eax, ebx, ecx, edx, flags;
    uint32_t *memory;
};

extern const struct operation operations[], operations_end[];
void run_operation(struct values *values, const void *code);

/* The flags that are defined after an operation with `count` in CL. */
static uint32_t defined_flags(const struct operation *op, uint32_t count)
{
    uint32_t flags = op->flags;
    count &= 31;
    if (op->kind != FIXED && count > 1)
        flags &= ~OF;
    if (op->kind == SHIFT && count != 0)
        flags &= ~AF;
    return flags;
}

static uint32_t run(uint32_t h, const struct operation *op, uint32_t *memory, uint32_t *seed)
{
    struct values v;
    uint32_t r = next_random(seed);
    v.eax = next_random(seed);
    v.ebx = r & 1 ? next_random(seed) : v.eax;
    v.ecx = next_random(seed) >> (r >> 8 & 15);
    v.edx = next_random(seed);
    v.flags = (r >> 16 & STATUS) | 2;
    v.memory = memory;
    if (r >> 1 & 1)
        memory[0] = v.eax;
    run_operation(&v, op->code);
    uint32_t flags = v.flags & defined_flags(op, v.ecx);
    return mix(mix(mix(mix(mix(h, v.eax), v.ebx), v.ecx), v.edx), flags);
}

uint32_t guest_main(uint32_t n)
{
    static uint32_t memory[4 * WORDS];
    uint32_t h = 1, seed = 0xbcdbcd;
    for (int i = 0; i < 4 * WORDS; i++)
        memory[i] = next_random(&seed);
    for (uint32_t i = 0; i < n * ROUNDS; i++)
        for (const struct operation *op = operations; op < operations_end; op++) {
            h = run(h, op, memory + WORDS, &seed);
            h = mix(h, memory[WORDS]);
            for (int k = h & 3; k < 4 * WORDS; k += 16)
                h = mix(h, memory[k]);
        }
    return h;
}
