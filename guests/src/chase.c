/*
 * A walk along a linked list that is spread over 32 MiB: one load depends on the one before, and hardly any two lie
 * on the same page, which is the worst case of every TLB and cache.
 *
 * The list is one cycle through all nodes (a full-period congruential sequence), and the sum of the payloads, which
 * the walk also changes, depends on the order.
 */
#include "guest.h"

#define NODES (1u << 19)
#define STEPS 30000u

GUEST("chase", 0)

struct node {
    struct node *next;
    uint32_t payload;
    uint32_t unused[14];
};

/* Full period modulo a power of two: the factor is 1 modulo 4, the addend is odd. The reversal spreads low bits. */
static uint32_t place(uint32_t index)
{
    uint32_t high = index >> 10, low = index & 1023;
    return low << 9 | high;
}

uint32_t guest_main(uint32_t n)
{
    struct node *nodes = (struct node *)HEAP;
    uint32_t index = 0, h = 1;
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t next = (index * 1103515245u + 12345u) % NODES;
        struct node *node = &nodes[place(index)];
        node->next = &nodes[place(next)];
        node->payload = i * 0x9e3779b1u;
        index = next;
    }
    struct node *at = nodes;
    for (uint32_t i = 0; i < n * STEPS; i++) {
        h = rotate_left(h, 1) + at->payload;
        at->payload ^= h;
        at = at->next;
    }
    return h;
}
