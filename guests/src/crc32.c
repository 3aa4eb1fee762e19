/*
 * CRC-32 (IEEE 802.3, reflected) by table: dependent loads, shifts and byte extraction.
 *
 * Each pass changes one byte of the buffer at a place that the last CRC chose, so the result depends on every pass.
 * The check value of the polynomial, cbf43926 for "123456789", is verified first.
 */
#include "guest.h"

#define BUFFER 0x20000u

GUEST("crc32", 0)

static uint32_t table[256];

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
        table[i] = c;
    }
}

static uint32_t crc32(const uint8_t *bytes, uint32_t len)
{
    uint32_t c = ~0u;
    for (; len; len--)
        c = table[(c ^ *bytes++) & 0xff] ^ c >> 8;
    return ~c;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t seed = 0x12345, h = 0;
    make_table();
    if (crc32((const uint8_t *)"123456789", 9) != 0xcbf43926)
        fail(1);
    for (uint32_t i = 0; i < BUFFER; i++)
        HEAP[i] = (uint8_t)next_random(&seed);
    for (uint32_t i = 0; i < n; i++) {
        h = crc32(HEAP, BUFFER);
        HEAP[h % BUFFER] ^= (uint8_t)(h >> 24 | 1);
    }
    return h;
}
