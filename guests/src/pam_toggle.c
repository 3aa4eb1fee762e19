/*
 * PAM registers of the 440FX at full speed. A routine runs from f0000, whose read enable stays set while the routine
 * itself switches its segment's write enable; and d0000 goes through RAM, read-only RAM and not RAM, being read,
 * written and executed from.
 *
 * Written while read-only or away, RAM must stay; written while writable, it must change, and code in it too. What
 * reads show while d0000 is not RAM is not looked at. Every check is made on the spot and every value goes through
 * the hash.
 */
#include "machine.h"

#define SHADOW 0xf0000u
#define WINDOW 0xd0000u
#define STEPS 10u

#define HOST_BRIDGE 0x80000000u
/* PAM0, upper nibble: f0000 to fffff. PAM3 (5c), lower nibble: d0000 to d3fff. */
#define PAM0 0x59
#define PAM3 0x5c
#define RE 1
#define WE 2

GUEST("pam_toggle", 0)

extern const uint8_t pam_code[], pam_code_end[], pam_word[];

/* Position-independent. EAX = value, ESI = address of the copied word. Runs with the segment writable and leaves it so;
   returns in EAX the value folded with what the stores left. */
__asm__("        .section .rodata\n"
        "        .balign 16\n"
        "pam_code:\n"
        "        movl %eax, %ebx\n"
        "        movl $0x80000058, %eax\n"
        "        movw $0xcf8, %dx\n"
        "        outl %eax, %dx\n"
        "        movw $0xcfd, %dx\n"
        "        movl %ebx, (%esi)\n" /* Lands. */
        "        movb $0x10, %al\n"
        "        outb %al, %dx\n"
        "        movl $0x0badbad0, (%esi)\n" /* Dropped: the very next instruction. */
        "        movl (%esi), %ecx\n"
        "        movb $0x30, %al\n"
        "        outb %al, %dx\n"
        "        addl %ecx, (%esi)\n" /* Lands: twice the value. */
        "        movl (%esi), %edi\n"
        "        movb $0x10, %al\n"
        "        outb %al, %dx\n"
        "        notl (%esi)\n" /* Dropped, after a read that counts for nothing. */
        "        addl (%esi), %edi\n"
        "        movb $0x30, %al\n"
        "        outb %al, %dx\n"
        "        leal (%ecx,%edi), %eax\n" /* Five times the value. */
        "        ret\n"
        "        .balign 16\n"
        "pam_word:\n"
        "        .long 0\n"
        "pam_code_end:\n"
        "        .text\n");

static void write_config(uint32_t index, uint8_t value)
{
    out32(0xcf8, HOST_BRIDGE | (index & ~3u));
    out8((uint16_t)(0xcfc + (index & 3)), value);
}

static uint32_t run_shadow(uint32_t value)
{
    uint32_t word = SHADOW + (uint32_t)(pam_word - pam_code);
    __asm__ volatile("call *%1" : "+a"(value) : "r"(SHADOW), "S"(word) : "ebx", "ecx", "edx", "edi", "memory", "cc");
    return value;
}

/* The function in the window: movl $imm32, %eax; ret. */
static void write_function(uint32_t value)
{
    MMIO8(WINDOW) = 0xb8;
    MMIO32(WINDOW + 1) = value;
    MMIO8(WINDOW + 5) = 0xc3;
}

static void expect_function(uint32_t value, uint32_t step)
{
    uint32_t got;
    __asm__ volatile("call *%1" : "=a"(got) : "r"(WINDOW) : "memory", "cc");
    if (got != value || MMIO32(WINDOW + 1) != value)
        fail(step);
}

static void cycle_window(uint32_t value)
{
    write_config(PAM3, RE | WE);
    write_function(value);
    expect_function(value, 1);
    write_config(PAM3, RE);
    MMIO32(WINDOW + 1) = ~value;
    expect_function(value, 2);
    write_config(PAM3, 0);
    MMIO32(WINDOW + 1) = value ^ 0x55555555;
    write_config(PAM3, RE);
    expect_function(value, 3);
    write_config(PAM3, RE | WE);
    expect_function(value, 4);
    MMIO32(WINDOW + 1) = value + 1;
    expect_function(value + 1, 5);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    write_config(PAM0, (RE | WE) << 4);
    write_config(PAM3, RE | WE);
    memcpy((void *)SHADOW, pam_code, (uint32_t)(pam_code_end - pam_code));
    for (uint32_t i = 0; i < n * STEPS; i++) {
        uint32_t value = run_shadow(h);
        if (value != 5 * h)
            fail(0);
        cycle_window(value);
        h = mix(h, value);
    }
    return h;
}
