//! Operands: reading, writing, and the place of a read-modify-write.

use crate::view::View;
use base::AccessSize;
use cpu::{Cpu, Exception};
use isa::{Gpr, Mem, Operand, Reg, SegReg, Width};

/// AL, AX or EAX.
#[inline]
pub fn accumulator(width: Width) -> Reg {
    Reg { gpr: Gpr::Eax, width, high: false }
}

/// The upper half of the double-width accumulator: AH, DX or EDX.
pub fn accumulator_high(width: Width) -> Reg {
    match width {
        Width::B1 => Reg { gpr: Gpr::Eax, width, high: true },
        Width::B2 | Width::B4 | Width::B8 => Reg { gpr: Gpr::Edx, width, high: false },
    }
}

/// The low `width` of a value.
#[inline]
pub fn truncate(value: u32, width: Width) -> u32 {
    match width {
        Width::B1 => value & 0xff,
        Width::B2 => value & 0xffff,
        Width::B4 | Width::B8 => value,
    }
}

/// The value of the two's-complement number in the low `width` bits.
#[inline]
pub fn signed(value: u32, width: Width) -> i64 {
    match width {
        Width::B1 => i64::from(value as u8 as i8),
        Width::B2 => i64::from(value as u16 as i16),
        Width::B4 | Width::B8 => i64::from(value as i32),
    }
}

/// An offset after adding `delta`, wrapped to the address size (SDM Vol. 1 3.7.5).
#[inline]
pub fn advance(off: u32, delta: u32, addr_size: Width) -> u32 {
    truncate(off.wrapping_add(delta), addr_size)
}

/// Operand 0 or 1 of an `Insn` is not of a kind that its `Op` has. `isa` decodes no such thing; if one came,
/// the guest would see an undefined opcode.
pub const MALFORMED: Exception = Exception::Ud;

/// Where an operand lives, its effective address computed.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A register.
    Reg(Reg),
    /// Memory: segment, offset, width.
    Mem(SegReg, u32, AccessSize),
}

impl Place {
    /// The place of operand `n`, a register or memory.
    ///
    /// # Errors
    /// [`MALFORMED`].
    #[inline(always)]
    pub fn of(cpu: &Cpu, insn: &impl View, n: usize) -> Result<Self, Exception> {
        match insn.operand(n) {
            Operand::Reg(reg) => Ok(Self::Reg(reg)),
            Operand::Mem(mem) => {
                let size = AccessSize::from_bytes(u64::from(mem.size)).ok_or(MALFORMED)?;
                Ok(Self::Mem(mem.seg, cpu.effective_address(&mem, insn.addr_size()), size))
            }
            Operand::None
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => Err(MALFORMED),
        }
    }

    /// The value, zero-extended.
    ///
    /// # Errors
    /// Those of a load.
    #[inline(always)]
    pub fn load(self, cpu: &mut Cpu) -> Result<u32, Exception> {
        match self {
            Self::Reg(reg) => Ok(cpu.reg(reg)),
            Self::Mem(seg, off, size) => Ok(cpu.load(seg, off, size)? as u32),
        }
    }

    /// The value that will be stored again: every check is that of the store.
    ///
    /// # Errors
    /// Those of a store.
    #[inline(always)]
    pub fn load_for_write(self, cpu: &mut Cpu) -> Result<u32, Exception> {
        match self {
            Self::Reg(reg) => Ok(cpu.reg(reg)),
            Self::Mem(seg, off, size) => Ok(cpu.load_for_write(seg, off, size)? as u32),
        }
    }

    /// Writes the low bits of `value`.
    ///
    /// # Errors
    /// Those of a store.
    #[inline(always)]
    pub fn store(self, cpu: &mut Cpu, value: u32) -> Result<(), Exception> {
        match self {
            Self::Reg(reg) => {
                cpu.set_reg(reg, value);
                Ok(())
            }
            Self::Mem(seg, off, size) => cpu.store(seg, off, size, u64::from(value) & size.mask()),
        }
    }
}

/// The value of operand `n`: register, memory, or immediate cut to the operation's width.
///
/// # Errors
/// Those of a load.
#[inline(always)]
pub fn read<I: View>(cpu: &mut Cpu, insn: &I, n: usize) -> Result<u32, Exception> {
    match insn.operand(n) {
        Operand::Imm(value) => Ok(truncate(value, insn.width())),
        Operand::Reg(reg) => Ok(cpu.reg(reg)),
        Operand::None
        | Operand::Mem(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. }
            if I::FIXED =>
        {
            Place::of(cpu, insn, n)?.load(cpu)
        }
        Operand::None
        | Operand::Mem(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => load(cpu, insn, n),
    }
}

/// The value of operand `n`, memory.
#[inline(never)]
fn load(cpu: &mut Cpu, insn: &impl View, n: usize) -> Result<u32, Exception> {
    Place::of(cpu, insn, n)?.load(cpu)
}

/// Writes operand `n`, register or memory.
///
/// # Errors
/// Those of a store.
#[inline(always)]
pub fn write<I: View>(cpu: &mut Cpu, insn: &I, n: usize, value: u32) -> Result<(), Exception> {
    if let Operand::Reg(reg) = insn.operand(n) {
        cpu.set_reg(reg, value);
        return Ok(());
    }
    if I::FIXED {
        return Place::of(cpu, insn, n)?.store(cpu, value);
    }
    store(cpu, insn, n, value)
}

/// Writes operand `n`, memory.
#[inline(never)]
fn store(cpu: &mut Cpu, insn: &impl View, n: usize, value: u32) -> Result<(), Exception> {
    Place::of(cpu, insn, n)?.store(cpu, value)
}

/// Replaces operand 0 by the first of the pair that `change` makes of it; gives the second.
///
/// # Errors
/// Those of a store; nothing has changed then.
#[inline(always)]
pub fn modify<T>(
    cpu: &mut Cpu,
    insn: &impl View,
    change: impl FnOnce(u32) -> (u32, T),
) -> Result<T, Exception> {
    if let Operand::Reg(reg) = insn.operand(0) {
        let (new, rest) = change(cpu.reg(reg));
        cpu.set_reg(reg, new);
        return Ok(rest);
    }
    let place = Place::of(cpu, insn, 0)?;
    let (new, rest) = change(place.load_for_write(cpu)?);
    place.store(cpu, new)?;
    Ok(rest)
}

/// The memory operand `n` and its effective address.
///
/// # Errors
/// [`MALFORMED`].
#[inline]
pub fn memory(cpu: &Cpu, insn: &impl View, n: usize) -> Result<(Mem, u32), Exception> {
    match insn.operand(n) {
        Operand::Mem(mem) => Ok((mem, cpu.effective_address(&mem, insn.addr_size()))),
        Operand::None
        | Operand::Reg(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => Err(MALFORMED),
    }
}

/// The register operand `n`.
///
/// # Errors
/// [`MALFORMED`].
#[inline]
pub fn register(insn: &impl View, n: usize) -> Result<Reg, Exception> {
    match insn.operand(n) {
        Operand::Reg(reg) => Ok(reg),
        Operand::None
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => Err(MALFORMED),
    }
}

/// The immediate operand `n`; 0 when there is none.
#[inline]
pub fn immediate(insn: &impl View, n: usize) -> u32 {
    match insn.operand(n) {
        Operand::Imm(value) => value,
        Operand::None
        | Operand::Reg(_)
        | Operand::Mem(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => 0,
    }
}
