//! Shifts and rotates, one bit at a time as the manual's loops go; those through no carry flag at once.
//!
//! Counts are masked to five bits; a count of 0 changes neither operand nor flags, though memory is still
//! checked and written. AF and the OF of counts other than 1, which the manual leaves undefined: AF is 0
//! after shifts; OF follows the formula of count 1 applied to the result (for SHR the original operand's
//! sign, for SAR 0, for SHLD and SHRD whether the sign changed).

use cpu::eflags::{CF, OF, STATUS};
use cpu::{Cpu, Exception};
use isa::Width;

use crate::operand;
use crate::status::{flag, msb, of_result};
use crate::view::View;

/// An operand with the carry flag beside it.
#[derive(Clone, Copy)]
struct Shifter {
    value: u32,
    carry: bool,
}

/// The masked count in operand `n`.
fn count(cpu: &mut Cpu, insn: &impl View, n: usize) -> Result<u32, Exception> {
    Ok(operand::read(cpu, insn, n)? & 0x1f)
}

/// What the old operand becomes, and the flags if any change.
type Outcome = (u32, Option<u32>);

/// Replaces operand 0 by the outcome and sets the flags in `mask`.
fn apply(
    cpu: &mut Cpu,
    insn: &impl View,
    mask: u32,
    change: impl FnOnce(u32) -> Outcome,
) -> Result<(), Exception> {
    if let Some(flags) = operand::modify(cpu, insn, change)? {
        cpu.set_status(mask, flags);
    }
    Ok(())
}

/// Repeats `bit` `count` times on `value`.
fn repeat(value: u32, carry: bool, count: u32, bit: impl Fn(Shifter) -> Shifter) -> Shifter {
    (0..count).fold(Shifter { value, carry }, |shifter, _| bit(shifter))
}

/// `value * 2 + low`, cut to `width`.
fn double(value: u32, low: bool, width: Width) -> u32 {
    operand::truncate(value << 1 | u32::from(low), width)
}

/// `value / 2` with `high` as the new most significant bit.
fn halve(value: u32, high: bool, width: Width) -> u32 {
    value >> 1 | u32::from(high) << (width.bits() - 1)
}

/// `value`, `count` times `value * 2 + MSB(value)` cut to `width`; negative counts go the other way.
fn rotate(value: u32, count: u32, width: Width) -> u32 {
    match width {
        Width::B1 => u32::from((value as u8).rotate_left(count % u8::BITS)),
        Width::B2 => u32::from((value as u16).rotate_left(count % u16::BITS)),
        Width::B4 | Width::B8 => value.rotate_left(count % u32::BITS),
    }
}

/// SHL, SAL. SDM Vol. 2B "SAL/SAR/SHL/SHR": CF := MSB(DEST); DEST := DEST * 2.
#[inline(always)]
pub fn shl(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)?);
    apply(cpu, insn, STATUS, |dest| {
        let end = repeat(dest, false, count, |s| Shifter {
            carry: msb(s.value, width),
            value: double(s.value, false, width),
        });
        let overflow = msb(end.value, width) != end.carry;
        (end.value, shift_flags(end, overflow, count, width))
    })
}

/// SHR: CF := LSB(DEST); DEST := DEST / 2, unsigned.
#[inline(always)]
pub fn shr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)?);
    apply(cpu, insn, STATUS, |dest| {
        let end = repeat(dest, false, count, |s| Shifter {
            carry: s.value & 1 == 1,
            value: halve(s.value, false, width),
        });
        (end.value, shift_flags(end, msb(dest, width), count, width))
    })
}

/// SAR: CF := LSB(DEST); DEST := DEST / 2, signed, rounding down.
#[inline(always)]
pub fn sar(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)?);
    apply(cpu, insn, STATUS, |dest| {
        let end = repeat(dest, false, count, |s| Shifter {
            carry: s.value & 1 == 1,
            value: halve(s.value, msb(s.value, width), width),
        });
        (end.value, shift_flags(end, false, count, width))
    })
}

/// All six flags after a shift; none changes for a count of 0.
fn shift_flags(end: Shifter, overflow: bool, count: u32, width: Width) -> Option<u32> {
    (count != 0).then(|| flag(end.carry, CF) | flag(overflow, OF) | of_result(end.value, width))
}

