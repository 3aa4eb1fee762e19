/*
 * A mix of embedded work: a linked list that is searched, reversed and merge-sorted, a small 16-bit matrix product,
 * a state machine over text, and a CRC-16 over everything. In the manner of CoreMark, of our own making.
 *
 * Every part's output goes through the CRC, which seeds the next iteration.
 */
#include "guest.h"

#define ITEMS 160
#define SIDE 12
#define TEXT 240
#define ITERATIONS 12

GUEST("coremix", 0)

struct item {
    struct item *next;
    int16_t value;
    uint16_t index;
};

static struct item items[ITEMS];
static int16_t matrix_a[SIDE][SIDE], matrix_b[SIDE][SIDE];
static int32_t matrix_c[SIDE][SIDE];
static char text[TEXT + 1];

static uint16_t crc16(uint16_t crc, uint32_t value)
{
    for (int bit = 0; bit < 16; bit++, value >>= 1)
        crc = (uint16_t)((crc ^ value) & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
    return crc;
}

static struct item *make_list(uint32_t seed)
{
    for (int i = 0; i < ITEMS; i++) {
        items[i].next = i + 1 < ITEMS ? &items[i + 1] : NULL;
        items[i].value = (int16_t)next_random(&seed);
        items[i].index = (uint16_t)i;
    }
    return items;
}

static struct item *reverse(struct item *list)
{
    struct item *done = NULL;
    while (list) {
        struct item *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static int by_value(const struct item *a, const struct item *b)
{
    return a->value - b->value;
}

static int by_index(const struct item *a, const struct item *b)
{
    return a->index - b->index;
}

typedef int order(const struct item *, const struct item *);

static struct item *merge(struct item *a, struct item *b, order *compare)
{
    struct item head, *last = &head;
    while (a && b) {
        struct item **smaller = compare(a, b) <= 0 ? &a : &b;
        last->next = *smaller;
        last = *smaller;
        *smaller = last->next;
    }
    last->next = a ? a : b;
    return head.next;
}

__attribute__((noinline)) static struct item *sort(struct item *list, order *compare)
{
    struct item *slow = list, *fast = list->next, *second;
    if (!fast)
        return list;
    while (fast && fast->next)
        slow = slow->next, fast = fast->next->next;
    second = slow->next;
    slow->next = NULL;
    return merge(sort(list, compare), sort(second, compare), compare);
}

static uint16_t list_part(uint16_t crc, uint32_t seed)
{
    struct item *list = reverse(make_list(seed));
    for (int find = 0; find < 20; find++) {
        struct item *at = list;
        while (at && (at->index & 63) != find)
            at = at->next;
        crc = crc16(crc, at ? (uint16_t)at->value : 0xffff);
    }
    list = sort(list, by_value);
    for (struct item *at = list; at; at = at->next)
        crc = crc16(crc, at->index);
    list = sort(list, by_index);
    return crc16(crc, (uint16_t)list->value);
}

static uint16_t matrix_part(uint16_t crc, uint32_t seed)
{
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < SIDE; k++) {
            matrix_a[i][k] = (int16_t)next_random(&seed);
            matrix_b[i][k] = (int16_t)(next_random(&seed) >> 16);
        }
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < SIDE; k++) {
            uint32_t sum = 0;
            for (int t = 0; t < SIDE; t++)
                sum += (uint32_t)(matrix_a[i][t] * matrix_b[t][k]);
            matrix_c[i][k] = (int32_t)sum;
        }
    for (int i = 0; i < SIDE; i++) {
        uint32_t sum = 0;
        for (int k = 0; k < SIDE; k++)
            sum += (uint32_t)(matrix_c[i][k] > 0 ? matrix_c[i][k] >> 3 : -(matrix_c[i][k] >> 2));
        crc = crc16(crc16(crc, sum), sum >> 16);
    }
    return crc;
}

enum state { START, SIGN, INTEGER, FRACTION, EXPONENT, WORD, BAD, STATES };

static enum state step(enum state state, char c)
{
    int digit = c >= '0' && c <= '9';
    switch (state) {
    case START:
        return digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? FRACTION : WORD;
    case SIGN:
        return digit ? INTEGER : c == '.' ? FRACTION : BAD;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? EXPONENT : BAD;
    case FRACTION:
        return digit ? FRACTION : c == 'e' ? EXPONENT : BAD;
    case EXPONENT:
        return digit ? EXPONENT : BAD;
    case WORD:
        return digit ? BAD : WORD;
    case BAD:
    case STATES:
        break;
    }
    return BAD;
}

static uint16_t text_part(uint16_t crc, uint32_t seed)
{
    uint16_t counts[STATES] = {0};
    enum state state = START;
    for (int i = 0; i < TEXT; i++)
        text[i] = "0123456789+-.e,,,xy5"[next_random(&seed) % 20];
    for (const char *at = text; *at; at++) {
        if (*at == ',') {
            counts[state]++;
            state = START;
        } else {
            state = step(state, *at);
        }
    }
    for (int i = 0; i < STATES; i++)
        crc = crc16(crc, counts[i]);
    return crc;
}

uint32_t guest_main(uint32_t n)
{
    uint16_t crc = 0xffff;
    uint32_t h = 1;
    for (uint32_t i = 0; i < n; i++) {
        for (int k = 0; k < ITERATIONS; k++) {
            uint32_t seed = h << 8 | 1;
            crc = list_part(crc, seed);
            crc = matrix_part(crc, seed);
            crc = text_part(crc, seed);
            h = mix(h, crc);
        }
    }
    return h;
}
