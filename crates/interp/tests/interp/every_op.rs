//! Every operation of the list is reached, and does what it should at least once.

use std::collections::BTreeSet;

use cpu::{Exception, Trap, eflags};
use isa::{DecodeMode, Gpr, Op, decode};

use crate::machine::{CODE, Machine, STACK, bytes, put, sel};

/// How an operation ends.
#[derive(Clone, Copy)]
enum Ends {
    Next,
    At(u32),
    Raises(Exception),
}
use Ends::{At, Next, Raises};

#[rustfmt::skip]
const EXAMPLES: &[(Op, &str, Ends)] = &[
    (Op::Mov, "89 d8", Next), (Op::Movzx, "0f b6 c3", Next), (Op::Movsx, "0f be c3", Next), (Op::Lea, "8d 03", Next),
    (Op::Xchg, "87 d8", Next), (Op::Bswap, "0f c8", Next), (Op::Xlat, "d7", Next), (Op::Lahf, "9f", Next),
    (Op::Sahf, "9e", Next), (Op::Salc, "d6", Next), (Op::Setcc, "0f 92 c0", Next), (Op::Cmovcc, "0f 42 c3", Next),
    (Op::Cbw, "98", Next), (Op::Cwd, "99", Next), (Op::Push, "50", Next), (Op::Pop, "58", Next),
    (Op::Pusha, "60", Next), (Op::Popa, "61", Next), (Op::Pushf, "9c", Next), (Op::Popf, "9d", Next),
    (Op::Enter, "c8 00 00 00", Next), (Op::Leave, "c9", Next),
    (Op::Add, "01 d8", Next), (Op::Or, "09 d8", Next), (Op::Adc, "11 d8", Next), (Op::Sbb, "19 d8", Next),
    (Op::And, "21 d8", Next), (Op::Sub, "29 d8", Next), (Op::Xor, "31 d8", Next), (Op::Cmp, "39 d8", Next),
    (Op::Test, "85 d8", Next), (Op::Inc, "40", Next), (Op::Dec, "48", Next), (Op::Neg, "f7 d8", Next),
    (Op::Not, "f7 d0", Next), (Op::Xadd, "0f c1 d8", Next), (Op::Cmpxchg, "0f b1 d8", Next),
    (Op::Cmpxchg8b, "0f c7 0d 00 80 00 00", Next), (Op::Mul, "f7 e3", Next), (Op::Imul1, "f7 eb", Next),
    (Op::Imul, "0f af c3", Next), (Op::Div, "f7 f3", Next), (Op::Idiv, "f7 fb", Next),
    (Op::Rol, "d1 c0", Next), (Op::Ror, "d1 c8", Next), (Op::Rcl, "d1 d0", Next), (Op::Rcr, "d1 d8", Next),
    (Op::Shl, "d1 e0", Next), (Op::Shr, "d1 e8", Next), (Op::Sar, "d1 f8", Next), (Op::Shld, "0f a4 d8 01", Next),
    (Op::Shrd, "0f ac d8 01", Next), (Op::Bt, "0f a3 d8", Next), (Op::Bts, "0f ab d8", Next),
    (Op::Btr, "0f b3 d8", Next), (Op::Btc, "0f bb d8", Next), (Op::Bsf, "0f bc c3", Next), (Op::Bsr, "0f bd c3", Next),
    (Op::Aaa, "37", Next), (Op::Aas, "3f", Next), (Op::Aam, "d4 0a", Next), (Op::Aad, "d5 0a", Next),
    (Op::Daa, "27", Next), (Op::Das, "2f", Next), (Op::Clc, "f8", Next), (Op::Stc, "f9", Next), (Op::Cmc, "f5", Next),
    (Op::Cld, "fc", Next), (Op::Std, "fd", Next), (Op::Nop, "90", Next),
    (Op::Movs, "a4", Next), (Op::Cmps, "a6", Next), (Op::Scas, "ae", Next), (Op::Lods, "ac", Next),
    (Op::Stos, "aa", Next), (Op::Ins, "6c", Next), (Op::Outs, "6e", Next), (Op::In, "ec", Next), (Op::Out, "ee", Next),
    (Op::Jmp, "eb 10", At(CODE + 0x12)), (Op::Jcc, "74 10", Next), (Op::Call, "e8 10 00 00 00", At(CODE + 0x15)),
    (Op::Ret, "c3", At(0x1234)), (Op::Loop, "e2 10", At(CODE + 0x12)), (Op::Loope, "e1 10", Next),
    (Op::Loopne, "e0 10", At(CODE + 0x12)), (Op::Jcxz, "e3 10", Next),
    (Op::JmpFar, "ea 34 12 00 00 08 00", At(0x1234)), (Op::CallFar, "9a 34 12 00 00 08 00", At(0x1234)),
    (Op::RetFar, "cb", At(0x1234)), (Op::Int, "cd 80", At(0x6800)), (Op::Int1, "f1", At(0x6010)),
    (Op::Int3, "cc", At(0x6030)), (Op::Into, "ce", Next), (Op::Iret, "cf", At(0x1234)),
    (Op::Bound, "62 05 00 80 00 00", Raises(Exception::Br)),
    (Op::MovSeg, "8c d8", Next), (Op::Lds, "c5 05 00 90 00 00", Next), (Op::Les, "c4 05 00 90 00 00", Next),
    (Op::Lfs, "0f b4 05 00 90 00 00", Next), (Op::Lgs, "0f b5 05 00 90 00 00", Next),
    (Op::Lss, "0f b2 05 00 90 00 00", Raises(Exception::Gp(8))),
    (Op::Hlt, "f4", Next), (Op::Cli, "fa", Next), (Op::Sti, "fb", Next), (Op::MovCr, "0f 20 c0", Next),
    (Op::MovDr, "0f 21 c0", Next), (Op::Lgdt, "0f 01 15 00 80 00 00", Next), (Op::Lidt, "0f 01 1d 00 80 00 00", Next),
    (Op::Sgdt, "0f 01 05 00 80 00 00", Next), (Op::Sidt, "0f 01 0d 00 80 00 00", Next),
    (Op::Lldt, "0f 00 d7", Next), (Op::Sldt, "0f 00 c0", Next),
    (Op::Ltr, "0f 00 d8", Raises(Exception::Gp(0x28))), (Op::Str, "0f 00 c8", Next), (Op::Lmsw, "0f 01 f0", Next),
    (Op::Smsw, "0f 01 e0", Next), (Op::Clts, "0f 06", Next), (Op::Invlpg, "0f 01 3d 00 80 00 00", Next),
    (Op::Wbinvd, "0f 09", Next), (Op::Invd, "0f 08", Next), (Op::Cpuid, "0f a2", Next), (Op::Rdtsc, "0f 31", Next),
    (Op::Rdmsr, "0f 32", Next), (Op::Wrmsr, "0f 30", Next), (Op::Rdpmc, "0f 33", Raises(Exception::Gp(0))),
    (Op::Verr, "0f 00 e0", Next), (Op::Verw, "0f 00 e8", Next), (Op::Lar, "0f 02 c3", Next),
    (Op::Lsl, "0f 03 c3", Next), (Op::Arpl, "63 d8", Next), (Op::Fpu, "d9 e8", Raises(Exception::Ud)),
    (Op::Ud, "0f 0b", Raises(Exception::Ud)), (Op::Invalid, "0f 77", Raises(Exception::Ud)),
];

