/*
 * Ports at speed: the POST code port 80 (written and read, the value read being the board's affair), the PCI address
 * register cf8 and the interrupt mask registers of both 8259s, which read back.
 *
 * The hash takes every value that must read back.
 */
#include "machine.h"

#define POST 0x80
#define PCI_ADDRESS 0xcf8
#define PCI_ENABLE 0x80000000u
#define MASTER_MASK 0x21
#define SLAVE_MASK 0xa1
#define STEPS 100u

GUEST("port_storm", 0)

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t i = 0; i < n * STEPS; i++) {
        out8(POST, (uint8_t)h);
        in8(POST);
        /* Bits 30 to 24 and 1 to 0 are reserved. */
        out32(PCI_ADDRESS, PCI_ENABLE | (h & 0xfffffc));
        h = mix(h, in32(PCI_ADDRESS));
        out8(MASTER_MASK, (uint8_t)(h >> 8));
        out8(SLAVE_MASK, (uint8_t)(h >> 16));
        h = mix(h, (uint32_t)in8(MASTER_MASK) << 8 | in8(SLAVE_MASK));
    }
    out8(MASTER_MASK, 0xff);
    out8(SLAVE_MASK, 0xff);
    return h;
}
