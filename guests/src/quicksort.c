/*
 * Quicksort of random words, recursive: unpredictable branches, calls, loads and stores through two pointers.
 *
 * After each round the order is checked and the hash takes every element at its place.
 */
#include "guest.h"

#define COUNT 8192

GUEST("quicksort", 0)

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t t = *a;
    *a = *b;
    *b = t;
}

/* Sorts [low, high]; the longer part is the loop's, so that the depth stays below 32. */
static void sort(uint32_t *low, uint32_t *high)
{
    while (low < high) {
        uint32_t pivot = low[(high - low) / 2];
        uint32_t *i = low, *k = high;
        while (i <= k) {
            while (*i < pivot)
                i++;
            while (*k > pivot)
                k--;
            if (i <= k)
                swap(i++, k--);
        }
        if (k - low < high - i) {
            sort(low, k);
            low = i;
        } else {
            sort(i, high);
            high = k;
        }
    }
}

uint32_t guest_main(uint32_t n)
{
    uint32_t *words = (uint32_t *)HEAP, h = 1, seed = 77;
    for (uint32_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < COUNT; i++)
            words[i] = next_random(&seed);
        sort(words, words + COUNT - 1);
        h = mix(h, words[0]);
        for (uint32_t i = 1; i < COUNT; i++) {
            if (words[i - 1] > words[i])
                fail(i);
            h = mix(h, words[i]);
        }
        seed = h | 1;
    }
    return h;
}
