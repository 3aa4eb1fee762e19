/*
 * Privilege switches at speed: IRET to ring 3, which computes a step and comes back by INT 80 through a gate and the
 * ring 0 stack of the TSS.
 *
 * Ring 0 hands over a value in EAX and checks selectors, stack pointer and flags of the frame; the hash takes what each
 * visit to ring 3 returns.
 */
#include "machine.h"

#define SYSTEM_CALL 0x80
#define VISITS 200u

GUEST("ring3", NEEDS_USER)

void ring3_entry(void);
uint32_t ring3_visit(uint32_t value, uint32_t flags);
extern struct ring3_frame {
    uint32_t eip, cs, eflags, esp, ss;
} ring3_frame;
extern uint8_t ring3_user[], ring3_back[];

#define USER_STACK 0x600000u

/*
 * ring3_visit saves its registers and stack, and leaves through IRET. ring3_entry, the gate's target, copies the frame,
 * finds the saved stack again and returns from ring3_visit.
 */
__asm__("        .globl ring3_visit\n"
        "ring3_visit:\n"
        "        movl 4(%esp), %eax\n"
        "        movl 8(%esp), %ecx\n"
        "        pushal\n"
        "        movl %esp, ring3_saved\n"
        "        pushl $0x23\n"
        "        pushl $0x600000\n"
        "        pushl %ecx\n"
        "        pushl $0x1b\n"
        "        pushl $ring3_user\n"
        "        movl $0x23, %ecx\n"
        "        movl %ecx, %ds\n"
        "        movl %ecx, %es\n"
        "        iret\n"
        "ring3_user:\n"
        "        pushl %eax\n"
        "        roll $9, %eax\n"
        "        addl (%esp), %eax\n"
        "        xorl $0x5a5a5a5a, %eax\n"
        "        addl $4, %esp\n"
        "        cmpl $0, %eax\n" /* Flags with a known carry: none. */
        "        int $0x80\n"
        "ring3_back:\n"
        "        ud2\n"
        "        .globl ring3_entry\n"
        "ring3_entry:\n"
        "        movl $0x10, %ecx\n"
        "        movl %ecx, %ds\n"
        "        movl %ecx, %es\n"
        "        popl ring3_frame\n"
        "        popl ring3_frame + 4\n"
        "        popl ring3_frame + 8\n"
        "        popl ring3_frame + 12\n"
        "        popl ring3_frame + 16\n"
        "        movl ring3_saved, %esp\n"
        "        movl %eax, 28(%esp)\n"
        "        popal\n"
        "        ret\n"
        "        .comm ring3_saved, 4, 4\n"
        "        .comm ring3_frame, 20, 4\n");

#define EFLAGS_CF 1u
#define EFLAGS_IF 0x200u

static void check_frame(uint32_t step)
{
    if (ring3_frame.cs != USER_CS || ring3_frame.ss != USER_DS || ring3_frame.esp != USER_STACK)
        fail(step << 4 | 1);
    if (ring3_frame.eip != (uint32_t)ring3_back)
        fail(step << 4 | 2);
    if ((ring3_frame.eflags & (EFLAGS_CF | EFLAGS_IF)) != 0)
        fail(step << 4 | 3);
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    set_gate(SYSTEM_CALL, ring3_entry, 3, 1);
    for (uint32_t i = 0; i < n * VISITS; i++) {
        uint32_t got = ring3_visit(h, 2 | (h & EFLAGS_CF));
        check_frame(i);
        if (got != ((rotate_left(h, 9) + h) ^ 0x5a5a5a5a))
            fail(i << 4);
        h = mix(h, got);
    }
    return h;
}
