/* The test devices of the project's board; no other machine has them. */
#ifndef BOARD_H
#define BOARD_H

#include "machine.h"

/* Result of a guest that checks everything itself. */
#define PASSED 0x600du

/* Test block: scratch; a counter of its reads; an adder; the sum. */
#define TEST_BLOCK 0xfe000000u
#define TEST_SCRATCH (TEST_BLOCK + 0x0)
#define TEST_COUNTER (TEST_BLOCK + 0x4)
#define TEST_ADD (TEST_BLOCK + 0x8)
#define TEST_SUM (TEST_BLOCK + 0xc)

/* Bank switch: the register shows one of 16 banks in the window. */
#define BANK_REGISTER 0xfe001000u
#define BANK_WINDOW 0xd1000000u
#define BANK_LEN 0x10000u
#define BANKS 16u

/* IOMMU: page index, and the entry of that page; its bus addresses as the CPU sees them. */
#define IOMMU_INDEX 0xfe002000u
#define IOMMU_ENTRY 0xfe002004u
#define IOMMU_READ 1u
#define IOMMU_WRITE 2u
#define IOMMU_WINDOW 0xfc000000u

/* Test bus master. */
#define DMA_SRC 0xfe003000u
#define DMA_DST 0xfe003004u
#define DMA_LEN 0xfe003008u
#define DMA_CONTROL 0xfe00300cu
#define DMA_COPY 1u
#define DMA_COPY_IOMMU 3u
#define DMA_DONE 1u
#define DMA_ERROR 2u

/* Flash with Intel's command set, bytes. */
#define FLASH 0xfd000000u
#define FLASH_LEN 0x100000u
#define FLASH_BLOCK 0x10000u

#endif
