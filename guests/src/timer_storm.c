/*
 * Timer interrupts at a high rate while the program computes: 8254 channel 0, 8259 pair, an interrupt gate, EOI.
 *
 * It ends after a number of interrupts that n sets, never by polling. The handler advances a chain of values, one step
 * an interrupt; meanwhile the main program computes a checksum over and over whose value must always be the same, so an
 * interrupt that damages a register or a flag shows. When an interrupt arrives does not change the result.
 */
#include "machine.h"

#define IRQ0_VECTOR 0x20
#define INTERRUPTS 100u
/* 1.193182 MHz by this: about 20 kHz. */
#define DIVISOR 60u
#define WORDS 256

GUEST("timer_storm", 0)

static volatile uint32_t left;
static volatile uint32_t chain = 1;

static void timer(struct frame *frame)
{
    if (left) {
        chain = chain * 1664525u + 1013904223u;
        left--;
    }
    out8(0x20, 0x20);
}

/* 8259A data sheet, ICW1 to ICW4: vectors 20 and 28, only IRQ 0 unmasked. */
static void set_up_interrupts(void)
{
    out8(0x20, 0x11);
    out8(0xa0, 0x11);
    out8(0x21, IRQ0_VECTOR);
    out8(0xa1, IRQ0_VECTOR + 8);
    out8(0x21, 4);
    out8(0xa1, 2);
    out8(0x21, 1);
    out8(0xa1, 1);
    out8(0x21, 0xfe);
    out8(0xa1, 0xff);
    set_handler(IRQ0_VECTOR, timer);
}

/* 8254 data sheet: channel 0, low byte then high byte, mode 2. */
static void start_timer(void)
{
    out8(0x43, 0x34);
    out8(0x40, DIVISOR & 0xff);
    out8(0x40, DIVISOR >> 8);
}

static uint32_t checksum(const uint32_t *words)
{
    uint32_t h = 1;
    for (int i = 0; i < WORDS; i++) {
        h = mix(h, words[i]);
        /* Carries through memory and flags: add, adc. */
        __asm__("addl %1, %0; adcl $0, %0" : "+r"(h) : "m"(words[i]) : "cc");
    }
    return h;
}

uint32_t guest_main(uint32_t n)
{
    static uint32_t words[WORDS];
    uint32_t seed = 0x8254;
    for (int i = 0; i < WORDS; i++)
        words[i] = next_random(&seed);
    uint32_t expected = checksum(words);
    left = n * INTERRUPTS;
    set_up_interrupts();
    start_timer();
    __asm__ volatile("sti");
    while (left)
        if (checksum(words) != expected)
            fail(left);
    __asm__ volatile("cli");
    out8(0x21, 0xff);
    return mix(chain, expected);
}
