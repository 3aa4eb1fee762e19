/*
 * Widths and alignments of device accesses, on the test block of the project's board: a scratch register, a counter
 * that grows with each read, an adder and its sum.
 *
 * A misaligned access reaches the device in aligned pieces, ascending: 4 at 1 as 1, 1, 1, 1; 4 at 2 as 2, 2; 2 at 3 as
 * 1, 1. The counter and the sum tell how many pieces came and in which order; a doubled, lost, merged or reordered
 * access gives another value. Each access is compared with a model of the block; the result is 600d when all agree.
 */
#include "board.h"

GUEST("mmio_access", 0)

static struct {
    uint32_t scratch, counter, sum;
} model;

static uint32_t steps;

static void expect(uint32_t got, uint32_t wanted)
{
    steps++;
    if (got != wanted)
        fail(steps << 16 | (got & 0xffff));
}

static uint32_t mask_of(uint32_t size)
{
    return size == 4 ? ~0u : (1u << 8 * size) - 1;
}

/* One piece, as the device does it. */
static uint32_t read_piece(uint32_t off, uint32_t size)
{
    uint32_t value = 0;
    switch (off & ~3u) {
    case 0: value = model.scratch; break;
    case 4: value = model.counter++; break;
    case 12: value = model.sum; break;
    }
    return value >> 8 * (off & 3) & mask_of(size);
}

static void write_piece(uint32_t off, uint32_t size, uint32_t value)
{
    uint32_t shift = 8 * (off & 3);
    value &= mask_of(size);
    switch (off & ~3u) {
    case 0: model.scratch = (model.scratch & ~(mask_of(size) << shift)) | value << shift; break;
    case 8: model.sum += value; break;
    }
}

/* The largest piece of an access of `size` that every offset like `off` allows. */
static uint32_t piece_of(uint32_t off, uint32_t size)
{
    while (off & (size - 1))
        size /= 2;
    return size;
}

static uint32_t model_read(uint32_t off, uint32_t size)
{
    uint32_t piece = piece_of(off, size), value = 0;
    for (uint32_t at = 0; at < size; at += piece)
        value |= read_piece(off + at, piece) << 8 * at;
    return value;
}

static void model_write(uint32_t off, uint32_t size, uint32_t value)
{
    uint32_t piece = piece_of(off, size);
    for (uint32_t at = 0; at < size; at += piece)
        write_piece(off + at, piece, value >> 8 * at);
}

static uint32_t read(uint32_t off, uint32_t size)
{
    uint32_t at = TEST_BLOCK + off;
    return size == 1 ? MMIO8(at) : size == 2 ? MMIO16(at) : MMIO32(at);
}

static void write(uint32_t off, uint32_t size, uint32_t value)
{
    uint32_t at = TEST_BLOCK + off;
    if (size == 1)
        MMIO8(at) = (uint8_t)value;
    else if (size == 2)
        MMIO16(at) = (uint16_t)value;
    else
        MMIO32(at) = value;
}

static void compare_registers(void)
{
    expect(read(0, 4), model_read(0, 4));
    expect(read(12, 4), model_read(12, 4));
    expect(read(4, 4), model_read(4, 4));
}

/* Every width at every offset of the four registers that stays inside them. */
static void all_accesses(uint32_t *seed)
{
    for (uint32_t size = 1; size <= 4; size *= 2)
        for (uint32_t off = 0; off + size <= 16; off++) {
            uint32_t value = next_random(seed);
            write(off, size, value);
            model_write(off, size, value);
            compare_registers();
            expect(read(off, size), model_read(off, size));
            compare_registers();
        }
}

/* Instructions that read and write memory in one go. */
static void read_modify_write(uint32_t *seed)
{
    uint32_t value = next_random(seed), reg = value;
    __asm__ volatile("addl %1, %0" : "+m"(MMIO32(TEST_SCRATCH)) : "r"(value) : "cc");
    model_write(0, 4, model_read(0, 4) + value);
    /* Reads the counter, adds, and writes what the counter ignores: one read. */
    __asm__ volatile("addl %1, %0" : "+m"(MMIO32(TEST_COUNTER)) : "r"(value) : "cc");
    model_write(4, 4, model_read(4, 4) + value);
    __asm__ volatile("xchgl %1, %0" : "+m"(MMIO32(TEST_SCRATCH)), "+r"(reg));
    expect(reg, model_read(0, 4));
    model_write(0, 4, value);
    /* The adder reads as 0. */
    __asm__ volatile("incb %0" : "+m"(MMIO8(TEST_ADD + 1)) : : "cc");
    model_write(9, 1, 1);
    __asm__ volatile("notw %0" : "+m"(MMIO16(TEST_SCRATCH + 2)));
    model_write(2, 2, ~model_read(2, 2));
    /* A comparison that fails writes the old value back. */
    reg = ~model.scratch;
    __asm__ volatile("lock cmpxchgl %2, %0" : "+m"(MMIO32(TEST_SCRATCH)), "+a"(reg) : "r"(value) : "cc");
    expect(reg, model_read(0, 4));
    compare_registers();
}

/* Stack and string instructions. */
static void other_instructions(uint32_t *seed)
{
    uint32_t value, buffer[4];
    __asm__ volatile("pushl %1; popl %0" : "=r"(value) : "m"(MMIO32(TEST_COUNTER)) : "memory");
    expect(value, model_read(4, 4));
    value = next_random(seed);
    __asm__ volatile("pushl %1; popl %0" : "=m"(MMIO32(TEST_ADD)) : "r"(value) : "memory");
    model_write(8, 4, value);
    uint32_t from = TEST_COUNTER, to = (uint32_t)buffer, count = 3;
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    buffer[0] &= 0xffffff;
    uint32_t wanted = read_piece(4, 1);
    wanted |= read_piece(5, 1) << 8;
    wanted |= read_piece(6, 1) << 16;
    expect(buffer[0], wanted);
    from = (uint32_t)buffer, to = TEST_ADD, count = 1;
    buffer[0] = value;
    __asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    model_write(8, 4, value);
    to = TEST_SCRATCH, count = 4;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    model_write(0, 4, (value & 0xff) * 0x01010101u);
    compare_registers();
}

uint32_t guest_main(uint32_t n)
{
    uint32_t seed = 0x3310;
    /* The block is as the run found it: the counter and the sum are read, not assumed. */
    model.scratch = read(0, 4);
    model.sum = read(12, 4);
    model.counter = read(4, 4) + 1;
    for (uint32_t i = 0; i < n; i++) {
        all_accesses(&seed);
        read_modify_write(&seed);
        other_instructions(&seed);
    }
    return PASSED;
}
