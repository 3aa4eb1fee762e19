#![forbid(unsafe_code)]
//! Finds out, from the manual alone, whether an instruction in a state is harmless on the host's processor.
//!
//! Harmless means: it completes without an exception, touches no memory outside the window, and goes on at an
//! address that has a landing. What is not provably so is [`Unfit`] and never runs. Only [`vet`] makes a
//! [`Vetted`], which is what [`crate::native::Native`] runs; its soundness rests on this file.

use cpu::eflags;
use isa::{Gpr, Insn, Mem, Op, Operand, Reg, Rep, SegReg, Width};

use crate::kinds::{Kind, kind};
use crate::native::{NativeState, Place, USER_CODE, USER_DATA};

/// Most elements of a repeated string instruction.
const MOST_ELEMENTS: u32 = 64;
/// EFLAGS bits that POPF and IRET must not load: they would trap the code that follows.
const TRAPPING: u32 = eflags::TF | eflags::NT | eflags::AC | eflags::RF | eflags::VM;

/// Why an instruction does not run on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Unfit {
    /// No user program may or should run it here.
    #[error("excluded: {0}")]
    Excluded(&'static str),
    /// It raises the exception with this vector.
    #[error("raises exception {0}")]
    Fault(u8),
    /// It would touch memory outside the window.
    #[error("touches memory outside the window")]
    Memory,
    /// It would go on where no landing is.
    #[error("goes on where no landing is")]
    Control,
    /// A locked access would cross a cache line, which some systems forbid.
    #[error("a locked access crosses a cache line")]
    SplitLock,
    /// It would load a selector other than the user's own.
    #[error("loads a selector that is not the user's own")]
    Selector,
}

/// An instruction in a state in which it is harmless.
#[derive(Clone, Copy, Debug)]
pub struct Vetted<'a> {
    place: Place,
    code: &'a [u8],
    state: &'a NativeState,
}

impl<'a> Vetted<'a> {
    /// Where it is to run.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Bytes of the instruction.
    #[must_use]
    pub fn code(&self) -> &'a [u8] {
        self.code
    }

    /// The state that it runs in.
    #[must_use]
    pub fn state(&self) -> &'a NativeState {
        self.state
    }
}

/// Vets the instruction in `code` in `state`.
///
/// # Errors
/// [`Unfit`] with the first reason found.
pub fn vet<'a>(place: Place, code: &'a [u8], state: &'a NativeState) -> Result<Vetted<'a>, Unfit> {
    let mode = isa::DecodeMode { code32: true };
    let insn = isa::decode(code, place.code(), mode).map_err(|_| Unfit::Excluded("does not decode"))?;
    if usize::from(insn.len) != code.len() {
        return Err(Unfit::Excluded("is not one instruction"));
    }
    if is_reserved_nop(code) {
        return Err(Unfit::Excluded("processors differ"));
    }
    Look { place, insn: &insn, state }.check()?;
    Ok(Vetted { place, code, state })
}

/// 0F 0D with a register: a NOP on Intel's processors, #UD on AMD's.
#[must_use]
pub fn is_reserved_nop(code: &[u8]) -> bool {
    code.windows(3).next_back().is_some_and(|tail| tail[0] == 0x0f && tail[1] == 0x0d && tail[2] >= 0xc0)
}

/// Whether `insn` may write to its memory operand.
#[must_use]
pub fn writes_memory_operand(insn: &Insn) -> bool {
    let only_reads = matches!(
        insn.op,
        Op::Cmp
            | Op::Test
            | Op::Bt
            | Op::Mul
            | Op::Imul1
            | Op::Div
            | Op::Idiv
            | Op::Push
            | Op::Jmp
            | Op::Call
            | Op::JmpFar
            | Op::CallFar
            | Op::Verr
            | Op::Verw
    );
    let destination = matches!(insn.operand(0), Operand::Mem(_)) && !only_reads;
    insn.mem().is_some_and(|mem| mem.size != 0) && (destination || insn.op == Op::Xchg)
}

/// One instruction under examination.
struct Look<'a> {
    place: Place,
    insn: &'a Insn,
    state: &'a NativeState,
}

