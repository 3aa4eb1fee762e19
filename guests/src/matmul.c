/*
 * Product of two 64 x 64 matrices of words: multiply and add in a regular loop, one operand with a stride of a row.
 *
 * The product becomes an operand of the next round; the hash takes every element of the last one.
 */
#include "guest.h"

#define SIDE 64

GUEST("matmul", 0)

typedef uint32_t matrix[SIDE][SIDE];

static void multiply(matrix c, matrix a, matrix b)
{
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < SIDE; k++) {
            uint32_t sum = 0;
            for (int t = 0; t < SIDE; t++)
                sum += a[i][t] * b[t][k];
            c[i][k] = sum;
        }
}

uint32_t guest_main(uint32_t n)
{
    matrix *m = (matrix *)HEAP;
    uint32_t *words = (uint32_t *)HEAP, seed = 0x5eed, h = 1;
    for (uint32_t i = 0; i < 2 * SIDE * SIDE; i++)
        words[i] = next_random(&seed);
    for (uint32_t i = 0; i < n; i++) {
        multiply(m[2], m[0], m[1]);
        /* An odd diagonal keeps the products from dying out in zeros. */
        for (int k = 0; k < SIDE; k++)
            m[2][k][k] |= 1;
        memcpy(m[0], m[2], sizeof(matrix));
    }
    for (uint32_t i = 0; i < SIDE * SIDE; i++)
        h = mix(h, words[i]);
    return h;
}