#[test]
fn every_operation_has_an_example() {
    let shown: BTreeSet<Op> = EXAMPLES.iter().map(|(op, _, _)| *op).collect();
    let all: BTreeSet<Op> = Op::ALL.iter().copied().collect();
    assert_eq!(shown, all);
}

/// EAX holds a busy TSS's selector, CX the time-stamp counter's number, DX a port; a return frame is on the stack.
fn prepared() -> Machine {
    let mut machine = Machine::new();
    put(&mut machine, "eax=28 ebx=30 ecx=10 edx=60 ebp=8800 esi=8000 edi=8000");
    machine.set(Gpr::Edx, 0x60);
    machine.poke32(STACK, 0x1234);
    machine.poke32(STACK + 4, u32::from(sel::CODE));
    machine.poke32(STACK + 8, eflags::FIXED);
    machine.set(Gpr::Edi, 0x8000);
    machine
}

#[test]
fn every_operation_ends_as_its_example_says() {
    for (op, code, ends) in EXAMPLES {
        let code = bytes(code);
        let mut machine = prepared();
        match op {
            Op::Div | Op::Idiv => machine.set(Gpr::Edx, 0),
            Op::Lldt => machine.set(Gpr::Edi, 0),
            _ => {}
        }
        let insn = decode(&code, CODE, DecodeMode { code32: true }).unwrap();
        assert_eq!(insn.op, *op, "{code:02x?}");
        let outcome = machine.step(&code);
        match ends {
            Next => {
                assert_eq!((outcome, machine.cpu.state.eip), (Ok(()), CODE + code.len() as u32), "{op:?}")
            }
            At(eip) => assert_eq!((outcome, machine.cpu.state.eip), (Ok(()), *eip), "{op:?}"),
            Raises(exception) => {
                assert_eq!(
                    (outcome, machine.cpu.state.eip),
                    (Err(Trap::Exception(*exception)), CODE),
                    "{op:?}"
                );
            }
        }
    }
}
