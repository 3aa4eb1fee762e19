/*
 * The IOMMU and the bus master of the project's board: plain copies, copies through the IOMMU, the CPU's window onto
 * bus addresses, permissions, remapping, and a copy onto code that has run.
 *
 * Contents after each copy are compared with what the mappings say, so a stale translation, a copy that ignores a
 * permission, or stale code shows. The result is 600d.
 */
#include "board.h"

#define FRAMES 16u
#define BUS_PAGES 256u
#define STEPS 4u

GUEST("iommu_dma", 0)

static void check(int good, uint32_t code)
{
    if (!good)
        fail(code);
}

static uint32_t frame(uint32_t index)
{
    return (uint32_t)HEAP + index * PAGE;
}

static void map_bus(uint32_t page, uint32_t frame_address, uint32_t rights)
{
    MMIO32(IOMMU_INDEX) = page;
    MMIO32(IOMMU_ENTRY) = frame_address | rights;
    check(MMIO32(IOMMU_ENTRY) == (frame_address | rights), 1);
}

static uint32_t copy(uint32_t control, uint32_t src, uint32_t dst, uint32_t len)
{
    MMIO32(DMA_SRC) = src;
    MMIO32(DMA_DST) = dst;
    MMIO32(DMA_LEN) = len;
    MMIO32(DMA_CONTROL) = control;
    return MMIO32(DMA_CONTROL);
}

static void fill(uint32_t address, uint32_t len, uint32_t *seed)
{
    for (uint32_t off = 0; off < len; off += 4)
        MMIO32(address + off) = next_random(seed);
}

static int equal(uint32_t a, uint32_t b, uint32_t len)
{
    return memcmp((void *)a, (void *)b, len) == 0;
}

static void plain_copy(uint32_t *seed)
{
    uint32_t len = 1 + next_random(seed) % (3 * PAGE), off = next_random(seed) & 255;
    fill(frame(0), 4 * PAGE, seed);
    memset((void *)frame(8), 0xee, 4 * PAGE + 256);
    check(copy(DMA_COPY, frame(0) + 1, frame(8) + off, len) == DMA_DONE, 2);
    check(equal(frame(0) + 1, frame(8) + off, len), 3);
    check(*(uint8_t *)(frame(8) + off + len) == 0xee, 4);
}

/* Two bus pages that are neighbours lead to frames that are not. */
static void scattered_copy(uint32_t *seed)
{
    uint32_t page = next_random(seed) % (BUS_PAGES - 4);
    fill(frame(2), PAGE, seed);
    fill(frame(5), PAGE, seed);
    map_bus(page, frame(5), IOMMU_READ);
    map_bus(page + 1, frame(2), IOMMU_READ);
    map_bus(page + 2, frame(9), IOMMU_READ | IOMMU_WRITE);
    map_bus(page + 3, frame(7), IOMMU_READ | IOMMU_WRITE);
    check(copy(DMA_COPY_IOMMU, page * PAGE, (page + 2) * PAGE, 2 * PAGE) == DMA_DONE, 5);
    check(equal(frame(9), frame(5), PAGE) && equal(frame(7), frame(2), PAGE), 6);
}

static void permissions(uint32_t *seed)
{
    uint32_t page = next_random(seed) % (BUS_PAGES - 2);
    fill(frame(1), PAGE, seed);
    fill(frame(3), PAGE, seed);
    uint32_t before = MMIO32(frame(3));
    map_bus(page, frame(1), IOMMU_READ);
    map_bus(page + 1, frame(3), IOMMU_READ);
    check(copy(DMA_COPY_IOMMU, page * PAGE, (page + 1) * PAGE, 64) == DMA_ERROR, 7);
    check(MMIO32(frame(3)) == before, 8);
    map_bus(page, frame(1), IOMMU_WRITE);
    map_bus(page + 1, frame(3), IOMMU_WRITE);
    check(copy(DMA_COPY_IOMMU, page * PAGE, (page + 1) * PAGE, 64) == DMA_ERROR, 9);
    map_bus(page, frame(1), IOMMU_READ);
    check(copy(DMA_COPY_IOMMU, page * PAGE, (page + 1) * PAGE, 64) == DMA_DONE, 10);
    check(equal(frame(1), frame(3), 64), 11);
}

/* The CPU's accesses to the window follow a changed entry at once. */
static void window(uint32_t *seed)
{
    uint32_t page = next_random(seed) % BUS_PAGES, at = IOMMU_WINDOW + page * PAGE;
    for (uint32_t i = 0; i < 4; i++)
        MMIO32(frame(i) + 4) = 0x1000 + i;
    for (uint32_t i = 0; i < 4; i++) {
        map_bus(page, frame(i), IOMMU_READ | IOMMU_WRITE);
        check(MMIO32(at + 4) == 0x1000 + i, 12);
        MMIO32(at + 8) = 0x2000 + i;
        check(MMIO32(frame(i) + 8) == 0x2000 + i, 13);
    }
    map_bus(page, frame(2), IOMMU_READ);
    MMIO32(at + 8) = 0x3000;
    check(MMIO32(frame(2) + 8) == 0x2002 && MMIO32(at + 8) == 0x2002, 14);
    map_bus(page, frame(3), 0);
    MMIO32(at + 8) = 0x4000;
    check(MMIO32(frame(3) + 8) == 0x2003, 15);
}

/* movl $value, %eax; ret, copied onto the code that ran before. */
static void code(uint32_t *seed)
{
    uint32_t source = frame(12), target = frame(14) + 0x123, value, got;
    for (uint32_t i = 0; i < 4; i++) {
        value = next_random(seed);
        MMIO8(source) = 0xb8;
        MMIO32(source + 1) = value;
        MMIO8(source + 5) = 0xc3;
        if (i & 1) {
            map_bus(6, source, IOMMU_READ);
            map_bus(7, frame(14), IOMMU_WRITE);
            check(copy(DMA_COPY_IOMMU, 6 * PAGE, 7 * PAGE + 0x123, 6) == DMA_DONE, 16);
        } else {
            check(copy(DMA_COPY, source, target, 6) == DMA_DONE, 17);
        }
        __asm__ volatile("call *%1" : "=a"(got) : "r"(target) : "memory", "cc");
        check(got == value, 18);
    }
}

uint32_t guest_main(uint32_t n)
{
    uint32_t seed = 0xd3a;
    for (uint32_t i = 0; i < n * STEPS; i++) {
        plain_copy(&seed);
        scattered_copy(&seed);
        permissions(&seed);
        window(&seed);
        code(&seed);
    }
    return PASSED;
}
