//! `Packed`: a decoded instruction in the 24 bytes that the interpreter needs of it, and the number of its handler.
//!
//! It says the same as the `Insn` that it was made of, flags and LOCK apart, which the interpreter does not look at.

use cpu::Cpu;
use isa::{Cond, Gpr, Insn, Mem, Op, Operand, Reg, Rep, SegReg, Width};

use crate::handlers;
use crate::view::View;

/// What kind of operand stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// No operand.
    None,
    /// General-purpose register or part of one.
    Reg,
    /// Memory.
    Mem,
    /// Immediate.
    Imm,
    /// Target of a near branch.
    Target,
    /// Segment register.
    Seg,
    /// Control register.
    Cr,
    /// Debug register.
    Dr,
    /// Far pointer: its selector stands where a memory operand has its displacement.
    Far,
    /// A second immediate (ENTER), at the same place.
    Second,
}

/// Kind of an operand and, of a register, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    kind: Kind,
    /// Number in bits 0-2, width in bits 3-6, bit 7 for AH to BH.
    number: u8,
}

/// The memory operand; its displacement apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    base: Option<Gpr>,
    index: Option<Gpr>,
    /// log2 of the scale.
    scale: u8,
    seg: SegReg,
    size: u8,
}

/// A decoded instruction, small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    op: Op,
    len: u8,
    handler: u8,
    /// Bits 0-1: log2 of the width; bit 2: operand size, bit 3: address size is 32 bits; bits 4-5: repeat prefix;
    attrs: u8,
    /// Condition in bits 0-3, segment of a string instruction in bits 4-6.
    cond_seg: u8,
    slots: [Slot; 3],
    address: Address,
    disp: i32,
    imm: u32,
}

/// Of the widths, by their logarithm.
const WIDTHS: [Width; 4] = [Width::B1, Width::B2, Width::B4, Width::B8];

impl Packed {
    /// The same instruction as `insn`.
    #[must_use]
    pub fn new(insn: &Insn) -> Self {
        let mut packed = Self {
            op: insn.op,
            len: insn.len,
            handler: 0,
            attrs: attrs(insn),
            cond_seg: insn.cond as u8 | (insn.string_seg as u8) << 4,
            slots: [Slot { kind: Kind::None, number: 0 }; 3],
            address: Address { base: None, index: None, scale: 0, seg: SegReg::Ds, size: 0 },
            disp: 0,
            imm: 0,
        };
        let mut immediates = 0;
        for n in 0..packed.slots.len() {
            packed.set(n, insn.operand(n), &mut immediates);
        }
        packed.handler = handlers::number(&packed);
        packed
    }

    fn set(&mut self, n: usize, operand: Operand, immediates: &mut u32) {
        let plain = |kind| Slot { kind, number: 0 };
        self.slots[n] = match operand {
            Operand::None => plain(Kind::None),
            Operand::Reg(reg) => {
                let number = reg.gpr as u8 | (reg.width as u8) << 3 | u8::from(reg.high) << 7;
                Slot { kind: Kind::Reg, number }
            }
            Operand::Mem(mem) => {
                let Mem { seg, base, index, scale, size, disp: _ } = mem;
                self.address = Address { base, index, scale, seg, size };
                self.disp = mem.disp;
                plain(Kind::Mem)
            }
            Operand::Imm(value) if *immediates == 0 => {
                *immediates += 1;
                self.imm = value;
                plain(Kind::Imm)
            }
            Operand::Imm(value) => {
                self.disp = value as i32;
                plain(Kind::Second)
            }
            Operand::Target(target) => {
                self.imm = target;
                plain(Kind::Target)
            }
            Operand::Seg(seg) => Slot { kind: Kind::Seg, number: seg as u8 },
            Operand::Cr(number) => Slot { kind: Kind::Cr, number },
            Operand::Dr(number) => Slot { kind: Kind::Dr, number },
            Operand::Far { selector, offset } => {
                (self.disp, self.imm) = (i32::from(selector), offset);
                plain(Kind::Far)
            }
        };
    }

    /// The operation.
    #[must_use]
    #[inline]
    pub const fn op(&self) -> Op {
        self.op
    }

    /// Number of the function that runs it.
    #[inline]
    pub(crate) const fn handler(&self) -> u8 {
        self.handler
    }

    /// EIP behind it.
    #[inline]
    pub(crate) fn next(&self, cpu: &Cpu) -> u32 {
        cpu.state.eip.wrapping_add(u32::from(self.len))
    }

    /// What kind of operand operand `n` is.
    #[inline]
    pub(crate) const fn kind(&self, n: usize) -> Kind {
        self.slots[n].kind
    }

    /// Operand `n`, a register.
    #[inline]
    pub(crate) fn reg(&self, n: usize) -> Reg {
        let number = self.slots[n].number;
        let width = match number >> 3 & 15 {
            1 => Width::B1,
            2 => Width::B2,
            4 => Width::B4,
            _ => Width::B8,
        };
        Reg { gpr: Gpr::from_number(number), width, high: number >> 7 != 0 }
    }