/// ROL. SDM Vol. 2B "RCL/RCR/ROL/ROR": tempCF := MSB(DEST); DEST := DEST * 2 + tempCF.
#[inline(always)]
pub fn rol(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)?);
    apply(cpu, insn, CF | OF, |dest| {
        let end = rotate(dest, count, width);
        let carry = end & 1 == 1;
        let flags = flag(carry, CF) | flag(msb(end, width) != carry, OF);
        (end, (count != 0).then_some(flags))
    })
}

/// ROR: tempCF := LSB(DEST); DEST := DEST / 2 + tempCF * 2^(SIZE - 1).
#[inline(always)]
pub fn ror(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)?);
    apply(cpu, insn, CF | OF, |dest| {
        let end = rotate(dest, count.wrapping_neg(), width);
        let flags = flag(msb(end, width), CF) | flag(top_bits_differ(end, width), OF);
        (end, (count != 0).then_some(flags))
    })
}

/// RCL: tempCF := MSB(DEST); DEST := DEST * 2 + CF; CF := tempCF.
pub fn rcl(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)? % (insn.width().bits() + 1));
    let carry = cpu.valid_eflags() & CF != 0;
    apply(cpu, insn, CF | OF, |dest| {
        let end = repeat(dest, carry, count, |s| Shifter {
            carry: msb(s.value, width),
            value: double(s.value, s.carry, width),
        });
        let flags = flag(end.carry, CF) | flag(msb(end.value, width) != end.carry, OF);
        (end.value, (count != 0).then_some(flags))
    })
}

/// RCR: tempCF := LSB(DEST); DEST := DEST / 2 + CF * 2^(SIZE - 1); CF := tempCF.
pub fn rcr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 1)? % (insn.width().bits() + 1));
    let carry = cpu.valid_eflags() & CF != 0;
    apply(cpu, insn, CF | OF, |dest| {
        let end = repeat(dest, carry, count, |s| Shifter {
            carry: s.value & 1 == 1,
            value: halve(s.value, s.carry, width),
        });
        let flags = flag(end.carry, CF) | flag(top_bits_differ(end.value, width), OF);
        (end.value, (count != 0).then_some(flags))
    })
}

/// MSB(DEST) xor MSB-1(DEST).
fn top_bits_differ(value: u32, width: Width) -> bool {
    msb(value, width) != msb(value << 1, width)
}

/// SHLD. SDM Vol. 2B "SHLD": bits come in from the top of SRC. A 16-bit count above 16, which the manual
/// leaves undefined, goes on with the bits of DEST itself.
pub fn shld(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 2)?);
    let source = operand::read(cpu, insn, 1)?;
    let bits = width.bits();
    apply(cpu, insn, STATUS, |dest| {
        let (mut value, mut carry) = (triple(dest, source, bits), false);
        for _ in 0..count {
            carry = value >> (3 * bits - 1) & 1 == 1;
            value <<= 1;
        }
        let end = Shifter { value: operand::truncate((value >> (2 * bits)) as u32, width), carry };
        (end.value, shift_flags(end, msb(end.value, width) != msb(dest, width), count, width))
    })
}

/// SHRD. SDM Vol. 2B "SHRD": bits come in from the bottom of SRC; 16-bit counts above 16 as for SHLD.
pub fn shrd(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (width, count) = (insn.width(), count(cpu, insn, 2)?);
    let source = operand::read(cpu, insn, 1)?;
    apply(cpu, insn, STATUS, |dest| {
        let (mut value, mut carry) = (triple(dest, source, width.bits()), false);
        for _ in 0..count {
            carry = value & 1 == 1;
            value >>= 1;
        }
        let end = Shifter { value: operand::truncate(value as u32, width), carry };
        (end.value, shift_flags(end, msb(end.value, width) != msb(dest, width), count, width))
    })
}

/// DEST:SRC:DEST as one number.
fn triple(dest: u32, source: u32, bits: u32) -> u128 {
    let (dest, source) = (u128::from(dest), u128::from(source));
    dest << (2 * bits) | source << bits | dest
}
