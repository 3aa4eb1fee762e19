/*
 * Sieve of Eratosthenes over a byte array: strided byte stores and short loops with data-dependent branches.
 *
 * The result folds in the count and the sum of the primes of every round; the limit differs from round to round, so
 * that a lost store, a wrong branch or a skipped round shows.
 */
#include "guest.h"

#define LIMIT 60000u

GUEST("sieve", 0)

static uint32_t sieve(uint8_t *composite, uint32_t limit)
{
    uint32_t count = 0, sum = 0;
    memset(composite, 0, limit);
    for (uint32_t i = 2; i < limit; i++) {
        if (composite[i])
            continue;
        count++;
        sum += i;
        for (uint32_t k = 2 * i; k < limit; k += i)
            composite[k] = 1;
    }
    return mix(count, sum);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t i = 0; i < n; i++)
        h = mix(h, sieve(HEAP, LIMIT - (h & 255)));
    return h;
}
