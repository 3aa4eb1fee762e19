/* The machine below a system guest: ports, descriptor tables, interrupts, page tables. */
#ifndef MACHINE_H
#define MACHINE_H

#include "guest.h"

/* Selectors of the runtime's GDT. Entries from GDT_FREE on are the guest's. */
#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_CS 0x1b
#define USER_DS 0x23
#define TSS_SELECTOR 0x28
#define GDT_FREE 6
#define GDT_ENTRIES 16

/* Page table bits, SDM Vol. 3A 4.3. */
#define PTE_P 0x01u
#define PTE_W 0x02u
#define PTE_U 0x04u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PAGE 4096u

/* What the runtime's vector code leaves on the stack. `user_esp` and `user_ss` are there only when `cs` is ring 3. */
struct frame {
    uint32_t es, ds;
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t vector, error;
    uint32_t eip, cs, eflags, user_esp, user_ss;
};

/* Handler of a vector below 48; the default reports and ends the run with value 7f. */
typedef void handler(struct frame *frame);
void set_handler(unsigned vector, handler *function);
/* Interrupt gate to code of the guest's own. `present` 0 makes a gate that raises #NP. */
void set_gate(unsigned vector, const void *entry, unsigned dpl, int present);
/* Lets ring 3 reach `vector`, one below 48, by INT. */
void open_vector(unsigned vector);
/* Descriptor `index`: SDM Vol. 3A 3.4.5. `access` is byte 5, `flags` the upper nibble of byte 6. */
void set_descriptor(unsigned index, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags);
/* Stack for entries to ring 0. */
void set_ring0_stack(uint32_t esp);

/* A zeroed page from the pool below the heap. */
uint32_t *new_page(void);
/* The page directory that the runtime made (paging on). */
uint32_t *page_directory(void);
/* The entry of `la`, its table made if there is none. */
uint32_t *page_entry(uint32_t *directory, uint32_t la);
/* Maps one page in `directory`; stale TLB entries are the caller's affair. */
void map_page(uint32_t *directory, uint32_t la, uint32_t pa, uint32_t bits);

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void invlpg(uint32_t la)
{
    __asm__ volatile("invlpg (%0)" : : "r"(la) : "memory");
}

static inline void load_cr3(uint32_t *directory)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
}

static inline uint32_t read_cr2(void)
{
    uint32_t value;
    __asm__ volatile("movl %%cr2, %0" : "=r"(value));
    return value;
}

#define MMIO8(address) (*(volatile uint8_t *)(address))
#define MMIO16(address) (*(volatile uint16_t *)(address))
#define MMIO32(address) (*(volatile uint32_t *)(address))

#endif
