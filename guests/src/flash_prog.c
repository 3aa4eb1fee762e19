/*
 * Flash programming on the project's board, with Intel's commands: program, erase, status, identification, array. Code
 * is programmed, run from the flash, overwritten by programming bits to 0, run again, erased, and so on.
 *
 * In array mode reads and fetches see the contents; in every other mode reads see status or identification. Stale
 * contents or stale code give other values. Every step is checked; the result is 600d.
 */
#include "board.h"

#define READ_ARRAY 0xff
#define READ_ID 0x90
#define READ_STATUS 0x70
#define CLEAR_STATUS 0x50
#define PROGRAM 0x40
#define PROGRAM_OTHER 0x10
#define ERASE 0x20
#define CONFIRM 0xd0
#define STATUS_READY 0x80
#define STATUS_ERRORS 0x3a
#define PATIENCE 1000000u

GUEST("flash_prog", 0)

static void check(int good, uint32_t code)
{
    if (!good)
        fail(code);
}

static void command(uint32_t off, uint8_t value)
{
    MMIO8(FLASH + off) = value;
}

static void wait_ready(uint32_t off, uint32_t code)
{
    for (uint32_t i = 0; i < PATIENCE; i++) {
        uint8_t status = MMIO8(FLASH + off);
        if (status & STATUS_READY) {
            check(!(status & STATUS_ERRORS), code);
            return;
        }
    }
    fail(code);
}

static void erase(uint32_t block)
{
    command(block * FLASH_BLOCK + 0x1234, ERASE);
    command(block * FLASH_BLOCK + 0x1234, CONFIRM);
    wait_ready(block * FLASH_BLOCK, 1);
    command(0, CLEAR_STATUS);
    command(0, READ_ARRAY);
}

static void program(uint32_t off, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        command(off + i, i & 1 ? PROGRAM_OTHER : PROGRAM);
        command(off + i, bytes[i]);
        wait_ready(off + i, 2);
    }
    command(0, READ_ARRAY);
}

static void check_erased(uint32_t block)
{
    for (uint32_t off = 0; off < FLASH_BLOCK; off += 4)
        check(MMIO32(FLASH + block * FLASH_BLOCK + off) == 0xffffffff, 3);
}

/* movl $value, %eax; ret. */
static void program_function(uint32_t off, uint32_t value)
{
    uint8_t code[6] = {0xb8, 0, 0, 0, 0, 0xc3};
    memcpy(code + 1, &value, sizeof value);
    program(off, code, sizeof code);
}

static uint32_t call(uint32_t off)
{
    uint32_t value;
    __asm__ volatile("call *%1" : "=a"(value) : "r"(FLASH + off) : "memory", "cc");
    return value;
}

static void check_modes(uint32_t off)
{
    uint32_t contents = MMIO32(FLASH + off);
    command(off, READ_STATUS);
    check(MMIO8(FLASH + off) == STATUS_READY && MMIO8(FLASH + off + 1) == STATUS_READY, 4);
    command(off, READ_ID);
    uint8_t maker = MMIO8(FLASH);
    check(maker != 0 && maker != 0xff && MMIO8(FLASH) == maker, 5);
    command(off, READ_ARRAY);
    check(MMIO32(FLASH + off) == contents, 6);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t seed = 0xf1a5;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t value = next_random(&seed), mask = next_random(&seed);
        uint32_t block = 1 + i % 14, off = block * FLASH_BLOCK + (value & 0x7ffc);
        uint8_t neighbour = MMIO8(FLASH + (block + 1) * FLASH_BLOCK);
        erase(block);
        check_erased(block);
        program_function(off, value);
        check(call(off) == value, 7);
        check_modes(off);
        /* Programming clears bits and sets none. */
        program_function(off, mask);
        check(call(off) == (value & mask), 8);
        check(MMIO8(FLASH + (block + 1) * FLASH_BLOCK) == neighbour, 9);
        erase(block);
        check(MMIO32(FLASH + off) == 0xffffffff, 10);
        program_function(off, ~value);
        check(call(off) == ~value, 11);
    }
    return PASSED;
}