impl Look<'_> {
    fn check(&self) -> Result<(), Unfit> {
        let kind = kind(self.insn.op).map_err(Unfit::Excluded)?;
        if self.state.eip != self.place.code() {
            return Err(Unfit::Control);
        }
        match kind {
            Kind::Plain
            | Kind::Shift
            | Kind::Rotate
            | Kind::DoubleShift
            | Kind::BitScan
            | Kind::ByteSwap
            | Kind::CompareExchange
            | Kind::CompareExchange8 => self.memory_operand(),
            Kind::Translate => self.xlat(),
            Kind::BitString => self.bit_string(),
            Kind::Push => self.push(),
            Kind::Pop => self.pop(),
            Kind::PushAll => self.below_esp(8 * self.slot()),
            Kind::PopAll => self.at(self.esp(), 8 * self.slot()),
            Kind::PopFlags => self.popf(),
            Kind::Enter => self.enter(),
            Kind::Leave => self.at(self.gpr(Gpr::Ebp), self.slot()),
            Kind::String => self.string(),
            Kind::Divide => self.divide(),
            Kind::DivideByImmediate => self.divisor_not_zero(self.insn.operand(0)),
            Kind::Overflow => self.no_overflow(),
            Kind::Bound => self.bound(),
            Kind::Near => self.near(),
            Kind::Conditional | Kind::Counted => self.short(),
            Kind::Return => self.ret(),
            Kind::Far => self.far(),
            Kind::FarReturn => self.ret_far(),
            Kind::InterruptReturn => self.iret(),
            Kind::MoveSegment => self.mov_seg(),
            Kind::FarPointer => self.load_far_pointer(),
            Kind::Verify => self.about_selector(0),
            Kind::Describe => self.about_selector(1),
        }
    }

    fn gpr(&self, gpr: Gpr) -> u32 {
        self.state.gpr[gpr.index()]
    }

    fn esp(&self) -> u32 {
        self.gpr(Gpr::Esp)
    }

    fn reg(&self, reg: Reg) -> u32 {
        let full = self.gpr(reg.gpr) >> if reg.high { 8 } else { 0 };
        full & reg.width.mask() as u32
    }

    /// Bytes of a stack slot.
    fn slot(&self) -> u32 {
        self.insn.op_size.bytes()
    }

    /// Address of a memory operand with ESP changed by `esp_change`.
    fn address(&self, mem: &Mem, esp_change: u32) -> Result<u32, Unfit> {
        let usable = match mem.seg {
            SegReg::Fs | SegReg::Gs => false,
            // A code segment is never writable.
            SegReg::Cs => !writes_memory_operand(self.insn),
            SegReg::Es | SegReg::Ss | SegReg::Ds => true,
        };
        if !usable || self.insn.addr_size != Width::B4 {
            return Err(Unfit::Memory);
        }
        let value = |gpr: Gpr| self.gpr(gpr).wrapping_add(if gpr == Gpr::Esp { esp_change } else { 0 });
        let base = mem.base.map_or(0, value);
        let index = mem.index.map_or(0, |gpr| value(gpr) << mem.scale);
        Ok(base.wrapping_add(index).wrapping_add_signed(mem.disp))
    }

    fn at(&self, la: u32, len: u32) -> Result<(), Unfit> {
        if self.place.holds(la, len) { Ok(()) } else { Err(Unfit::Memory) }
    }

    fn below_esp(&self, len: u32) -> Result<(), Unfit> {
        self.at(self.esp().wrapping_sub(len), len)
    }

    /// A value in the window, little-endian.
    fn load(&self, la: u32, len: u32) -> Result<u32, Unfit> {
        self.at(la, len)?;
        let from = (la - self.place.window()) as usize;
        let bytes = &self.state.memory[from..from + len as usize];
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn memory_operand(&self) -> Result<(), Unfit> {
        self.memory_operand_at(0)
    }

    fn memory_operand_at(&self, esp_change: u32) -> Result<(), Unfit> {
        let Some(mem) = self.insn.mem().filter(|mem| mem.size != 0) else { return Ok(()) };
        let la = self.address(mem, esp_change)?;
        self.at(la, u32::from(mem.size))?;
        let locked = self.insn.lock || self.insn.op == Op::Xchg;
        let crosses = la & 63 > 64 - u32::from(mem.size);
        if locked && crosses { Err(Unfit::SplitLock) } else { Ok(()) }
    }

    /// The value of a register, memory or immediate operand of at most 32 bits.
    fn value(&self, operand: Operand) -> Result<u32, Unfit> {
        match operand {
            Operand::Reg(reg) => Ok(self.reg(reg)),
            Operand::Mem(mem) => self.load(self.address(&mem, 0)?, u32::from(mem.size)),
            Operand::Imm(value) | Operand::Target(value) => Ok(value),
            Operand::None | Operand::Seg(_) | Operand::Cr(_) | Operand::Dr(_) | Operand::Far { .. } => {
                Err(Unfit::Excluded("an operand that has no plain value"))
            }
        }
    }

    fn xlat(&self) -> Result<(), Unfit> {
        if matches!(self.insn.string_seg, SegReg::Fs | SegReg::Gs) || self.insn.addr_size != Width::B4 {
            return Err(Unfit::Memory);
        }
        self.at(self.gpr(Gpr::Ebx).wrapping_add(self.gpr(Gpr::Eax) & 0xff), 1)
    }

    /// SDM Vol. 2A "BT": a register offset reaches beyond the operand in memory.
    fn bit_string(&self) -> Result<(), Unfit> {
        let (Some(mem), Operand::Reg(index)) = (self.insn.mem(), self.insn.operand(1)) else {
            return self.memory_operand();
        };
        let bits = self.insn.width.bits();
        let index = self.reg(index);
        let signed = if bits == 16 { i32::from(index as u16 as i16) } else { index as i32 };
        let moved = signed.div_euclid(bits as i32).wrapping_mul(bits as i32 / 8);
        let la = self.address(mem, 0)?.wrapping_add_signed(moved);
        self.at(la, bits / 8)?;
        let crosses = la & 63 > 64 - bits / 8;
        if self.insn.lock && crosses { Err(Unfit::SplitLock) } else { Ok(()) }
    }

    fn push(&self) -> Result<(), Unfit> {
        self.memory_operand()?;
        self.below_esp(self.slot())
    }

    fn pop(&self) -> Result<(), Unfit> {
        self.at(self.esp(), self.slot())?;
        match self.insn.operand(0) {
            Operand::Seg(seg) => self.may_load(seg, self.load(self.esp(), 2)?),
            // SDM Vol. 2B "POP": an address through ESP is computed after the pop.
            Operand::Mem(_) => self.memory_operand_at(self.slot()),
            Operand::None
            | Operand::Reg(_)
            | Operand::Imm(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => Ok(()),
        }
    }

    fn popf(&self) -> Result<(), Unfit> {
        let flags = self.load(self.esp(), self.slot())?;
        if flags & TRAPPING == 0 { Ok(()) } else { Err(Unfit::Excluded("would trap what follows")) }
    }

    /// SDM Vol. 2A "ENTER".
    fn enter(&self) -> Result<(), Unfit> {
        let (size, level) = (self.value(self.insn.operand(0))?, self.value(self.insn.operand(1))? & 31);
        let slot = self.slot();
        self.below_esp(slot * (1 + level) + size)?;
        let copied = slot * level.saturating_sub(1);
        self.at(self.gpr(Gpr::Ebp).wrapping_sub(copied), copied)
    }

    fn string(&self) -> Result<(), Unfit> {
        let outside = matches!(self.insn.string_seg, SegReg::Fs | SegReg::Gs);
        if outside || self.insn.addr_size != Width::B4 {
            return Err(Unfit::Memory);
        }
        let count = if self.insn.rep == Rep::None { 1 } else { self.gpr(Gpr::Ecx) };
        if count > MOST_ELEMENTS {
            return Err(Unfit::Memory);
        }
        if matches!(self.insn.op, Op::Movs | Op::Cmps | Op::Lods) {
            self.elements(self.gpr(Gpr::Esi), count)?;
        }
        if self.insn.op == Op::Lods { Ok(()) } else { self.elements(self.gpr(Gpr::Edi), count) }
    }

    fn elements(&self, first: u32, count: u32) -> Result<(), Unfit> {
        let size = self.insn.width.bytes();
        let len = count * size;
        match self.state.eflags & eflags::DF {
            0 => self.at(first, len),
            _ => self.at(first.wrapping_add(size).wrapping_sub(len), len),
        }
    }

    /// SDM Vol. 2A "DIV", "IDIV": #DE when the divisor is 0 or the quotient does not fit.
    fn divide(&self) -> Result<(), Unfit> {
        self.memory_operand()?;
        let divisor = self.value(self.insn.operand(0))?;
        let bits = self.insn.width.bits();
        let (low, high) = match self.insn.width {
            Width::B1 => (self.gpr(Gpr::Eax) & 0xff, self.gpr(Gpr::Eax) >> 8 & 0xff),
            Width::B2 => (self.gpr(Gpr::Eax) & 0xffff, self.gpr(Gpr::Edx) & 0xffff),
            Width::B4 | Width::B8 => (self.gpr(Gpr::Eax), self.gpr(Gpr::Edx)),
        };
        let dividend = u64::from(high) << bits | u64::from(low);
        let fits = if self.insn.op == Op::Div {
            dividend.checked_div(u64::from(divisor)).is_some_and(|quotient| quotient >> bits == 0)
        } else {
            signed_quotient_fits(dividend, divisor, bits)
        };
        if fits { Ok(()) } else { Err(Unfit::Fault(0)) }
    }

    fn divisor_not_zero(&self, operand: Operand) -> Result<(), Unfit> {
        if self.value(operand)? & 0xff == 0 { Err(Unfit::Fault(0)) } else { Ok(()) }
    }

    fn no_overflow(&self) -> Result<(), Unfit> {
        if self.state.eflags & eflags::OF == 0 { Ok(()) } else { Err(Unfit::Fault(4)) }
    }

    /// SDM Vol. 2A "BOUND".
    fn bound(&self) -> Result<(), Unfit> {
        let (Operand::Reg(index), Operand::Mem(mem)) = (self.insn.operand(0), self.insn.operand(1)) else {
            return Err(Unfit::Excluded("BOUND without memory"));
        };
        let width = index.width.bytes();
        let la = self.address(&mem, 0)?;
        let signed = |value: u32| if width == 2 { i32::from(value as u16 as i16) } else { value as i32 };
        let (low, high) = (self.load(la, width)?, self.load(la.wrapping_add(width), width)?);
        let inside = (signed(low)..=signed(high)).contains(&signed(self.reg(index)));
        if inside { Ok(()) } else { Err(Unfit::Fault(5)) }
    }

    fn lands(&self, eip: u32) -> Result<(), Unfit> {
        let whole = self.insn.op_size == Width::B4;
        if whole && self.place.lands(eip, self.insn.len) { Ok(()) } else { Err(Unfit::Control) }
    }

    fn near(&self) -> Result<(), Unfit> {
        self.lands(self.value(self.insn.operand(0))?)?;
        if self.insn.op == Op::Call { self.below_esp(4) } else { Ok(()) }
    }

    fn short(&self) -> Result<(), Unfit> {
        self.lands(self.value(self.insn.operand(0))?)
    }

    fn ret(&self) -> Result<(), Unfit> {
        self.lands(self.load(self.esp(), 4)?)
    }

    fn is_code(selector: u32) -> Result<(), Unfit> {
        if selector == u32::from(USER_CODE) { Ok(()) } else { Err(Unfit::Selector) }
    }

    fn far(&self) -> Result<(), Unfit> {
        let (selector, offset) = match self.insn.operand(0) {
            Operand::Far { selector, offset } => (u32::from(selector), offset),
            Operand::Mem(mem) => {
                let la = self.address(&mem, 0)?;
                (self.load(la.wrapping_add(4), 2)?, self.load(la, 4)?)
            }
            Operand::None
            | Operand::Reg(_)
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_) => return Err(Unfit::Control),
        };
        Self::is_code(selector)?;
        self.lands(offset)?;
        if self.insn.op == Op::CallFar { self.below_esp(8) } else { Ok(()) }
    }

    fn ret_far(&self) -> Result<(), Unfit> {
        Self::is_code(self.load(self.esp().wrapping_add(4), 2)?)?;
        self.lands(self.load(self.esp(), 4)?)
    }

    fn iret(&self) -> Result<(), Unfit> {
        self.ret_far()?;
        let flags = self.load(self.esp().wrapping_add(8), 4)?;
        if flags & TRAPPING == 0 { Ok(()) } else { Err(Unfit::Excluded("would trap what follows")) }
    }

    fn may_load(&self, seg: SegReg, selector: u32) -> Result<(), Unfit> {
        let own = matches!(seg, SegReg::Ds | SegReg::Es | SegReg::Ss) && selector == u32::from(USER_DATA);
        if own { Ok(()) } else { Err(Unfit::Selector) }
    }

    fn mov_seg(&self) -> Result<(), Unfit> {
        self.memory_operand()?;
        match self.insn.operand(0) {
            Operand::Seg(seg) => self.may_load(seg, self.value(self.insn.operand(1))? & 0xffff),
            Operand::None
            | Operand::Reg(_)
            | Operand::Mem(_)
            | Operand::Imm(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => Ok(()),
        }
    }

    fn load_far_pointer(&self) -> Result<(), Unfit> {
        let Operand::Mem(mem) = self.insn.operand(1) else {
            return Err(Unfit::Excluded("no memory operand"));
        };
        self.memory_operand()?;
        let at = self.address(&mem, 0)?.wrapping_add(u32::from(mem.size) - 2);
        self.may_load(SegReg::Ds, self.load(at, 2)?)
    }

    /// LAR and the like say the same as on the guest for the selectors whose descriptors are known.
    fn about_selector(&self, operand: usize) -> Result<(), Unfit> {
        self.memory_operand()?;
        let selector = self.value(self.insn.operand(operand))? & 0xffff;
        let known = [0, u32::from(USER_CODE), u32::from(USER_DATA)].contains(&selector);
        if known { Ok(()) } else { Err(Unfit::Selector) }
    }
}

/// Whether a division of signed numbers of twice `bits` bits by one of `bits` bits raises no #DE.
fn signed_quotient_fits(dividend: u64, divisor: u32, bits: u32) -> bool {
    let dividend = i128::from((dividend << (64 - 2 * bits)) as i64 >> (64 - 2 * bits));
    let divisor = i128::from((divisor << (32 - bits)) as i32 >> (32 - bits));
    let bound = 1i128 << (bits - 1);
    dividend.checked_div(divisor).is_some_and(|quotient| (-bound..bound).contains(&quotient))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place::at(0x0040_0000);

    fn verdict(code: &[u8], change: impl FnOnce(&mut NativeState)) -> Result<(), Unfit> {
        let mut state = NativeState::zero(PLACE);
        state.gpr = [PLACE.window() + 0x100; 8];
        change(&mut state);
        vet(PLACE, code, &state).map(|_| ())
    }

    #[test]
    fn memory_must_lie_in_the_window() {
        let load = [0x8b, 0x43, 0x04];
        assert_eq!(verdict(&load, |_| ()), Ok(()));
        assert_eq!(verdict(&load, |state| state.gpr[3] = PLACE.window() + 0x1f8), Ok(()));
        assert_eq!(verdict(&load, |state| state.gpr[3] = PLACE.window() + 0x1f9), Err(Unfit::Memory));
        assert_eq!(verdict(&load, |state| state.gpr[3] = PLACE.window() - 5), Err(Unfit::Memory));
        assert_eq!(verdict(&[0x64, 0x8b, 0x43, 0x04], |_| ()), Err(Unfit::Memory));
        assert_eq!(verdict(&[0x67, 0x8b, 0x07], |_| ()), Err(Unfit::Memory));
        assert_eq!(verdict(&[0x2e, 0x8b, 0x43, 0x04], |_| ()), Ok(()));
        assert_eq!(verdict(&[0x2e, 0x89, 0x43, 0x04], |_| ()), Err(Unfit::Memory));
    }

    #[test]
    fn divisions_that_fault_are_seen() {
        let with = |dividend: [u32; 2], divisor: u32| {
            move |state: &mut NativeState| {
                (state.gpr[0], state.gpr[2], state.gpr[3]) = (dividend[0], dividend[1], divisor)
            }
        };
        let (div, idiv) = ([0xf7, 0xf3], [0xf7, 0xfb]);
        assert_eq!(verdict(&div, with([0, 1], 1)), Err(Unfit::Fault(0)));
        assert_eq!(verdict(&div, with([u32::MAX, 1], 2)), Ok(()));
        assert_eq!(verdict(&div, with([0, 0], 0)), Err(Unfit::Fault(0)));
        assert_eq!(verdict(&idiv, with([0x8000_0000, u32::MAX], u32::MAX)), Err(Unfit::Fault(0)));
        assert_eq!(verdict(&idiv, with([0x8000_0000, u32::MAX], 1)), Ok(()));
        assert_eq!(verdict(&[0xf6, 0xfb], with([0x80, 0], 1)), Err(Unfit::Fault(0)));
        assert_eq!(verdict(&[0xd4, 0x00], |_| ()), Err(Unfit::Fault(0)));
    }

    #[test]
    fn control_must_reach_a_landing() {
        let next = PLACE.code() + 2;
        assert_eq!(verdict(&[0xff, 0xe0], |state| state.gpr[0] = next), Ok(()));
        assert_eq!(verdict(&[0xff, 0xe0], |state| state.gpr[0] = next + 1), Err(Unfit::Control));
        assert_eq!(verdict(&[0x75, 0x3e], |_| ()), Ok(()));
        assert_eq!(verdict(&[0x75, 0x3d], |_| ()), Err(Unfit::Control));
        assert_eq!(verdict(&[0xc3], |_| ()), Err(Unfit::Control));
    }

    #[test]
    fn bit_strings_strings_and_stacks_reach_as_far_as_the_manual_says() {
        let bts = [0x0f, 0xab, 0x08];
        assert_eq!(verdict(&bts, |state| state.gpr[1] = 8 * 0xff), Ok(()));
        assert_eq!(verdict(&bts, |state| state.gpr[1] = 8 * 0x100), Err(Unfit::Memory));
        assert_eq!(verdict(&bts, |state| state.gpr[1] = (-8i32 * 0x101) as u32), Err(Unfit::Memory));
        let movs = [0xf3, 0xa5];
        assert_eq!(verdict(&movs, |state| state.gpr[1] = 0x40), Ok(()));
        assert_eq!(verdict(&movs, |state| state.gpr[1] = 0x41), Err(Unfit::Memory));
        let down = |count| {
            move |state: &mut NativeState| {
                (state.gpr[1], state.eflags) = (count, state.eflags | eflags::DF);
                (state.gpr[6], state.gpr[7]) = (PLACE.window() + 4, PLACE.window() + 4);
            }
        };
        assert_eq!(verdict(&movs, down(2)), Ok(()));
        assert_eq!(verdict(&movs, down(3)), Err(Unfit::Memory));
        assert_eq!(verdict(&[0x60], |state| state.gpr[4] = PLACE.window() + 31), Err(Unfit::Memory));
        assert_eq!(verdict(&[0x60], |state| state.gpr[4] = PLACE.window() + 32), Ok(()));
    }

    #[test]
    fn what_would_hurt_the_host_is_refused() {
        assert_eq!(verdict(&[0xcd, 0x80], |_| ()), Err(Unfit::Excluded("enters the host's kernel")));
        assert_eq!(verdict(&[0x8e, 0xe0], |_| ()), Err(Unfit::Selector));
        assert_eq!(verdict(&[0x8e, 0xd8], |state| state.gpr[0] = 0x2b), Ok(()));
        let flags = |flags: u32| {
            move |state: &mut NativeState| state.memory[0x100..0x104].copy_from_slice(&flags.to_le_bytes())
        };
        assert_eq!(verdict(&[0x9d], flags(0x8d5)), Ok(()));
        assert!(matches!(verdict(&[0x9d], flags(0x100)), Err(Unfit::Excluded(_))));
        assert_eq!(
            verdict(&[0xf0, 0x01, 0x03], |state| state.gpr[3] = PLACE.window() + 0x3e),
            Err(Unfit::SplitLock)
        );
    }
}
