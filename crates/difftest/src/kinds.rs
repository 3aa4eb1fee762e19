#![forbid(unsafe_code)]
//! Operations by what running one of them natively takes: what it touches, and what its state must be like.

use isa::Op;

/// What an operation touches beyond its operands, and what is special about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its operands and flags alone.
    Plain,
    /// SHL, SHR, SAR: flags depend on the count.
    Shift,
    /// Rotations: OF depends on the count.
    Rotate,
    /// SHLD and SHRD: everything depends on the count.
    DoubleShift,
    /// BSF and BSR: the result depends on whether the source is 0.
    BitScan,
    /// BT and its like: a register offset reaches beyond the operand.
    BitString,
    /// BSWAP.
    ByteSwap,
    /// CMPXCHG.
    CompareExchange,
    /// CMPXCHG8B.
    CompareExchange8,
    /// XLAT.
    Translate,
    /// PUSH and PUSHF.
    Push,
    /// POP.
    Pop,
    /// PUSHA.
    PushAll,
    /// POPA.
    PopAll,
    /// POPF.
    PopFlags,
    /// ENTER.
    Enter,
    /// LEAVE.
    Leave,
    /// String operations.
    String,
    /// DIV and IDIV.
    Divide,
    /// AAM.
    DivideByImmediate,
    /// INTO.
    Overflow,
    /// BOUND.
    Bound,
    /// JMP and CALL.
    Near,
    /// Jcc.
    Conditional,
    /// LOOP and JCXZ.
    Counted,
    /// RET.
    Return,
    /// Far JMP and CALL.
    Far,
    /// Far RET.
    FarReturn,
    /// IRET.
    InterruptReturn,
    /// MOV from and to segment registers.
    MoveSegment,
    /// LDS, LES, LSS.
    FarPointer,
    /// VERR and VERW.
    Verify,
    /// LAR and LSL.
    Describe,
}

/// The kind of an operation that user mode can run.
///
/// # Errors
/// Why it never runs natively.
#[expect(clippy::too_many_lines, reason = "one arm for each kind over the closed list of operations")]
pub fn kind(op: Op) -> Result<Kind, &'static str> {
    Ok(match op {
        Op::Mov
        | Op::Movzx
        | Op::Movsx
        | Op::Lea
        | Op::Xchg
        | Op::Lahf
        | Op::Sahf
        | Op::Salc
        | Op::Setcc
        | Op::Cmovcc
        | Op::Cbw
        | Op::Cwd
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
        | Op::Mul
        | Op::Imul1
        | Op::Imul
        | Op::Aaa
        | Op::Aas
        | Op::Aad
        | Op::Daa
        | Op::Das
        | Op::Clc
        | Op::Stc
        | Op::Cmc
        | Op::Cld
        | Op::Std
        | Op::Nop
        | Op::Arpl => Kind::Plain,
        Op::Shl | Op::Shr | Op::Sar => Kind::Shift,
        Op::Rol | Op::Ror | Op::Rcl | Op::Rcr => Kind::Rotate,
        Op::Shld | Op::Shrd => Kind::DoubleShift,
        Op::Bsf | Op::Bsr => Kind::BitScan,
        Op::Bt | Op::Bts | Op::Btr | Op::Btc => Kind::BitString,
        Op::Bswap => Kind::ByteSwap,
        Op::Cmpxchg => Kind::CompareExchange,
        Op::Cmpxchg8b => Kind::CompareExchange8,
        Op::Xlat => Kind::Translate,
        Op::Push | Op::Pushf => Kind::Push,
        Op::Pop => Kind::Pop,
        Op::Pusha => Kind::PushAll,
        Op::Popa => Kind::PopAll,
        Op::Popf => Kind::PopFlags,
        Op::Enter => Kind::Enter,
        Op::Leave => Kind::Leave,
        Op::Movs | Op::Cmps | Op::Scas | Op::Lods | Op::Stos => Kind::String,
        Op::Div | Op::Idiv => Kind::Divide,
        Op::Aam => Kind::DivideByImmediate,
        Op::Into => Kind::Overflow,
        Op::Bound => Kind::Bound,
        Op::Jmp | Op::Call => Kind::Near,
        Op::Jcc => Kind::Conditional,
        Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz => Kind::Counted,
        Op::Ret => Kind::Return,
        Op::JmpFar | Op::CallFar => Kind::Far,
        Op::RetFar => Kind::FarReturn,
        Op::Iret => Kind::InterruptReturn,
        Op::MovSeg => Kind::MoveSegment,
        Op::Lds | Op::Les | Op::Lss => Kind::FarPointer,
        Op::Verr | Op::Verw => Kind::Verify,
        Op::Lar | Op::Lsl => Kind::Describe,
        Op::Lfs | Op::Lgs => return Err("would lose the host's thread pointer"),
        Op::Ins | Op::Outs | Op::In | Op::Out | Op::Cli | Op::Sti => return Err("needs I/O privilege"),
        Op::Int | Op::Int1 | Op::Int3 => return Err("enters the host's kernel"),
        Op::Hlt
        | Op::MovCr
        | Op::MovDr
        | Op::Lgdt
        | Op::Lidt
        | Op::Lldt
        | Op::Ltr
        | Op::Lmsw
        | Op::Clts
        | Op::Invlpg
        | Op::Wbinvd
        | Op::Invd
        | Op::Rdmsr
        | Op::Wrmsr
        | Op::Rdpmc => return Err("is for ring 0"),
        Op::Sgdt | Op::Sidt | Op::Sldt | Op::Str | Op::Smsw => {
            return Err("shows the host's tables, or faults under UMIP");
        }
        Op::Cpuid | Op::Rdtsc => return Err("tells about the host"),
        Op::Fpu => return Err("is no integer instruction"),
        Op::Ud | Op::Invalid => return Err("raises #UD"),
    })
}
