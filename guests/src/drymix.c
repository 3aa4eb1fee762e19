/*
 * A mix of what ordinary programs of the 1980s did: records behind pointers, short strings, small procedures with
 * output parameters, enumerations, array elements. In the manner of Dhrystone, of our own making.
 *
 * The hash takes every field of both records and the array cells of each round.
 */
#include "guest.h"

#define ROUNDS 8000

GUEST("drymix", 0)

enum kind { FIRST, SECOND, THIRD, FOURTH };

struct record {
    struct record *next;
    enum kind kind;
    int number;
    char text[32];
};

static struct record records[2];
static int cells[50], grid[50][50];
static int global_number;
static char global_char;

__attribute__((noinline)) static enum kind successor(enum kind kind, int number)
{
    switch (kind) {
    case FIRST:
        return number > 100 ? FIRST : FOURTH;
    case SECOND:
        return SECOND;
    case THIRD:
        return number & 1 ? THIRD : FIRST;
    case FOURTH:
        return THIRD;
    }
    return kind;
}

__attribute__((noinline)) static int compare(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a - *b;
}

__attribute__((noinline)) static void copy(char *to, const char *from)
{
    while ((*to++ = *from++))
        ;
}

__attribute__((noinline)) static void update_arrays(int at, int value)
{
    int place = at + 5;
    cells[place] = value;
    cells[place + 1] = cells[place];
    cells[place + 30 & 31] = place;
    for (int i = place; i <= place + 1; i++)
        grid[place][i] = place;
    grid[place][place - 1]++;
    grid[place + 20][place] = cells[place];
    global_number = 5;
}

__attribute__((noinline)) static void add(int a, int b, int *sum)
{
    *sum = a + 2 + b;
}

__attribute__((noinline)) static void visit(struct record *record)
{
    struct record *next = record->next;
    int number = record->number;
    *next = *record;
    next->next = record->next == &records[0] ? &records[1] : &records[0];
    next->kind = successor(record->kind, number);
    add(number, global_number, &next->number);
    next->number = (int)((uint32_t)next->number * 5u % 1009u);
    record->next = next;
}

static uint32_t hash_record(uint32_t h, const struct record *record)
{
    h = mix(h, (uint32_t)record->kind);
    h = mix(h, (uint32_t)record->number);
    for (int i = 0; record->text[i]; i++)
        h = mix(h, (uint8_t)record->text[i]);
    return h;
}

static void round_of(int i)
{
    char other[32] = "A TEXT OF SOME LENGTH, SECOND";
    struct record *record = &records[i & 1];
    int product = (i % 7 + 1) * record->number / (i % 3 + 2) - 3 * i;
    copy(record->text, "A TEXT OF SOME LENGTH, FIRST");
    record->text[i % 20] = (char)('A' + i % 26);
    if (compare(record->text, other) < 0)
        global_char++;
    else
        global_number -= product % 11;
    update_arrays(i % 20, product);
    visit(record);
    for (char c = 'A'; c <= 'C'; c++)
        if (successor((enum kind)(c & 3), product) == FIRST)
            global_char ^= c;
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    records[0].next = &records[1];
    records[1].next = &records[0];
    for (uint32_t i = 0; i < n; i++) {
        for (int k = 0; k < ROUNDS; k++)
            round_of(k);
        h = hash_record(hash_record(h, &records[0]), &records[1]);
        for (int k = 0; k < 50; k++)
            h = mix(h, (uint32_t)(cells[k] + grid[k][k]));
        h = mix(h, (uint8_t)global_char);
        records[h & 1].number += (int)(h >> 24);
    }
    return h;
}
