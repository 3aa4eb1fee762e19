/* Parts of the runtime that a machine and a process share: the protocol, the command line, memory functions. */
#include "guest.h"
#include "runtime.h"

void print(const char *text)
{
    size_t len = 0;
    while (text[len])
        len++;
    put_bytes(text, len);
}

void print_hex(uint32_t value)
{
    char text[8];
    for (int i = 7; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    put_bytes(text, sizeof text);
}

static void print_decimal(uint32_t value)
{
    char text[10];
    int at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put_bytes(text + at, sizeof text - at);
}

uint32_t run_guest(void)
{
    uint32_t n = argument("n", 1);
    print("start ");
    print(guest.name);
    print(" n=");
    print_decimal(n);
    print("\n");
    uint32_t result = guest_main(n);
    print("end\n");
    print("result ");
    print_hex(result);
    print("\n");
    return result;
}

void report_failure(uint32_t code)
{
    print("fail ");
    print(guest.name);
    print(" ");
    print_hex(code);
    print("\n");
}

/* The value of `key` in one word of the command line: whether it is there. */
static int word_value(const char *word, const char *key, uint32_t *value)
{
    while (*key && *word == *key)
        word++, key++;
    if (*key || *word != '=')
        return 0;
    *value = 0;
    for (word++; *word >= '0' && *word <= '9'; word++)
        *value = *value * 10 + (uint32_t)(*word - '0');
    return 1;
}

int text_argument(const char *text, const char *key, uint32_t *value)
{
    int found = 0;
    while (*text) {
        while (*text == ' ')
            text++;
        found |= word_value(text, key, value);
        while (*text && *text != ' ')
            text++;
    }
    return found;
}

void *memcpy(void *to, const void *from, size_t len)
{
    uint8_t *d = to;
    const uint8_t *s = from;
    for (; len >= 4; len -= 4, d += 4, s += 4)
        *(uint32_t *)d = *(const uint32_t *)s;
    for (; len; len--)
        *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t len)
{
    uint8_t *d = to;
    const uint8_t *s = from;
    if (d <= s)
        for (; len; len--)
            *d++ = *s++;
    else
        for (; len; len--)
            d[len - 1] = s[len - 1];
    return to;
}

void *memset(void *to, int byte, size_t len)
{
    uint8_t *d = to;
    uint32_t word = (uint8_t)byte * 0x01010101u;
    for (; len >= 4; len -= 4, d += 4)
        *(uint32_t *)d = word;
    for (; len; len--)
        *d++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    for (; len; len--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}
