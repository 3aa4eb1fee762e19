/*
 * What a change of the map costs in unicorn: maps as many pages as the first argument says, every other one from 2 GiB
 * on, and then takes one in the middle out and puts it back as often as the second argument says. Prints the
 * nanoseconds of one such pair.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unicorn/unicorn.h>

#define FIRST 0x80000000ull
#define PAGE 0x1000ull

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv)
{
    uint64_t pages, pairs, page, pair, changed;
    uc_engine *engine;
    double started;

    if (argc != 3)
        return 2;
    pages = strtoull(argv[1], NULL, 10);
    pairs = strtoull(argv[2], NULL, 10);
    if (pages == 0 || pairs == 0 || uc_open(UC_ARCH_X86, UC_MODE_32, &engine) != UC_ERR_OK)
        return 2;
    for (page = 0; page < pages; page++)
        if (uc_mem_map(engine, FIRST + page * 2 * PAGE, PAGE, UC_PROT_ALL) != UC_ERR_OK)
            return 1;
    changed = FIRST + pages / 2 * 2 * PAGE;
    started = now_ns();
    for (pair = 0; pair < pairs; pair++) {
        if (uc_mem_unmap(engine, changed, PAGE) != UC_ERR_OK)
            return 1;
        if (uc_mem_map(engine, changed, PAGE, UC_PROT_ALL) != UC_ERR_OK)
            return 1;
    }
    printf("%.1f\n", (now_ns() - started) / pairs);
    return 0;
}
