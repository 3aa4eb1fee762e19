//! `Insn`: one decoded instruction, in the form that the interpreter and the translator both read.

use crate::op::Op;

/// A general-purpose register by its number in the encoding (SDM Vol. 2A 2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the manual's register names")]
pub enum Gpr {
    Eax = 0,
    Ecx = 1,
    Edx = 2,
    Ebx = 3,
    Esp = 4,
    Ebp = 5,
    Esi = 6,
    Edi = 7,
}

impl Gpr {
    /// All eight, in encoding order.
    pub const ALL: [Self; 8] =
        [Self::Eax, Self::Ecx, Self::Edx, Self::Ebx, Self::Esp, Self::Ebp, Self::Esi, Self::Edi];

    /// The register with encoding `number & 7`.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number & 7 {
            0 => Self::Eax,
            1 => Self::Ecx,
            2 => Self::Edx,
            3 => Self::Ebx,
            4 => Self::Esp,
            5 => Self::Ebp,
            6 => Self::Esi,
            _ => Self::Edi,
        }
    }

    /// Index into the register file of the CPU state.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A segment register by its number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the manual's register names")]
pub enum SegReg {
    Es = 0,
    Cs = 1,
    Ss = 2,
    Ds = 3,
    Fs = 4,
    Gs = 5,
}

impl SegReg {
    /// All six, in encoding order.
    pub const ALL: [Self; 6] = [Self::Es, Self::Cs, Self::Ss, Self::Ds, Self::Fs, Self::Gs];

    /// Index into the segment registers of the CPU state.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Width of an operand or address in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Width {
    /// 8 bits.
    B1 = 1,
    /// 16 bits.
    B2 = 2,
    /// 32 bits.
    B4 = 4,
    /// 64 bits (CMPXCHG8B).
    B8 = 8,
}

impl Width {
    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self as u32
    }

    /// Bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// All-ones value.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// The same width as a bus access.
    #[must_use]
    pub const fn access(self) -> base::AccessSize {
        match self {
            Self::B1 => base::AccessSize::B1,
            Self::B2 => base::AccessSize::B2,
            Self::B4 => base::AccessSize::B4,
            Self::B8 => base::AccessSize::B8,
        }
    }
}

/// A register operand: a general-purpose register or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reg {
    /// The full register that holds it.
    pub gpr: Gpr,
    /// Its width.
    pub width: Width,
    /// Bits 8-15 of the register (AH, CH, DH, BH).
    pub high: bool,
}

/// A memory operand: `seg:[base + index * scale + disp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    /// Segment after overrides.
    pub seg: SegReg,
    /// Base register.
    pub base: Option<Gpr>,
    /// Index register.
    pub index: Option<Gpr>,
    /// log2 of the scale, 0 to 3.
    pub scale: u8,
    /// Displacement, sign-extended to 32 bits (16-bit forms wrap at 64 KiB, see [`Insn::addr_size`]).
    pub disp: i32,
    /// Bytes accessed at the address (0 for LEA, INVLPG and the like).
    pub size: u8,
}

/// One operand in SDM order: the destination comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// No operand in this place.
    None,
    /// General-purpose register or part of one.
    Reg(Reg),
    /// Memory.
    Mem(Mem),
    /// Immediate, already extended to the operation's width as the manual says.
    Imm(u32),
    /// Segment register.
    Seg(SegReg),
    /// Control register by number.
    Cr(u8),
    /// Debug register by number.
    Dr(u8),
    /// Target EIP of a near branch, already wrapped to the operand size.
    Target(u32),
    /// Far pointer: selector and offset.
    Far {
        /// Segment selector.
        selector: u16,
        /// Offset.
        offset: u32,
    },
}

/// A condition code, `Jcc` and friends, by its number in the encoding (SDM Vol. 2A appendix B.1.4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the manual's condition names")]
pub enum Cond {
    O = 0,
    No = 1,
    B = 2,
    Ae = 3,
    E = 4,
    Ne = 5,
    Be = 6,
    A = 7,
    S = 8,
    Ns = 9,
    P = 10,
    Np = 11,
    L = 12,
    Ge = 13,
    Le = 14,
    G = 15,
}

impl Cond {
    /// All sixteen, in encoding order.
    pub const ALL: [Self; 16] = [
        Self::O,
        Self::No,
        Self::B,
        Self::Ae,
        Self::E,
        Self::Ne,
        Self::Be,
        Self::A,
        Self::S,
        Self::Ns,
        Self::P,
        Self::Np,
        Self::L,
        Self::Ge,
        Self::Le,
        Self::G,
    ];
}

/// The repeat prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rep {
    /// None, or one that means nothing here.
    None,
    /// F3: REP or REPE.
    Repe,
    /// F2: REPNE.
    Repne,
}

/// What an instruction does to the arithmetic flags and DF, as EFLAGS masks.
///
/// `written` counts every flag whose value after the instruction is defined by it (also cleared and set
/// ones); `undefined` the ones that the manual leaves undefined. An instruction that may leave a flag as it
/// was (a shift by CL) lists it in `read` too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlagEffects {
    /// Flags whose old value matters.
    pub read: u32,
    /// Flags given a defined value.
    pub written: u32,
    /// Flags left undefined.
    pub undefined: u32,
}

/// One decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Insn {
    /// The operation.
    pub op: Op,
    /// Length in bytes, 1 to 15.
    pub len: u8,
    /// Condition of Jcc, SETcc and CMOVcc; `Cond::O` otherwise.
    pub cond: Cond,
    /// Width of the operation: of its destination, or of what it compares, moves or pushes. For MOVZX and
    /// MOVSX the destination's; the source's stands in its operand.
    pub width: Width,
    /// The operand-size attribute: `B2` or `B4` (stack, far and string forms, width of EIP writes).
    pub op_size: Width,
    /// The address-size attribute: `B2` or `B4`.
    pub addr_size: Width,
    /// Repeat prefix, where it means something (string instructions).
    pub rep: Rep,
    /// LOCK prefix (only on instructions that allow it; elsewhere the instruction decodes as #UD).
    pub lock: bool,
    /// Segment of the source of a string instruction after overrides (DS by default).
    pub string_seg: SegReg,
    /// Operands in SDM order; implied operands (AL of MUL, CL of `shl r, cl` excepted, which stands as an
    /// explicit register operand) are not listed.
    pub operands: [Operand; 3],
    /// What it does to the flags.
    pub flags: FlagEffects,
}

impl Insn {
    /// Operand `n`, `Operand::None` past the last.
    #[must_use]
    pub const fn operand(&self, n: usize) -> Operand {
        if n < 3 { self.operands[n] } else { Operand::None }
    }

    /// The memory operand, if one of the operands is memory.
    #[must_use]
    pub fn mem(&self) -> Option<&Mem> {
        self.operands.iter().find_map(|operand| match operand {
            Operand::Mem(mem) => Some(mem),
            _ => None,
        })
    }
}
