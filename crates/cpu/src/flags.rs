//! Lazy arithmetic flags: what translated code leaves behind instead of EFLAGS bits.
//!
//! Invariant: [`materialize`] is the only reader of the `cc_` fields outside translated code; whoever wants
//! the flags calls it first. The formulas are those of SDM Vol. 1 3.4.3.1 and the operation sections of
//! Vol. 2. Flags that the manual leaves undefined follow `docs/deviations.md`.

use crate::layout::{CpuState, eflags};

/// What the arithmetic flags derive from: kind in bits 0-7, operand width in bytes in bits 8-15, and in bits
/// 16-27 the flags that `cc_patch` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CcOp(pub u32);

/// The kinds of [`CcOp`], with what `cc_a`, `cc_b` and `cc_c` hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CcKind {
    /// The flags are in EFLAGS.
    Eflags = 0,
    /// a: the six flags, at their EFLAGS places.
    Bits = 1,
    /// a: result of AND, OR, XOR, TEST.
    Logic = 2,
    /// a: result, b: second operand of ADD.
    Add = 3,
    /// a: first, b: second operand of SUB, CMP, NEG (first 0).
    Sub = 4,
    /// a: result, b: second operand, c: carry in of ADC.
    Adc = 5,
    /// a: first, b: second operand, c: borrow in of SBB.
    Sbb = 6,
    /// a: result, c: CF before INC.
    Inc = 7,
    /// a: result, c: CF before DEC.
    Dec = 8,
    /// a: first operand, b: count (masked, not 0) of SHL.
    Shl = 9,
    /// a: first operand, b: count (masked, not 0) of SHR.
    Shr = 10,
    /// a: first operand, sign-extended to 32 bits, b: count (masked, not 0) of SAR.
    Sar = 11,
    /// a: low half of the product, c: 1 when the high half matters (CF = OF) of MUL, IMUL.
    Mul = 12,
}

impl CcOp {
    /// The flags are in EFLAGS.
    pub const EFLAGS: Self = Self(0);
    /// Shift of the flags that `cc_patch` replaces.
    pub const PATCH_SHIFT: u32 = 16;

    /// A kind with its operand width in bytes (1, 2 or 4).
    #[must_use]
    pub const fn new(kind: CcKind, bytes: u32) -> Self {
        Self(kind as u32 | bytes << 8)
    }

    /// The same, with the flags in `mask` taken from `cc_patch`.
    #[must_use]
    pub const fn patched(self, mask: u32) -> Self {
        Self(self.0 | mask << Self::PATCH_SHIFT)
    }
}

fn bits(cond: bool, flag: u32) -> u32 {
    if cond { flag } else { 0 }
}

/// PF, ZF and SF of a result of `width` bits.
fn result_flags(result: u32, width: u32) -> u32 {
    let masked = result & mask(width);
    bits((masked as u8).count_ones().is_multiple_of(2), eflags::PF)
        | bits(masked == 0, eflags::ZF)
        | bits(masked >> (width - 1) & 1 == 1, eflags::SF)
}

const fn mask(width: u32) -> u32 {
    u32::MAX >> (32 - width)
}

/// Flags of `first + second + carry = result`.
fn add_flags(first: u32, second: u32, carry: u32, width: u32) -> u32 {
    let wide = u64::from(first & mask(width)) + u64::from(second & mask(width)) + u64::from(carry);
    let result = wide as u32;
    let overflow = (first ^ result) & (second ^ result);
    bits(wide >> width != 0, eflags::CF)
        | ((first ^ second ^ result) & eflags::AF)
        | bits(overflow >> (width - 1) & 1 == 1, eflags::OF)
        | result_flags(result, width)
}

/// Flags of `first - second - borrow`.
fn sub_flags(first: u32, second: u32, borrow: u32, width: u32) -> u32 {
    let (first, second) = (first & mask(width), second & mask(width));
    let result = first.wrapping_sub(second).wrapping_sub(borrow);
    let overflow = (first ^ second) & (first ^ result);
    bits(u64::from(first) < u64::from(second) + u64::from(borrow), eflags::CF)
        | ((first ^ second ^ result) & eflags::AF)
        | bits(overflow >> (width - 1) & 1 == 1, eflags::OF)
        | result_flags(result, width)
}

fn shift_flags(kind: ShiftKind, first: u32, count: u32, width: u32) -> u32 {
    let first = first & mask(width);
    let sign = 1 << (width - 1);
    let (result, carry, overflow) = match kind {
        ShiftKind::Left => {
            let wide = u64::from(first) << count;
            let carry = wide >> width & 1 == 1;
            (wide as u32, carry, (wide as u32 & sign != 0) != carry)
        }
        ShiftKind::Right => (first >> count, first >> (count - 1) & 1 == 1, first & sign != 0),
        ShiftKind::Arithmetic => {
            let extended = ((first << (32 - width)) as i32) >> (32 - width);
            ((extended >> count) as u32, extended >> (count - 1) & 1 == 1, false)
        }
    };
    bits(carry, eflags::CF) | bits(overflow, eflags::OF) | result_flags(result, width)
}

enum ShiftKind {
    Left,
    Right,
    Arithmetic,
}

/// The six arithmetic flags that the `cc_` fields stand for.
///
/// # Panics
/// When `cc_op` is none that translated code stores, which only a bug in the translator can bring about.
#[must_use]
pub fn status(state: &CpuState) -> u32 {
    let CcOp(op) = state.cc_op;
    let patched = op >> CcOp::PATCH_SHIFT;
    unpatched(state, op & 0xff, (op >> 8 & 0xff) * 8) & !patched | state.cc_patch & patched
}

fn unpatched(state: &CpuState, kind: u32, width: u32) -> u32 {
    let (a, b, c) = (state.cc_a, state.cc_b, state.cc_c);
    match kind {
        0 => state.eflags & eflags::STATUS,
        1 => a & eflags::STATUS,
        2 => result_flags(a, width),
        3 => add_flags(a.wrapping_sub(b), b, 0, width),
        4 => sub_flags(a, b, 0, width),
        5 => add_flags(a.wrapping_sub(b).wrapping_sub(c), b, c, width),
        6 => sub_flags(a, b, c, width),
        7 => add_flags(a.wrapping_sub(1), 1, 0, width) & !eflags::CF | bits(c != 0, eflags::CF),
        8 => sub_flags(a.wrapping_add(1), 1, 0, width) & !eflags::CF | bits(c != 0, eflags::CF),
        9 => shift_flags(ShiftKind::Left, a, b, width),
        10 => shift_flags(ShiftKind::Right, a, b, width),
        11 => shift_flags(ShiftKind::Arithmetic, a, b, width),
        12 => result_flags(a, width) | bits(c != 0, eflags::CF | eflags::OF),
        kind => unreachable!("cc_op kind {kind} is never stored"),
    }
}

/// Writes the arithmetic flags into EFLAGS, so that `cc_op == CcOp::EFLAGS` afterwards.
#[inline]
pub fn materialize(state: &mut CpuState) {
    if state.cc_op != CcOp::EFLAGS {
        derive(state);
    }
}

#[cold]
fn derive(state: &mut CpuState) {
    state.eflags = state.eflags & !eflags::STATUS | status(state);
    state.cc_op = CcOp::EFLAGS;
}
