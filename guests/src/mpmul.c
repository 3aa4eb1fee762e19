/*
 * Multiplication of long numbers, 64 by 64 words: 32 x 32 to 64 bit products and additions with carry.
 *
 * Each product is checked modulo 2^32 - 1, and its halves are, with a little fresh noise, the next
 * operands.
 */
#include "guest.h"

#define WORDS 64
#define PRODUCTS 16

GUEST("mpmul", 0)

static void multiply(uint32_t *product, const uint32_t *a, const uint32_t *b)
{
    memset(product, 0, 2 * WORDS * sizeof *product);
    for (int i = 0; i < WORDS; i++) {
        uint32_t carry = 0;
        for (int k = 0; k < WORDS; k++) {
            uint64_t sum = (uint64_t)a[i] * b[k] + product[i + k] + carry;
            product[i + k] = (uint32_t)sum;
            carry = (uint32_t)(sum >> 32);
        }
        product[i + WORDS] = carry;
    }
}

static uint32_t fold(uint64_t value)
{
    while (value >> 32)
        value = (value & 0xffffffff) + (value >> 32);
    return (uint32_t)value == 0xffffffff ? 0 : (uint32_t)value;
}

/* The number modulo 2^32 - 1: the sum of its words, carries added at the low end. */
static uint32_t residue(const uint32_t *words, int count)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += words[i];
    return fold(sum);
}

uint32_t guest_main(uint32_t n)
{
    static uint32_t a[WORDS], b[WORDS], product[2 * WORDS];
    uint32_t seed = 31, h = 1;
    for (int i = 0; i < WORDS; i++)
        a[i] = next_random(&seed), b[i] = next_random(&seed);
    for (uint32_t i = 0; i < n * PRODUCTS; i++) {
        multiply(product, a, b);
        if (residue(product, 2 * WORDS) != fold((uint64_t)residue(a, WORDS) * residue(b, WORDS)))
            fail(i);
        h = mix(h, product[i % (2 * WORDS)]);
        memcpy(a, product, sizeof a);
        memcpy(b, product + WORDS, sizeof b);
        /* The low words would run into a short cycle by themselves. */
        a[0] = next_random(&seed) | 1;
        b[WORDS - 1] |= h;
    }
    return h;
}
