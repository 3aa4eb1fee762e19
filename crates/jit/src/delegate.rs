//! Which instructions are translated, which the interpreter runs for a unit, and which end it.

use isa::{Insn, Op, Operand, SegReg, Width};

/// How a unit treats an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Translated.
    Emit,
    /// Run by the helper for string instructions.
    String,
    /// Run by the interpreter in the middle of the unit, through a helper.
    Delegate,
    /// Ends the unit before it: it may change what the unit was translated under.
    Interp,
}

/// How a unit treats `insn`.
#[must_use]
pub fn handling(insn: &Insn) -> Handling {
    let plain = by_op(insn);
    if plain != Handling::Emit {
        return plain;
    }
    if insn.addr_size == Width::B2 && (insn.mem().is_some() || uses_counter(insn.op)) {
        return Handling::Delegate;
    }
    plain
}

/// Near branches with a 16-bit operand size cut EIP; too rare to translate.
fn near_branch(insn: &Insn) -> Handling {
    let relative_counter =
        matches!(insn.op, Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz) && insn.addr_size == Width::B2;
    if insn.op_size == Width::B2 || relative_counter { Handling::Interp } else { Handling::Emit }
}

fn uses_counter(op: Op) -> bool {
    matches!(op, Op::Xlat)
}

/// The helper knows flat segments only: FS and GS may be anything.
fn string(insn: &Insn) -> Handling {
    let segment = matches!(insn.string_seg, SegReg::Fs | SegReg::Gs | SegReg::Cs);
    if insn.addr_size == Width::B2 || segment { Handling::Delegate } else { Handling::String }
}

fn stack(insn: &Insn) -> Handling {
    let segment = insn.operands.iter().any(|operand| matches!(operand, Operand::Seg(_)));
    if insn.op_size == Width::B2 || segment { Handling::Delegate } else { Handling::Emit }
}

fn pop(insn: &Insn) -> Handling {
    match insn.operand(0) {
        Operand::Seg(_) => Handling::Interp,
        Operand::Mem(_) => Handling::Delegate,
        _ => stack(insn),
    }
}

fn bit_test(insn: &Insn) -> Handling {
    let memory = insn.mem().is_some();
    let register_index = matches!(insn.operand(1), Operand::Reg(_));
    if memory && register_index { Handling::Delegate } else { Handling::Emit }
}

fn mov_seg(insn: &Insn) -> Handling {
    match insn.operand(0) {
        Operand::Seg(SegReg::Es | SegReg::Cs | SegReg::Ss | SegReg::Ds | SegReg::Fs | SegReg::Gs) => {
            Handling::Interp
        }
        _ => Handling::Delegate,
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for each kind of handling over the closed list of operations"
)]
fn by_op(insn: &Insn) -> Handling {
    match insn.op {
        Op::Mov
        | Op::Movzx
        | Op::Movsx
        | Op::Lea
        | Op::Xchg
        | Op::Bswap
        | Op::Add
        | Op::Or
        | Op::Adc
        | Op::Sbb
        | Op::And
        | Op::Sub
        | Op::Xor
        | Op::Cmp
        | Op::Test
        | Op::Inc
        | Op::Dec
        | Op::Neg
        | Op::Not
        | Op::Mul
        | Op::Imul1
        | Op::Imul
        | Op::Div
        | Op::Idiv
        | Op::Rol
        | Op::Ror
        | Op::Shl
        | Op::Shr
        | Op::Sar
        | Op::Shld
        | Op::Shrd
        | Op::Bsf
        | Op::Bsr
        | Op::Cbw
        | Op::Cwd
        | Op::Setcc
        | Op::Cmovcc
        | Op::Clc
        | Op::Stc
        | Op::Cmc
        | Op::Cld
        | Op::Std
        | Op::Nop
        | Op::Xadd
        | Op::Cmpxchg
        | Op::In
        | Op::Out
        | Op::Lahf
        | Op::Sahf => Handling::Emit,
        Op::Bt | Op::Bts | Op::Btr | Op::Btc => bit_test(insn),
        Op::Push | Op::Leave => stack(insn),
        Op::Pop => pop(insn),
        Op::Jmp | Op::Jcc | Op::Call | Op::Ret | Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz => {
            near_branch(insn)
        }
        Op::MovSeg => mov_seg(insn),
        Op::Movs | Op::Cmps | Op::Scas | Op::Lods | Op::Stos => string(insn),
        Op::Rcl
        | Op::Rcr
        | Op::Cmpxchg8b
        | Op::Pusha
        | Op::Popa
        | Op::Pushf
        | Op::Enter
        | Op::Aaa
        | Op::Aas
        | Op::Aam
        | Op::Aad
        | Op::Daa
        | Op::Das
        | Op::Salc
        | Op::Xlat
        | Op::Sgdt
        | Op::Sidt
        | Op::Sldt
        | Op::Str
        | Op::Smsw
        | Op::Cpuid
        | Op::Rdtsc
        | Op::Rdmsr
        | Op::Rdpmc
        | Op::Verr
        | Op::Verw
        | Op::Lar
        | Op::Lsl
        | Op::Arpl
        | Op::Bound
        | Op::Wbinvd
        | Op::Invd => Handling::Delegate,
        Op::Ins
        | Op::Outs
        | Op::Popf
        | Op::Cli
        | Op::Sti
        | Op::JmpFar
        | Op::CallFar
        | Op::RetFar
        | Op::Int
        | Op::Int1
        | Op::Int3
        | Op::Into
        | Op::Iret
        | Op::Hlt
        | Op::Ud
        | Op::Invalid
        | Op::MovCr
        | Op::MovDr
        | Op::Lgdt
        | Op::Lidt
        | Op::Lldt
        | Op::Ltr
        | Op::Lmsw
        | Op::Clts
        | Op::Invlpg
        | Op::Wrmsr
        | Op::Lds
        | Op::Les
        | Op::Lfs
        | Op::Lgs
        | Op::Lss
        | Op::Fpu => Handling::Interp,
    }
}