    /// The memory operand.
    #[inline]
    pub(crate) fn mem(&self) -> Mem {
        let Address { base, index, scale, seg, size } = self.address;
        Mem { seg, base, index, scale: scale & 3, disp: self.disp, size }
    }

    /// The first immediate, a near branch's target, or the offset of a far pointer.
    #[inline]
    pub(crate) const fn imm(&self) -> u32 {
        self.imm
    }
}

impl View for Packed {
    const FIXED: bool = false;

    #[inline]
    fn packed(&self) -> &Self {
        self
    }

    #[inline]
    fn operand(&self, n: usize) -> Operand {
        let Some(slot) = self.slots.get(n) else { return Operand::None };
        match slot.kind {
            Kind::None => Operand::None,
            Kind::Reg => Operand::Reg(self.reg(n)),
            Kind::Mem => Operand::Mem(self.mem()),
            Kind::Imm => Operand::Imm(self.imm),
            Kind::Target => Operand::Target(self.imm),
            Kind::Seg => Operand::Seg(segment(slot.number)),
            Kind::Cr => Operand::Cr(slot.number),
            Kind::Dr => Operand::Dr(slot.number),
            Kind::Far => Operand::Far { selector: self.disp as u16, offset: self.imm },
            Kind::Second => Operand::Imm(self.disp as u32),
        }
    }

    #[inline]
    fn width(&self) -> Width {
        WIDTHS[usize::from(self.attrs & 3)]
    }

    #[inline]
    fn op_size(&self) -> Width {
        if self.attrs & 1 << 2 != 0 { Width::B4 } else { Width::B2 }
    }

    #[inline]
    fn addr_size(&self) -> Width {
        if self.attrs & 1 << 3 != 0 { Width::B4 } else { Width::B2 }
    }

    #[inline]
    fn cond(&self) -> Cond {
        Cond::ALL[usize::from(self.cond_seg & 15)]
    }
}

impl Packed {
    /// Repeat prefix.
    #[inline]
    pub(crate) const fn rep(&self) -> Rep {
        match self.attrs >> 4 {
            0 => Rep::None,
            1 => Rep::Repe,
            _ => Rep::Repne,
        }
    }

    /// Segment of the source of a string instruction.
    #[inline]
    pub(crate) const fn string_seg(&self) -> SegReg {
        segment(self.cond_seg >> 4)
    }
}

fn attrs(insn: &Insn) -> u8 {
    let wide = |width: Width, bit: u8| u8::from(width == Width::B4) << bit;
    let rep = match insn.rep {
        Rep::None => 0,
        Rep::Repe => 1,
        Rep::Repne => 2,
    };
    let width = (insn.width as u8).trailing_zeros() as u8;
    width | wide(insn.op_size, 2) | wide(insn.addr_size, 3) | rep << 4
}

/// The segment register with this number.
#[inline]
const fn segment(number: u8) -> SegReg {
    match number {
        0 => SegReg::Es,
        1 => SegReg::Cs,
        2 => SegReg::Ss,
        3 => SegReg::Ds,
        4 => SegReg::Fs,
        _ => SegReg::Gs,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use isa::{DecodeMode, decode};

    use super::*;

    /// Instructions decoded from random bytes, of each four one after an operand-size prefix and one of two
    /// bytes; of each eight one in 16-bit code.
    fn decoded() -> impl Iterator<Item = Insn> {
        let mut state = 0x1234_5678_9abc_def1u64;
        (0..1_000_000u32).filter_map(move |n| {
            let mut bytes = [0; 16];
            for half in bytes.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                half.copy_from_slice(&state.to_le_bytes());
            }
            match n % 4 {
                0 => bytes[0] = 0x66,
                1 => bytes[0] = 0x0f,
                _ => {}
            }
            decode(&bytes[..15], n, DecodeMode { code32: n % 8 != 2 }).ok()
        })
    }

    #[test]
    fn instructions_are_small() {
        assert!(size_of::<Packed>() <= 24);
    }

    #[test]
    fn nothing_is_lost() {
        let mut ops = BTreeSet::new();
        for insn in decoded() {
            let packed = Packed::new(&insn);
            let mut again = Insn { operands: [Operand::None; 3], ..insn };
            (again.op, again.len, again.cond) = (packed.op(), packed.len, packed.cond());
            (again.width, again.op_size, again.addr_size) =
                (packed.width(), packed.op_size(), packed.addr_size());
            (again.rep, again.string_seg) = (packed.rep(), packed.string_seg());
            for n in 0..3 {
                again.operands[n] = packed.operand(n);
            }
            assert_eq!((again, packed.operand(3)), (insn, Operand::None));
            ops.insert(insn.op as u8);
        }
        assert_eq!(ops.len(), Op::ALL.len());
    }

    #[test]
    fn each_handler_has_instructions() {
        let used: BTreeSet<u8> = decoded().map(|insn| Packed::new(&insn).handler()).collect();
        assert_eq!(used, (0..handlers::COUNT as u8).collect());
    }
}
