/*
 * What every guest program sees, whether it runs on a machine (machine.c) or as a Linux process (native.c).
 *
 * A guest defines GUEST(name, flags) and guest_main, which gets the amount of work and returns the result word.
 * guest_main prints nothing: the time between the lines "start" and "end" is its own.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>
#include <stdint.h>

/* Name and needs of a guest. */
struct guest {
    const char *name;
    uint32_t flags;
};

/* The guest runs with paging whatever the command line says. */
#define NEEDS_PAGING 1u
/* Identity-mapped memory is accessible to ring 3. */
#define NEEDS_USER 2u

#define GUEST(name, flags) const struct guest guest = {name, flags};

extern const struct guest guest;
uint32_t guest_main(uint32_t n);

/* The number after "KEY=" in the command line, or `otherwise`. */
uint32_t argument(const char *key, uint32_t otherwise);
/* Prints "fail NAME CODE" and ends the run with failure. */
_Noreturn void fail(uint32_t code);
void print(const char *text);
void print_hex(uint32_t value);

/* Memory for the guest's data: not initialised, aligned to 4 MiB on a machine, to a page in a process. */
#define HEAP_LEN (48u << 20)
#ifdef NATIVE
extern uint8_t heap[HEAP_LEN];
#define HEAP heap
#else
#define HEAP ((uint8_t *)0x400000)
#endif

void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

static inline uint32_t rotate_left(uint32_t value, unsigned count)
{
    return value << (count & 31) | value >> (-count & 31);
}

/* One step of Marsaglia's xorshift generator; the state must not be 0. */
static inline uint32_t next_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* Folds `value` into the hash `h`: every bit of every value counts, and so does their order. */
static inline uint32_t mix(uint32_t h, uint32_t value)
{
    return (rotate_left(h, 5) ^ value) * 0x9e3779b1u;
}

/* Keeps the compiler from knowing what a value is. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

#endif
