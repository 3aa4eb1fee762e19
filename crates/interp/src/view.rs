//! How the functions of the instructions see an instruction: as it is, or with what one handler knows of it as
//! constants.
//!
//! Each instruction has one function. Where it runs often the compiler makes several of it, one for each kind of
//! operands, in which nothing is left to be told apart: [`Fixed`] answers with constants then.

use isa::{Cond, Operand, Reg, Width};

use crate::packed::{Kind, Packed};

/// A decoded instruction.
pub trait View {
    /// Whether the kinds of the operands are constants.
    const FIXED: bool;

    /// The instruction itself.
    fn packed(&self) -> &Packed;

    /// Operand `n`, `Operand::None` past the last.
    fn operand(&self, n: usize) -> Operand;

    /// Width of the operation, see [`isa::Insn::width`].
    fn width(&self) -> Width;

    /// The operand-size attribute.
    fn op_size(&self) -> Width;

    /// The address-size attribute.
    fn addr_size(&self) -> Width;

    /// Condition of Jcc, SETcc and CMOVcc.
    fn cond(&self) -> Cond;
}

/// No operand.
pub const NONE: u8 = Kind::None as u8;
/// A register.
pub const REG: u8 = Kind::Reg as u8;
/// Memory.
pub const MEM: u8 = Kind::Mem as u8;
/// An immediate.
pub const IMM: u8 = Kind::Imm as u8;
/// The target of a branch.
pub const TARGET: u8 = Kind::Target as u8;
/// Any condition.
pub const ANY: u8 = 16;

/// An instruction whose first two operands are of the kinds `A` and `B`, without a third, and of whose condition the
/// number is `COND`. `WIDE`: operation, operands and addresses are 32 bits wide.
pub struct Fixed<'a, const A: u8, const B: u8, const WIDE: bool, const COND: u8>(pub &'a Packed);

impl<const A: u8, const B: u8, const WIDE: bool, const COND: u8> Fixed<'_, A, B, WIDE, COND> {
    /// Operand `n`, of the kind `kind`.
    #[inline(always)]
    fn of_kind(&self, n: usize, kind: u8) -> Operand {
        match kind {
            REG if WIDE => Operand::Reg(Reg { width: Width::B4, high: false, ..self.0.reg(n) }),
            REG => Operand::Reg(self.0.reg(n)),
            MEM if WIDE => Operand::Mem(isa::Mem { size: 4, ..self.0.mem() }),
            MEM => Operand::Mem(self.0.mem()),
            IMM => Operand::Imm(self.0.imm()),
            TARGET => Operand::Target(self.0.imm()),
            _ => Operand::None,
        }
    }
}

impl<const A: u8, const B: u8, const WIDE: bool, const COND: u8> View for Fixed<'_, A, B, WIDE, COND> {
    const FIXED: bool = true;

    #[inline(always)]
    fn packed(&self) -> &Packed {
        self.0
    }

    #[inline(always)]
    fn operand(&self, n: usize) -> Operand {
        match n {
            0 => self.of_kind(0, A),
            1 => self.of_kind(1, B),
            _ => Operand::None,
        }
    }

    #[inline(always)]
    fn width(&self) -> Width {
        if WIDE { Width::B4 } else { self.0.width() }
    }

    #[inline(always)]
    fn op_size(&self) -> Width {
        if WIDE { Width::B4 } else { self.0.op_size() }
    }

    #[inline(always)]
    fn addr_size(&self) -> Width {
        if WIDE { Width::B4 } else { self.0.addr_size() }
    }

    #[inline(always)]
    fn cond(&self) -> Cond {
        if COND == ANY { self.0.cond() } else { Cond::ALL[COND as usize & 15] }
    }
}
