//! The six status flags, computed from the definitions of SDM Vol. 1 3.4.3.1: carries by exact sums in
//! wider integers, overflow by asking whether the exact signed result fits.

use cpu::eflags::{AF, CF, OF, PF, SF, ZF};
use isa::Width;

use crate::operand::{signed, truncate};

/// `flag` if `set`.
#[inline]
pub fn flag(set: bool, flag: u32) -> u32 {
    if set { flag } else { 0 }
}

/// The most significant bit of a value of `width`.
#[inline]
pub fn msb(value: u32, width: Width) -> bool {
    signed(value, width) < 0
}

/// PF, ZF and SF of a result. PF is set when the low byte has an even number of ones.
#[inline]
pub fn of_result(result: u32, width: Width) -> u32 {
    let even = (result as u8).count_ones().is_multiple_of(2);
    flag(even, PF) | flag(truncate(result, width) == 0, ZF) | flag(msb(result, width), SF)
}

/// Calls `compute` with `width` as a constant: the compiler then makes one version of it for each width.
#[inline(always)]
fn with_width<T>(width: Width, compute: impl Fn(Width) -> T) -> T {
    match width {
        Width::B1 => compute(Width::B1),
        Width::B2 => compute(Width::B2),
        Width::B4 => compute(Width::B4),
        Width::B8 => compute(Width::B8),
    }
}

/// Whether the exact signed value fits `width`.
#[inline]
fn fits(value: i64, width: Width) -> bool {
    value == signed(value as u32, width)
}

/// Result and flags of `first + second + carry`.
#[inline]
pub fn add(first: u32, second: u32, carry: bool, width: Width) -> (u32, u32) {
    with_width(width, |width| sum(first, second, carry, width))
}

#[inline(always)]
fn sum(first: u32, second: u32, carry: bool, width: Width) -> (u32, u32) {
    let (first, second) = (truncate(first, width), truncate(second, width));
    let exact = u64::from(first) + u64::from(second) + u64::from(carry);
    let nibble = (first & 0xf) + (second & 0xf) + u32::from(carry);
    let exact_signed = signed(first, width) + signed(second, width) + i64::from(carry);
    let result = truncate(exact as u32, width);
    let flags = flag(exact > width.mask(), CF)
        | flag(nibble > 0xf, AF)
        | flag(!fits(exact_signed, width), OF)
        | of_result(result, width);
    (result, flags)
}

/// Result and flags of `first - second - borrow`.
#[inline]
pub fn sub(first: u32, second: u32, borrow: bool, width: Width) -> (u32, u32) {
    with_width(width, |width| difference(first, second, borrow, width))
}

#[inline(always)]
fn difference(first: u32, second: u32, borrow: bool, width: Width) -> (u32, u32) {
    let (first, second) = (truncate(first, width), truncate(second, width));
    let exact = i64::from(first) - i64::from(second) - i64::from(borrow);
    let nibble = i64::from(first & 0xf) - i64::from(second & 0xf) - i64::from(borrow);
    let exact_signed = signed(first, width) - signed(second, width) - i64::from(borrow);
    let result = truncate(exact as u32, width);
    let flags = flag(exact < 0, CF)
        | flag(nibble < 0, AF)
        | flag(!fits(exact_signed, width), OF)
        | of_result(result, width);
    (result, flags)
}
