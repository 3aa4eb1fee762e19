/*
 * Fibonacci numbers by two recursive calls: calls, returns and stack accesses and hardly anything else.
 *
 * The leaves return a seed that the last round chose, and the result takes every round's sum.
 */
#include "guest.h"

#define DEPTH 22

GUEST("fib", 0)

static uint32_t leaf;

/* Kept as two real calls: the compiler would turn one into a loop and unroll the other. */
__attribute__((noipa, optimize("no-optimize-sibling-calls"))) static uint32_t fib(uint32_t k)
{
    return k < 2 ? k + leaf : fib(k - 1) + fib(k - 2);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t i = 0; i < n; i++) {
        leaf = h >> 3;
        h = mix(h, fib(DEPTH));
    }
    return h;
}
