//! What an instruction code alone decides: operation, shape of the operands, condition, flags.

use std::sync::LazyLock;

use iced_x86::{Code, Instruction, RflagsBits};

use crate::insn::{Cond, FlagEffects};
use crate::op::{Op, select};

/// How the operands of an operation are taken over from iced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As they are; the width is the first one's.
    First,
    /// As they are; the width is the second one's.
    Second,
    /// As they are; the width is the operand size.
    OpSize,
    /// As they are; the width is 8 bits.
    Bytes,
    /// As they are, but registers stand for their low 16 bits.
    Selectors,
    /// As they are, but a register as second operand stands for its low 16 bits; the width is the first's.
    SelectorSource,
    /// As they are, but memory is not accessed; the width is the first one's, or the operand size.
    NoAccess,
    /// As they are, the last being the count; the width is the first one's.
    Shift,
    /// As they are, one being a control register.
    Control,
    /// The first alone, memory not accessed; the width is the first one's, or the operand size.
    Hint,
    /// Not listed; the width is the operand size.
    Hidden,
    /// Not listed; the width is that of the element in memory, which a segment prefix may move.
    String,
    /// As they are, but the nesting level is taken modulo 32; the width is the operand size.
    Enter,
    /// Memory, and the opcode as second operand.
    Fpu,
}

/// The shape of an operation's operands.
#[expect(clippy::too_many_lines, reason = "one arm for each shape over the closed list of operations")]
fn shape(op: Op) -> Shape {
    match op {
        Op::Mov
        | Op::Movzx
        | Op::Movsx
        | Op::Xchg
        | Op::Bswap
        | Op::Setcc
        | Op::Cmovcc
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
        | Op::Xadd
        | Op::Cmpxchg
        | Op::Cmpxchg8b
        | Op::Mul
        | Op::Imul1
        | Op::Imul
        | Op::Div
        | Op::Idiv
        | Op::Bt
        | Op::Bts
        | Op::Btr
        | Op::Btc
        | Op::Bsf
        | Op::Bsr
        | Op::In
        | Op::Bound
        | Op::Lds
        | Op::Les
        | Op::Lfs
        | Op::Lgs
        | Op::Lss
        | Op::MovDr
        | Op::Sldt
        | Op::Str
        | Op::Smsw => Shape::First,
        Op::Out => Shape::Second,
        Op::Push
        | Op::Pop
        | Op::Pusha
        | Op::Popa
        | Op::Pushf
        | Op::Popf
        | Op::Leave
        | Op::Cbw
        | Op::Cwd
        | Op::Jmp
        | Op::Jcc
        | Op::Call
        | Op::Ret
        | Op::Loop
        | Op::Loope
        | Op::Loopne
        | Op::Jcxz
        | Op::JmpFar
        | Op::CallFar
        | Op::RetFar
        | Op::Int
        | Op::Int1
        | Op::Int3
        | Op::Into
        | Op::Iret
        | Op::Clc
        | Op::Stc
        | Op::Cmc
        | Op::Cld
        | Op::Std
        | Op::Hlt
        | Op::Cli
        | Op::Sti
        | Op::Lgdt
        | Op::Lidt
        | Op::Sgdt
        | Op::Sidt
        | Op::Clts
        | Op::Wbinvd
        | Op::Invd
        | Op::Cpuid
        | Op::Rdtsc
        | Op::Rdmsr
        | Op::Wrmsr
        | Op::Rdpmc => Shape::OpSize,
        Op::Lahf | Op::Sahf | Op::Salc | Op::Aaa | Op::Aas | Op::Aam | Op::Aad | Op::Daa | Op::Das => {
            Shape::Bytes
        }
        Op::Lldt | Op::Ltr | Op::Lmsw | Op::Verr | Op::Verw | Op::Arpl => Shape::Selectors,
        Op::Lar | Op::Lsl | Op::MovSeg => Shape::SelectorSource,
        Op::Rol | Op::Ror | Op::Rcl | Op::Rcr | Op::Shl | Op::Shr | Op::Sar | Op::Shld | Op::Shrd => {
            Shape::Shift
        }
        Op::MovCr => Shape::Control,
        Op::Lea | Op::Invlpg => Shape::NoAccess,
        Op::Nop => Shape::Hint,
        Op::Ud | Op::Invalid => Shape::Hidden,
        Op::Xlat | Op::Movs | Op::Cmps | Op::Scas | Op::Lods | Op::Stos | Op::Ins | Op::Outs => Shape::String,
        Op::Enter => Shape::Enter,
        Op::Fpu => Shape::Fpu,
    }
}

/// What depends on the instruction code alone.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The operation.
    pub op: Op,
    /// The shape of its operands.
    pub shape: Shape,
    /// Condition of Jcc, SETcc and CMOVcc; `Cond::O` otherwise.
    pub cond: Cond,
    /// Bytes accessed by a memory operand.
    pub mem_size: u8,
    /// What it does to the flags, where that does not depend on an immediate count.
    pub flags: FlagEffects,
}

/// The entries by iced's instruction code.
static TABLE: LazyLock<Box<[Entry]>> = LazyLock::new(|| Code::values().map(Entry::new).collect());

impl Entry {
    /// The entry of an instruction code.
    pub fn of(code: Code) -> &'static Self {
        &TABLE[code as usize]
    }

    fn new(code: Code) -> Self {
        let mut raw = Instruction::default();
        raw.set_code(code);
        let op = select(code);
        let shape = shape(op);
        let accessed =
            if matches!(shape, Shape::NoAccess | Shape::Hint) { 0 } else { raw.memory_size().size() };
        Self {
            op,
            shape,
            cond: condition(code, op),
            // Only vectors and state images that no row selects are larger.
            mem_size: u8::try_from(accessed).unwrap_or(0),
            flags: if op == Op::Invalid { FlagEffects::default() } else { flag_effects(&raw) },
        }
    }
}

/// The condition of Jcc, SETcc and CMOVcc; iced numbers them from 1 in the order of the encoding.
fn condition(code: Code, op: Op) -> Cond {
    let number = code.condition_code() as usize;
    if number != 0 && matches!(op, Op::Jcc | Op::Setcc | Op::Cmovcc) {
        Cond::ALL[number - 1]
    } else {
        Cond::O
    }
}

/// iced's tables as EFLAGS masks.
pub fn flag_effects(raw: &Instruction) -> FlagEffects {
    FlagEffects {
        read: eflags(raw.rflags_read()),
        written: eflags(raw.rflags_written() | raw.rflags_cleared() | raw.rflags_set()),
        undefined: eflags(raw.rflags_undefined()),
    }
}

/// The arithmetic flags and DF of an iced flag set at their places in EFLAGS (SDM Vol. 1 3.4.3).
fn eflags(bits: u32) -> u32 {
    const PLACES: [(u32, u32); 7] = [
        (RflagsBits::CF, 1 << 0),
        (RflagsBits::PF, 1 << 2),
        (RflagsBits::AF, 1 << 4),
        (RflagsBits::ZF, 1 << 6),
        (RflagsBits::SF, 1 << 7),
        (RflagsBits::DF, 1 << 10),
        (RflagsBits::OF, 1 << 11),
    ];
    PLACES.iter().filter(|(bit, _)| bits & bit != 0).fold(0, |mask, (_, place)| mask | place)
}
