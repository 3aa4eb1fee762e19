/*
 * Runtime of a guest on a machine: descriptor tables, vectors, paging, command line, output and exit ports.
 *
 * Memory: image from 1 MiB, pages for tables from 2 MiB, heap from 4 MiB; 64 MiB of RAM are enough.
 */
#include "machine.h"
#include "runtime.h"

#define DEBUGCON 0xe9
#define DEBUG_EXIT 0xf4
#define EXIT_EXCEPTION 0x7f

#define POOL_START 0x200000u
#define POOL_END 0x400000u
#define MAPPED_RAM (64u << 20)
#define LARGE (4u << 20)

#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)

/* Areas with devices, each identity-mapped for 4 MiB. */
static const uint32_t device_areas[] = {0xd1000000, 0xfc000000, 0xfd000000, 0xfe000000, 0xfec00000};

/* SDM Vol. 3A 7.2.1; only the stack for ring 0 is used, and an I/O map base beyond the limit: no ports for ring 3. */
struct tss {
    uint32_t link, esp0, ss0, unused[22];
    uint16_t trap, io_map;
};

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint32_t base;
};

extern const uint8_t vector_entries[48][16];
void load_gdt(const struct table_register *gdtr);

static uint32_t gdt[GDT_ENTRIES][2];
static uint32_t idt[256][2];
static handler *handlers[48];
static struct tss tss;
static uint8_t ring0_stack[4096] __attribute__((aligned(16)));
static const char *command_line = "";
static uint32_t pool = POOL_START;
static uint32_t *directory;

void put_bytes(const char *bytes, size_t len)
{
    for (; len; len--)
        out8(DEBUGCON, (uint8_t)*bytes++);
}

static _Noreturn void end_run(uint32_t value)
{
    out32(DEBUG_EXIT, value);
    for (;;)
        __asm__ volatile("cli; hlt");
}

_Noreturn void fail(uint32_t code)
{
    report_failure(code);
    end_run(1);
}

uint32_t argument(const char *key, uint32_t otherwise)
{
    uint32_t value = otherwise;
    text_argument(command_line, key, &value);
    return value;
}

static void report_exception(const struct frame *frame)
{
    print("exception vector ");
    print_hex(frame->vector);
    print(" error ");
    print_hex(frame->error);
    print(" eip ");
    print_hex(frame->eip);
    print(" cr2 ");
    print_hex(read_cr2());
    print("\n");
    end_run(EXIT_EXCEPTION);
}

void vector_dispatch(struct frame *frame)
{
    handler *function = handlers[frame->vector];
    if (!function)
        report_exception(frame);
    function(frame);
}

void set_handler(unsigned vector, handler *function)
{
    handlers[vector] = function;
}

void set_gate(unsigned vector, const void *entry, unsigned dpl, int present)
{
    uint32_t offset = (uint32_t)entry;
    idt[vector][0] = KERNEL_CS << 16 | (offset & 0xffff);
    idt[vector][1] = (offset & 0xffff0000) | (present ? 0x8000u : 0) | dpl << 13 | 0x0e00;
}

void open_vector(unsigned vector)
{
    set_gate(vector, vector_entries[vector], 3, 1);
}

void set_descriptor(unsigned index, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    gdt[index][0] = base << 16 | (limit & 0xffff);
    gdt[index][1] = (base & 0xff000000) | (uint32_t)flags << 20 | (limit & 0xf0000) | (uint32_t)access << 8
                    | (base >> 16 & 0xff);
}

void set_ring0_stack(uint32_t esp)
{
    tss.esp0 = esp;
}

static void set_up_segments(void)
{
    set_descriptor(1, 0, 0xfffff, 0x9b, 0xc);
    set_descriptor(2, 0, 0xfffff, 0x93, 0xc);
    set_descriptor(3, 0, 0xfffff, 0xfb, 0xc);
    set_descriptor(4, 0, 0xfffff, 0xf3, 0xc);
    set_descriptor(5, (uint32_t)&tss, sizeof tss - 1, 0x89, 0);
    tss.ss0 = KERNEL_DS;
    tss.io_map = sizeof tss;
    set_ring0_stack((uint32_t)(ring0_stack + sizeof ring0_stack));
    struct table_register gdtr = {sizeof gdt - 1, (uint32_t)gdt};
    load_gdt(&gdtr);
}

static void set_up_vectors(void)
{
    for (unsigned vector = 0; vector < 48; vector++)
        set_gate(vector, vector_entries[vector], 0, 1);
    struct table_register idtr = {sizeof idt - 1, (uint32_t)idt};
    __asm__ volatile("lidt %0" : : "m"(idtr));
}

uint32_t *new_page(void)
{
    uint32_t *page = (uint32_t *)pool;
    if (pool == POOL_END)
        fail(0xf001);
    pool += PAGE;
    memset(page, 0, PAGE);
    return page;
}

uint32_t *page_directory(void)
{
    return directory;
}

uint32_t *page_entry(uint32_t *in, uint32_t la)
{
    uint32_t *entry = &in[la >> 22];
    if (!(*entry & PTE_P))
        *entry = (uint32_t)new_page() | PTE_P | PTE_W | PTE_U;
    return (uint32_t *)(*entry & ~(PAGE - 1)) + (la >> 12 & 1023);
}

void map_page(uint32_t *in, uint32_t la, uint32_t pa, uint32_t bits)
{
    *page_entry(in, la) = pa | bits;
}

static void map_identity(uint32_t start, uint32_t len, uint32_t bits)
{
    for (uint32_t off = 0; off < len; off += PAGE)
        map_page(directory, start + off, start + off, bits);
}

static void turn_paging_on(void)
{
    directory = new_page();
    map_identity(0, MAPPED_RAM, PTE_P | PTE_W | (guest.flags & NEEDS_USER ? PTE_U : 0));
    for (unsigned i = 0; i < sizeof device_areas / sizeof *device_areas; i++)
        map_identity(device_areas[i], LARGE, PTE_P | PTE_W);
    load_cr3(directory);
    uint32_t cr0;
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0\n\tjmp 1f\n1:" : : "r"(cr0 | CR0_PG | CR0_WP) : "memory");
}

/* Multiboot specification 3.2 and 3.3: the magic number, and the information structure with the command line. */
_Noreturn void machine_start(uint32_t magic, const uint32_t *info)
{
    if (magic == 0x2badb002 && info[0] & 4)
        command_line = (const char *)info[4];
    set_up_segments();
    set_up_vectors();
    if (guest.flags & NEEDS_PAGING || argument("paging", 0))
        turn_paging_on();
    run_guest();
    end_run(0);
}
