/*
 * A bytecode interpreter twice: once as a loop around a switch, once with computed gotos. Indirect jumps with many
 * targets, loads of code bytes, a register file in memory.
 *
 * The program computes lengths of Collatz sequences and greatest common divisors. Both interpreters must agree, and
 * the hash takes their common result of every round.
 */
#include "guest.h"

GUEST("bytecode", 0)

enum op { MOVI, MOV, ADD, SUB, MUL3, SHR1, ODD, GCD, JZ, JMP, XORR, DEC, HALT };

/* Instructions are three bytes: operation, a, b. Jump targets are instruction numbers. */
#define I(op, a, b) (op), (a), (b)

/* r0 first number, r1 count of numbers, r7 sum; r2 value, r3 flag, r4 one, r5 and r6 the operands of the divisor. */
static const uint8_t program[] = {
    /*  0 */ I(MOVI, 4, 1),
    /*  1 */ I(MOV, 2, 0),   /* Next number. */
    /*  2 */ I(MOV, 3, 2),   /* Collatz step: done when the value is one. */
    /*  3 */ I(SUB, 3, 4),
    /*  4 */ I(JZ, 3, 12),
    /*  5 */ I(ADD, 7, 4),
    /*  6 */ I(ODD, 3, 2),
    /*  7 */ I(JZ, 3, 10),
    /*  8 */ I(MUL3, 2, 0),
    /*  9 */ I(JMP, 0, 2),
    /* 10 */ I(SHR1, 2, 0),
    /* 11 */ I(JMP, 0, 2),
    /* 12 */ I(MOV, 5, 0),   /* Greatest common divisor of the number and 210. */
    /* 13 */ I(MOVI, 6, 210),
    /* 14 */ I(MOV, 3, 5),
    /* 15 */ I(SUB, 3, 6),
    /* 16 */ I(JZ, 3, 19),
    /* 17 */ I(GCD, 5, 6),
    /* 18 */ I(JMP, 0, 14),
    /* 19 */ I(XORR, 7, 5),
    /* 20 */ I(ADD, 0, 4),
    /* 21 */ I(DEC, 1, 0),
    /* 22 */ I(JZ, 1, 24),
    /* 23 */ I(JMP, 0, 1),
    /* 24 */ I(HALT, 0, 0),
};

/* One subtraction of Euclid's algorithm: the larger of the two loses the smaller. */
static void euclid(uint32_t *a, uint32_t *b)
{
    if (*a > *b)
        *a -= *b;
    else
        *b -= *a;
}

__attribute__((noinline)) static uint32_t run_switch(uint32_t first, uint32_t count)
{
    uint32_t r[8] = {first, count};
    for (const uint8_t *pc = program;; pc += 3) {
        uint8_t a = pc[1], b = pc[2];
        switch ((enum op)pc[0]) {
        case MOVI: r[a] = b; break;
        case MOV: r[a] = r[b]; break;
        case ADD: r[a] += r[b]; break;
        case SUB: r[a] -= r[b]; break;
        case MUL3: r[a] = 3 * r[a] + 1; break;
        case SHR1: r[a] >>= 1; break;
        case ODD: r[a] = r[b] & 1; break;
        case GCD: euclid(&r[a], &r[b]); break;
        case JZ: if (!r[a]) pc = program + 3 * b - 3; break;
        case JMP: pc = program + 3 * b - 3; break;
        case XORR: r[a] = rotate_left(r[a], 1) ^ r[b]; break;
        case DEC: r[a]--; break;
        case HALT: return r[7];
        }
    }
}

__attribute__((noinline, optimize("no-crossjumping"))) static uint32_t run_threaded(uint32_t first, uint32_t count)
{
    static const void *const targets[] = {
        &&movi, &&mov, &&add, &&sub, &&mul3, &&shr1, &&odd, &&gcd, &&jz, &&jmp, &&xorr, &&dec, &&halt,
    };
    uint32_t r[8] = {first, count};
    const uint8_t *pc = program;
#define NEXT goto *targets[*(pc += 3)]
    goto *targets[*pc];
movi: r[pc[1]] = pc[2]; NEXT;
mov: r[pc[1]] = r[pc[2]]; NEXT;
add: r[pc[1]] += r[pc[2]]; NEXT;
sub: r[pc[1]] -= r[pc[2]]; NEXT;
mul3: r[pc[1]] = 3 * r[pc[1]] + 1; NEXT;
shr1: r[pc[1]] >>= 1; NEXT;
odd: r[pc[1]] = r[pc[2]] & 1; NEXT;
gcd: euclid(&r[pc[1]], &r[pc[2]]); NEXT;
jz: if (!r[pc[1]]) pc = program + 3 * pc[2] - 3; NEXT;
jmp: pc = program + 3 * pc[2] - 3; NEXT;
xorr: r[pc[1]] = rotate_left(r[pc[1]], 1) ^ r[pc[2]]; NEXT;
dec: r[pc[1]]--; NEXT;
halt: return r[7];
}

uint32_t guest_main(uint32_t n)
{
    uint32_t h = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = 2 + (h >> 5) % 500;
        uint32_t by_switch = run_switch(first, 40), by_goto = run_threaded(first, 40);
        if (by_switch != by_goto)
            fail(i);
        h = mix(h, by_switch);
    }
    return h;
}
