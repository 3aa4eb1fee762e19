/*
 * Two page directories that share linear page L and differ at L + 1, and code on L that goes on into L + 1: by a jump,
 * by falling through the end of the page, and by an instruction that starts on L and ends on L + 1. Now and then L + 1
 * of the current one is mapped to the third frame, with INVLPG.
 *
 * A translation or a link that was made under one mapping must not be used under the other. The code on each frame
 * for L + 1 adds a number of its own, and each sum is compared with a model, so a wrong frame shows at once.
 */
#include "machine.h"

#define L 0x70000000u
#define STEPS 300u

GUEST("pt_shared", NEEDS_PAGING)

enum way { BY_JUMP, BY_FALLING, BY_CROSSING, WAYS };
enum { FRAMES = 3 };

/* Frames of L for each way, and of L + 1 for each way and number. */
static uint8_t *first[WAYS], *second[WAYS][FRAMES];
static uint32_t *directories[2];
static uint32_t mapped[2][WAYS];

static uint32_t number_of(uint32_t frame)
{
    return 0x01020408u << frame | frame;
}

static uint32_t entry_of(enum way way)
{
    return L + way * 0x10000u + (way == BY_JUMP ? 0 : way == BY_FALLING ? PAGE - 3 : PAGE - 4);
}

static void put(uint8_t *at, const char *code, uint32_t len)
{
    memcpy(at, code, len);
}

static void write_first_pages(void)
{
    put(first[BY_JUMP], "\x83\xc0\x01\xe9", 4); /* add $1, %eax; jmp L + 1 */
    *(uint32_t *)(first[BY_JUMP] + 4) = PAGE - 8;
    put(first[BY_FALLING] + PAGE - 3, "\x83\xc0\x02", 3); /* add $2, %eax */
    put(first[BY_CROSSING] + PAGE - 4, "\x81\xc0\x03\x00", 4); /* add $imm32, %eax: two bytes of it */
}

static void write_second_page(uint8_t *page, enum way way, uint32_t frame)
{
    if (way == BY_CROSSING) {
        *(uint16_t *)page = (uint16_t)(0x1000 + frame);
        page += 2;
    }
    page[0] = 0x05; /* add $imm32, %eax */
    *(uint32_t *)(page + 1) = number_of(frame);
    put(page + 5, "\xc1\xc0\x07\xc3", 4); /* rol $7, %eax; ret */
}

static uint32_t model(uint32_t value, enum way way, uint32_t frame)
{
    value += way == BY_CROSSING ? (0x1000 + frame) << 16 | 3 : way + 1;
    return rotate_left(value + number_of(frame), 7);
}

static void set_second(uint32_t which, enum way way, uint32_t frame)
{
    map_page(directories[which], L + way * 0x10000u + PAGE, (uint32_t)second[way][frame], PTE_P | PTE_W);
    mapped[which][way] = frame;
}

static void set_up(void)
{
    for (unsigned way = 0; way < WAYS; way++) {
        first[way] = (uint8_t *)new_page();
        for (uint32_t frame = 0; frame < FRAMES; frame++) {
            second[way][frame] = (uint8_t *)new_page();
            write_second_page(second[way][frame], way, frame);
        }
    }
    write_first_pages();
    for (uint32_t which = 0; which < 2; which++) {
        directories[which] = new_page();
        memcpy(directories[which], page_directory(), PAGE);
        for (unsigned way = 0; way < WAYS; way++) {
            map_page(directories[which], L + way * 0x10000u, (uint32_t)first[way], PTE_P | PTE_W);
            set_second(which, way, which);
        }
    }
}

static uint32_t call(uint32_t at, uint32_t value)
{
    __asm__ volatile("call *%1" : "+a"(value) : "r"(at) : "memory", "cc");
    return value;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1, seed = 0x7ab1e, which = 0;
    set_up();
    load_cr3(directories[0]);
    for (uint32_t i = 0; i < n * STEPS; i++) {
        uint32_t r = next_random(&seed);
        enum way way = (r >> 4) % WAYS;
        if (r & 1)
            load_cr3(directories[which ^= 1]);
        if ((r >> 8 & 7) == 0) {
            set_second(which, way, (r >> 12) % FRAMES);
            invlpg(L + way * 0x10000u + PAGE);
        }
        uint32_t got = call(entry_of(way), h);
        if (got != model(h, way, mapped[which][way]))
            fail(i);
        h = mix(got, i);
    }
    load_cr3(page_directory());
    return h;
}
