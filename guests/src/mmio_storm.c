/*
 * Device registers at speed: IOREGSEL and IOWIN of the I/O APIC, an index and a data register as many devices have.
 *
 * Redirection entries stay masked and get vectors and destinations, which read back. The hash takes every value read,
 * so a lost, doubled or reordered access shows.
 */
#include "machine.h"

#define IOREGSEL MMIO32(0xfec00000)
#define IOWIN MMIO32(0xfec00010)
#define ENTRIES 24u
#define STEPS 100u

#define MASKED 0x10000u
#define LEVEL 0x8000u
#define ACTIVE_LOW 0x2000u

GUEST("mmio_storm", 0)

static void write_entry(uint32_t entry, uint32_t low, uint32_t high)
{
    IOREGSEL = 0x10 + 2 * entry;
    IOWIN = low;
    IOREGSEL = 0x11 + 2 * entry;
    IOWIN = high;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t entry = 0; entry < ENTRIES; entry++)
        write_entry(entry, MASKED, 0);
    for (uint32_t i = 0; i < n * STEPS; i++) {
        uint32_t entry = h % ENTRIES, modes = h >> 16 & (LEVEL | ACTIVE_LOW);
        write_entry(entry, MASKED | modes | (h >> 8 & 0xff), h & 0xff000000);
        uint32_t read = (h >> 5) % ENTRIES;
        IOREGSEL = 0x10 + 2 * read;
        h = mix(h, IOWIN);
        IOREGSEL = 0x11 + 2 * read;
        h = mix(h, IOWIN);
        h = mix(h, IOREGSEL);
    }
    return h;
}
