//! Which window each access is tried in.
//!
//! Accesses that go to one object should share a window, those to different objects should not. A pointer that a
//! block loads is told apart by the place that loaded it; one that comes from outside the block, by its register.

use cpu::layout::{WINDOW_SHARED, WINDOWS};
use isa::{Gpr, Insn, Mem, Op, Operand, Width};

use crate::operand::written;

/// The windows of the addresses in the registers, at one point of a block.
#[derive(Clone, Copy, Debug)]
pub struct Windows([u32; 8]);

impl Default for Windows {
    fn default() -> Self {
        Self(std::array::from_fn(|n| n as u32))
    }
}

/// Displacements below this, up or down, lead to a field of an object.
const FIELD: u32 = 1 << 16;

/// One of the windows that belong to no register.
pub fn shared(place: u32) -> u32 {
    let spread = place.wrapping_mul(0x9e37_79b1) >> 16;
    WINDOW_SHARED as u32 + spread % (WINDOWS - WINDOW_SHARED) as u32
}

impl Windows {
    /// The window of a memory operand. With a displacement that is an address the registers are an index.
    pub fn of(&self, mem: &Mem) -> u32 {
        match mem.base {
            Some(base) if mem.disp.unsigned_abs() < FIELD => self.0[base.index()],
            _ => shared(mem.disp as u32 >> base::PAGE_SHIFT),
        }
    }

    /// Takes over what `insn` at `eip` does to the registers.
    pub fn after(&mut self, eip: u32, insn: &Insn) {
        let before = self.0;
        let mut set = written(insn) & !(1 << Gpr::Esp.index());
        // Stepping through an object stays in it.
        if matches!(insn.op, Op::Add | Op::Sub | Op::Inc | Op::Dec | Op::And) {
            set = 0;
        }
        for n in (0..8).filter(|n| set >> n & 1 == 1) {
            let source = match (insn.op, insn.operand(1)) {
                (Op::Mov, Operand::Reg(reg)) if reg.width == Width::B4 => Some(before[reg.gpr.index()]),
                (Op::Lea, Operand::Mem(mem)) if mem.base.is_some() => Some(Self(before).of(&mem)),
                _ => None,
            };
            self.0[n] = source.unwrap_or_else(|| shared(eip));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operand(base: Option<Gpr>, disp: i32) -> Mem {
        Mem { base, index: None, scale: 0, disp, seg: isa::SegReg::Ds, size: 4 }
    }

    #[test]
    fn arrays_that_one_register_indexes_have_windows_of_their_own() {
        let windows = Windows::default();
        let of = |disp| windows.of(&operand(Some(Gpr::Eax), disp));
        assert_eq!((of(0), of(0x44), of(-8)), (0, 0, 0), "fields of what EAX points to");
        assert!(of(0x10_2075) >= WINDOW_SHARED as u32);
        assert_ne!(of(0x10_2075), of(0x11_020c), "two arrays");
        assert_eq!(of(0x10_2075), windows.of(&operand(None, 0x10_2080)), "an array and a variable beside it");
    }
}
