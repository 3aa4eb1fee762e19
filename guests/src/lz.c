/*
 * Compression and decompression of text-like bytes by back references found with a hash table: byte loads, unaligned
 * dword compares, copies that overlap.
 *
 * The decompressed bytes are compared with the original; the hash takes length and contents of each compressed form.
 */
#include "guest.h"

#define LEN 16384u
#define HASH_BITS 12
#define SHORTEST 4u
#define LONGEST (SHORTEST + 127u)

GUEST("lz", 0)

static uint16_t heads[1 << HASH_BITS];

static uint32_t dword(const uint8_t *at)
{
    uint32_t value;
    __builtin_memcpy(&value, at, 4);
    return value;
}

static uint32_t match_len(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    uint32_t len = 0;
    while (len < LONGEST && b + len < end && a[len] == b[len])
        len++;
    return len;
}

/* A byte k below 128 is followed by k + 1 literals, 128 + k means SHORTEST + k bytes at a 16-bit distance. */
static uint8_t *put_literals(uint8_t *out, const uint8_t *from, uint32_t count)
{
    while (count) {
        uint32_t piece = count < 128 ? count : 128;
        *out++ = (uint8_t)(piece - 1);
        for (uint32_t i = 0; i < piece; i++)
            *out++ = *from++;
        count -= piece;
    }
    return out;
}

static uint32_t compress(uint8_t *out, const uint8_t *in)
{
    const uint8_t *at = in, *literals = in, *end = in + LEN;
    uint8_t *start = out;
    memset(heads, 0, sizeof heads);
    while (at + SHORTEST < end) {
        uint16_t *head = &heads[dword(at) * 2654435761u >> (32 - HASH_BITS)];
        const uint8_t *candidate = in + *head;
        *head = (uint16_t)(at - in);
        uint32_t len = candidate < at && dword(candidate) == dword(at) ? match_len(candidate, at, end) : 0;
        if (len < SHORTEST) {
            at++;
            continue;
        }
        out = put_literals(out, literals, (uint32_t)(at - literals));
        *out++ = (uint8_t)(128 + len - SHORTEST);
        *out++ = (uint8_t)(at - candidate);
        *out++ = (uint8_t)((at - candidate) >> 8);
        at += len;
        literals = at;
    }
    out = put_literals(out, literals, (uint32_t)(end - literals));
    return (uint32_t)(out - start);
}

static uint32_t decompress(uint8_t *out, const uint8_t *in, uint32_t len)
{
    const uint8_t *end = in + len;
    uint8_t *start = out;
    while (in < end) {
        uint32_t token = *in++;
        if (token < 128) {
            for (uint32_t i = 0; i <= token; i++)
                *out++ = *in++;
        } else {
            const uint8_t *from = out - (in[0] | in[1] << 8);
            in += 2;
            for (uint32_t i = 0; i < token - 128 + SHORTEST; i++)
                *out++ = *from++;
        }
    }
    return (uint32_t)(out - start);
}

/* Words of a small vocabulary and, now and then, a random byte. */
static void make_text(uint8_t *text, uint32_t seed)
{
    static const char words[16][8] = {
        "memory ", "region ", "the ", "a ", "of ", "alias ", "view ", "page ",
        "is ", "to ", "table ", "and ", "byte ", "in ", "window ", ", ",
    };
    for (uint32_t i = 0; i < LEN;) {
        uint32_t r = next_random(&seed);
        if (r >> 28 == 0)
            text[i++] = (uint8_t)(r >> 8);
        for (const char *w = words[r & 15]; *w && i < LEN; w++)
            text[i++] = (uint8_t)*w;
    }
}

uint32_t guest_main(uint32_t n)
{
    uint8_t *text = HEAP, *packed = HEAP + 0x10000, *unpacked = HEAP + 0x20000;
    uint32_t h = 1;
    for (uint32_t i = 0; i < n; i++) {
        make_text(text, h);
        uint32_t len = compress(packed, text);
        if (decompress(unpacked, packed, len) != LEN || memcmp(text, unpacked, LEN))
            fail(i);
        h = mix(h, len);
        for (uint32_t k = 0; k + 4 <= len; k += 4)
            h = mix(h, dword(packed + k));
        h |= 1;
    }
    return h;
}
