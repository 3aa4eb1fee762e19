/*
 * Exceptions and what the processor's state is when they arrive. The cases are in faults.S: page faults of all kinds,
 * #DE, #UD, #BR, #OF, #BP, #DB, #GP, #NP, #SS, privilege violations from ring 3, gates, half-done string instructions.
 *
 * Each case starts from the same registers, flags and memory. Its one exception (or INT 2f, which ends cases without
 * any) is recorded: vector, error code, CR2, EIP, CS, EFLAGS, ESP, SS, all registers, and the watched memory. All of it
 * goes through the hash; `verbose=1` prints it, so that two machines can be compared by diff.
 */
#include "machine.h"

#define CASE_END 0x2f
#define WINDOW 0x40000000u
#define WINDOW_PAGES 9u
#define RING0_STACK (WINDOW + 9 * PAGE)
#define TEST_STACK (WINDOW + 3 * PAGE + 0x800)

/* RF is left out: whether a fault pushes it is the processor's affair. */
#define FLAGS_HASHED 0x7fd5u
#define FLAGS_ARITHMETIC 0x8d5u
#define CR0_WP 0x10000u

GUEST("faults", NEEDS_PAGING | NEEDS_USER)

/* Bits of `skip`: arithmetic flags, watched memory, bit W of the error code are not looked at. */
enum { SKIP_FLAGS = 1, SKIP_MEMORY = 2, SKIP_DIRECTION = 4 };
#define ERROR_W 2u

struct fault_case {
    const uint8_t *code;
    uint32_t ring, skip;
    char name[20];
};

extern const struct fault_case fault_cases[], fault_cases_end[];
void faults_run(const uint8_t *code, uint32_t ring);
_Noreturn void faults_leave(void);
void faults_gate_target(void);

static uint32_t *frames[WINDOW_PAGES];
static const struct fault_case *current;
static uint32_t hash, verbose;

static void note(const char *name, uint32_t value)
{
    hash = mix(hash, value);
    if (verbose) {
        print(name);
        print_hex(value);
    }
}

/* Addresses inside the case are told from its start, so that the result does not depend on where the linker put it. */
static uint32_t relative_eip(uint32_t eip)
{
    uint32_t start = (uint32_t)current->code;
    return eip - start < PAGE ? eip - start : eip;
}

/* The stack counts from `esp` up: below it lies what the exception itself pushed. */
static uint32_t memory_hash(uint32_t esp)
{
    uint32_t h = 1;
    for (unsigned page = 0; page < WINDOW_PAGES - 1; page++)
        for (unsigned i = 0; i < 8; i++)
            h = mix(mix(h, frames[page][i]), frames[page][PAGE / 4 - 8 + i]);
    for (uint32_t la = TEST_STACK - 64; la < TEST_STACK + 16; la += 4)
        if (la >= esp)
            h = mix(h, *(uint32_t *)la);
    return h;
}

static void record(struct frame *frame)
{
    int user = frame->cs & 3;
    uint32_t esp = user ? frame->user_esp : (uint32_t)&frame->user_esp;
    uint32_t dr6, flags = FLAGS_HASHED & ~(current->skip & SKIP_FLAGS ? FLAGS_ARITHMETIC : 0);
    note(" vector ", frame->vector);
    note(" error ", frame->error & ~(current->skip & SKIP_DIRECTION ? ERROR_W : 0));
    note(" eip ", relative_eip(frame->eip));
    note(" cs ", frame->cs & 0xffff);
    note(" flags ", frame->eflags & flags);
    note(" esp ", esp);
    note(" ss ", user ? frame->user_ss & 0xffff : 0);
    note("\n   ", frame->eax);
    note(" ", frame->ecx);
    note(" ", frame->edx);
    note(" ", frame->ebx);
    note(" ", frame->ebp);
    note(" ", frame->esi);
    note(" ", frame->edi);
    if (frame->vector == 14)
        note(" cr2 ", read_cr2());
    if (frame->vector == 1) {
        __asm__ volatile("movl %%dr6, %0; movl %1, %%dr6" : "=&r"(dr6) : "r"(0));
        note(" dr6 ", dr6 & 0xe00f);
    }
    if (!(current->skip & SKIP_MEMORY))
        note(" memory ", memory_hash(esp));
    faults_leave();
}

/* Pages of the window: 0 read-write, 1 read-only, 2 absent, 3 read-write (stack), 4 supervisor, 5 supervisor read-only,
   6 read-write, 7 absent, 8 supervisor (stack of ring 0). */
static void set_up_window(void)
{
    static const uint8_t bits[WINDOW_PAGES] = {
        PTE_P | PTE_W | PTE_U, PTE_P | PTE_U, 0, PTE_P | PTE_W | PTE_U, PTE_P | PTE_W, PTE_P,
        PTE_P | PTE_W | PTE_U, 0, PTE_P | PTE_W,
    };
    for (unsigned page = 0; page < WINDOW_PAGES; page++) {
        frames[page] = new_page();
        map_page(page_directory(), WINDOW + page * PAGE, (uint32_t)frames[page], bits[page]);
    }
    set_ring0_stack(RING0_STACK);
}

/* The descriptors that faults.S names by number. */
static void set_up_descriptors(void)
{
    set_descriptor(6, 0, 0xfffff, 0x13, 0xc);  /* Data, absent. */
    set_descriptor(7, 0, 0xfffff, 0x91, 0xc);  /* Data, read-only. */
    set_descriptor(8, 0, 0xfffff, 0x99, 0xc);  /* Code, execute-only. */
    set_descriptor(9, 0, 0xfffff, 0x1b, 0xc);  /* Code, absent. */
    set_descriptor(12, 0, 0x67, 0x09, 0); /* TSS, absent. */
}

static void set_up_vectors(void)
{
    for (unsigned vector = 0; vector < 32; vector++)
        set_handler(vector, record);
    set_handler(CASE_END, record);
    open_vector(CASE_END);
    set_gate(0x90, faults_gate_target, 3, 0);
}

static void reset_memory(void)
{
    for (unsigned page = 0; page < WINDOW_PAGES - 1; page++)
        for (unsigned i = 0; i < 8; i++) {
            frames[page][i] = 0x01010101u * page + i;
            frames[page][PAGE / 4 - 8 + i] = 0x01010101u * page + 0x80 + i;
        }
    for (int i = -16; i < 4; i++)
        frames[3][0x800 / 4 + i] = 0x3000u + (uint32_t)(i + 16);
    /* b8 77 77 and the rest of an immediate that is on the absent page 7. */
    *(uint32_t *)((uint8_t *)frames[6] + PAGE - 4) = 0x7777b890;
}

static void run_case(const struct fault_case *c)
{
    uint32_t cr0;
    current = c;
    if (verbose) {
        print(c->name);
        print(":");
    }
    reset_memory();
    faults_run(c->code, c->ring);
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | CR0_WP));
    if (verbose)
        print("\n");
}

uint32_t guest_main(uint32_t n)
{
    hash = 1;
    verbose = argument("verbose", 0);
    set_up_window();
    set_up_descriptors();
    set_up_vectors();
    for (uint32_t i = 0; i < n; i++)
        for (const struct fault_case *c = fault_cases; c < fault_cases_end; c++)
            run_case(c);
    return hash;
}
