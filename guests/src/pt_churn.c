/*
 * Page table churn: linear pages are mapped to other frames all the time, made visible by INVLPG or by loading CR3,
 * and touched at once.
 *
 * Every frame starts with its number, so a stale translation reads a wrong one. The hash also takes the accessed and
 * dirty bits that reads and writes leave in the entries, which start as 0.
 */
#include "machine.h"

#define WINDOW 0x60000000u
#define PAGES 64u
#define FRAMES 512u
#define STEPS 400u

GUEST("pt_churn", NEEDS_PAGING)

static uint32_t frame_address(uint32_t frame)
{
    return (uint32_t)HEAP + frame * PAGE;
}

/* Touches a page that was just mapped to `frame`: reads, and writes when `write` says so. */
static uint32_t touch(uint32_t h, uint32_t la, uint32_t *entry, uint32_t frame, int write)
{
    volatile uint32_t *words = (volatile uint32_t *)la;
    if (words[0] != frame)
        fail(frame);
    h = mix(h, *entry & (PTE_A | PTE_D));
    if (write) {
        words[1 + (h & 1023) % 1023] += h;
        h = mix(h, *entry & (PTE_A | PTE_D));
    }
    return mix(h, words[1 + (h >> 10 & 1023) % 1023]);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1, seed = 0x9a9e, *directory = page_directory();
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        uint32_t *words = (uint32_t *)frame_address(frame);
        memset(words, 0, PAGE);
        words[0] = frame;
    }
    for (uint32_t i = 0; i < n * STEPS; i++) {
        uint32_t r = next_random(&seed), la = WINDOW + r % PAGES * PAGE, frame = (r >> 8) % FRAMES;
        uint32_t *entry = page_entry(directory, la);
        *entry = frame_address(frame) | PTE_P | PTE_W;
        if ((r >> 20 & 15) == 0)
            load_cr3(directory);
        else
            invlpg(la);
        h = touch(h, la, entry, frame, r >> 24 & 1);
    }
    return h;
}
