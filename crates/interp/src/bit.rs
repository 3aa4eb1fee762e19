//! Bit tests and scans, and the instructions on CF and DF alone.

use cpu::eflags::{CF, DF, ZF};
use cpu::{Cpu, Exception};
use isa::{Operand, Width};

use crate::operand::{self, Place};
use crate::status::flag;
use crate::view::View;

/// BT. SDM Vol. 2A "BT": CF := Bit(BitBase, BitOffset).
pub fn bt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (place, bit) = bit_of(cpu, insn)?;
    let value = place.load(cpu)?;
    set_carry(cpu, value >> bit & 1 == 1);
    Ok(())
}

/// BTS. SDM Vol. 2A "BTS": CF gets the old bit, the bit is set.
pub fn bts(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    change(cpu, insn, |value, bit| value | 1 << bit)
}

/// BTR. SDM Vol. 2A "BTR": CF gets the old bit, the bit is cleared.
pub fn btr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    change(cpu, insn, |value, bit| value & !(1 << bit))
}

/// BTC. SDM Vol. 2A "BTC": CF gets the old bit, the bit is turned over.
pub fn btc(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    change(cpu, insn, |value, bit| value ^ 1 << bit)
}

fn change(cpu: &mut Cpu, insn: &impl View, new: fn(u32, u32) -> u32) -> Result<(), Exception> {
    let (place, bit) = bit_of(cpu, insn)?;
    let value = place.load_for_write(cpu)?;
    place.store(cpu, new(value, bit))?;
    set_carry(cpu, value >> bit & 1 == 1);
    Ok(())
}

/// The operand that holds the bit, and the bit's number in it (SDM Vol. 2A 3.1.1.9).
///
/// Only memory with a register offset reaches outside the operand named: the offset is signed, and counts
/// whole words or doublewords from the effective address.
fn bit_of(cpu: &mut Cpu, insn: &impl View) -> Result<(Place, u32), Exception> {
    let width = insn.width();
    let offset = operand::read(cpu, insn, 1)?;
    let bit = offset & (width.bits() - 1);
    let place = Place::of(cpu, insn, 0)?;
    match (place, insn.operand(1)) {
        (Place::Mem(seg, off, size), Operand::Reg(_)) => {
            let units = operand::signed(offset, width).div_euclid(i64::from(width.bits()));
            let delta = units.wrapping_mul(i64::from(width.bytes())) as u32;
            Ok((Place::Mem(seg, operand::advance(off, delta, insn.addr_size()), size), bit))
        }
        (Place::Mem(..) | Place::Reg(_), _) => Ok((place, bit)),
    }
}

fn set_carry(cpu: &mut Cpu, carry: bool) {
    cpu.set_status(CF, flag(carry, CF));
}

/// BSF. SDM Vol. 2A "BSF": the index of the lowest set bit. ZF alone changes; a source of 0 leaves the
/// destination as it was.
pub fn bsf(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    scan(cpu, insn, |source, width| (0..width.bits()).find(|bit| source >> bit & 1 == 1))
}

/// BSR. SDM Vol. 2A "BSR": the index of the highest set bit, else as BSF.
pub fn bsr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    scan(cpu, insn, |source, width| (0..width.bits()).rev().find(|bit| source >> bit & 1 == 1))
}

fn scan(cpu: &mut Cpu, insn: &impl View, search: fn(u32, Width) -> Option<u32>) -> Result<(), Exception> {
    let source = operand::read(cpu, insn, 1)?;
    let found = search(source, insn.width());
    if let Some(bit) = found {
        operand::write(cpu, insn, 0, bit)?;
    }
    cpu.set_status(ZF, flag(found.is_none(), ZF));
    Ok(())
}

/// CLC. SDM Vol. 2A "CLC".
pub fn clc(cpu: &mut Cpu) {
    set_carry(cpu, false);
}

/// STC. SDM Vol. 2B "STC".
pub fn stc(cpu: &mut Cpu) {
    set_carry(cpu, true);
}

/// CMC. SDM Vol. 2A "CMC".
pub fn cmc(cpu: &mut Cpu) {
    let carry = cpu.valid_eflags() & CF != 0;
    set_carry(cpu, !carry);
}

/// CLD. SDM Vol. 2A "CLD".
pub fn cld(cpu: &mut Cpu) {
    cpu.set_status(DF, 0);
}

/// STD. SDM Vol. 2B "STD".
pub fn std(cpu: &mut Cpu) {
    cpu.set_status(DF, DF);
}
