/*
 * Bank switching while executing from the bank, on the project's board: 16 banks behind one 64 KiB window.
 *
 * Every bank holds the same routine with operands of its own. The routine switches the bank in its middle, so the
 * instruction after the store comes from another bank; which one is next depends on the value so far. A model in C
 * computes the same chain; an instruction from the wrong bank gives another value. Result: 600d.
 */
#include "board.h"

#define SWITCHES 64u
#define CHAINS 16u

GUEST("bank_churn", 0)

extern const uint8_t bank_code[], bank_code_end[], bank_add[], bank_xor[];

/* EAX = value, ECX = switches left. The code is position-independent, and so it is the same in every bank. */
__asm__("        .section .rodata\n"
        "        .balign 16\n"
        "bank_code:\n"
        "        .byte 0x05\n" /* addl $imm32, %eax */
        "bank_add:\n"
        "        .long 0\n"
        "        roll $5, %eax\n"
        "        movl %eax, %edx\n"
        "        shrl $9, %edx\n"
        "        andl $15, %edx\n"
        "        movb %dl, 0xfe001000\n"
        "        .byte 0x35\n" /* xorl $imm32, %eax: of the new bank. */
        "bank_xor:\n"
        "        .long 0\n"
        "        decl %ecx\n"
        "        jnz bank_code\n"
        "        ret\n"
        "bank_code_end:\n"
        "        .text\n");

static uint32_t adds[BANKS], xors[BANKS];

static void select(uint32_t bank)
{
    MMIO8(BANK_REGISTER) = (uint8_t)bank;
}

static void write_bank(uint32_t bank, uint32_t *seed)
{
    uint8_t *window = (uint8_t *)BANK_WINDOW;
    adds[bank] = next_random(seed);
    xors[bank] = next_random(seed);
    select(bank);
    memcpy(window, bank_code, (uint32_t)(bank_code_end - bank_code));
    *(volatile uint32_t *)(window + (bank_add - bank_code)) = adds[bank];
    *(volatile uint32_t *)(window + (bank_xor - bank_code)) = xors[bank];
}

static uint32_t run_chain(uint32_t value)
{
    uint32_t count = SWITCHES;
    __asm__ volatile("call *%2" : "+a"(value), "+c"(count) : "r"(BANK_WINDOW) : "edx", "memory", "cc");
    return value;
}

static uint32_t model(uint32_t value, uint32_t *bank)
{
    for (uint32_t i = 0; i < SWITCHES; i++) {
        value = rotate_left(value + adds[*bank], 5);
        *bank = value >> 9 & (BANKS - 1);
        value ^= xors[*bank];
    }
    return value;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t seed = 0xba9c, value = 1, bank = 0;
    for (uint32_t i = 0; i < BANKS; i++)
        write_bank(i, &seed);
    select(0);
    for (uint32_t i = 0; i < n * CHAINS; i++) {
        uint32_t got = run_chain(value), before = bank;
        if (got != model(value, &bank) || MMIO8(BANK_REGISTER) != bank)
            fail(i);
        /* Now and then new code for the bank that the chain began in, written through the window after it ran. */
        if ((i & 15) == 15) {
            write_bank(before, &seed);
            select(bank);
        }
        value = got;
    }
    return PASSED;
}
