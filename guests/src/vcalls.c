/*
 * Calls through tables of function pointers: four kinds of shapes with three methods each, in random order.
 *
 * Each call changes its object, and the hash takes every value that a call returns.
 */
#include "guest.h"

#define SHAPES 256
#define PASSES 120

GUEST("vcalls", 0)

struct shape;

struct methods {
    uint32_t (*area)(struct shape *);
    void (*grow)(struct shape *, uint32_t);
    uint32_t (*fold)(struct shape *, uint32_t);
};

struct shape {
    const struct methods *methods;
    uint32_t a, b;
};

static uint32_t square_area(struct shape *s) { return s->a * s->a; }
static uint32_t box_area(struct shape *s) { return s->a * s->b; }
static uint32_t ring_area(struct shape *s) { return 3 * (s->a * s->a - s->b * s->b); }
static uint32_t point_area(struct shape *s) { return s->a ^ s->b; }

static void grow_one(struct shape *s, uint32_t by) { s->a += by; }
static void grow_both(struct shape *s, uint32_t by) { s->a += by, s->b -= by; }
static void exchange(struct shape *s, uint32_t by)
{
    uint32_t t = s->a;
    s->a = s->b ^ by;
    s->b = t;
}

static uint32_t fold_plain(struct shape *s, uint32_t h) { return mix(h, s->a); }
static uint32_t fold_both(struct shape *s, uint32_t h) { return mix(h, s->a - s->b); }
/* A method that calls another through the table. */
static uint32_t fold_area(struct shape *s, uint32_t h) { return h + s->methods->area(s); }

static const struct methods square = {square_area, grow_one, fold_plain};
static const struct methods box = {box_area, grow_both, fold_area};
static const struct methods ring = {ring_area, exchange, fold_both};
static const struct methods point = {point_area, exchange, fold_area};

uint32_t guest_main(uint32_t n)
{
    static const struct methods *const kinds[] = {&square, &box, &ring, &point};
    struct shape *shapes = (struct shape *)HEAP;
    uint32_t seed = 99, h = 1;
    for (int i = 0; i < SHAPES; i++)
        shapes[i] = (struct shape){kinds[next_random(&seed) >> 7 & 3], next_random(&seed), next_random(&seed)};
    for (uint32_t i = 0; i < n * PASSES; i++)
        for (struct shape *s = shapes; s < shapes + SHAPES; s++) {
            s->methods->grow(s, h >> 9);
            h ^= s->methods->area(s);
            h = s->methods->fold(s, h);
        }
    return h;
}
