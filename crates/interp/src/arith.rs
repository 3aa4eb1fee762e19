//! Addition, subtraction, comparison, exchange-and-add.

use base::AccessSize;
use cpu::eflags::{CF, STATUS, ZF};
use cpu::{Cpu, Exception};
use isa::{Gpr, Width};

use crate::operand::{self, Place, accumulator};
use crate::status;
use crate::view::View;

/// ADD. SDM Vol. 2A "ADD": DEST := DEST + SRC.
#[inline(always)]
pub fn add(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let second = operand::read(cpu, insn, 1)?;
    let flags = operand::modify(cpu, insn, |first| status::add(first, second, false, insn.width()))?;
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// ADC. SDM Vol. 2A "ADC": DEST := DEST + SRC + CF.
#[inline(always)]
pub fn adc(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let carry = cpu.valid_eflags() & CF != 0;
    let second = operand::read(cpu, insn, 1)?;
    let flags = operand::modify(cpu, insn, |first| status::add(first, second, carry, insn.width()))?;
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// SUB. SDM Vol. 2B "SUB": DEST := DEST - SRC.
#[inline(always)]
pub fn sub(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let second = operand::read(cpu, insn, 1)?;
    let flags = operand::modify(cpu, insn, |first| status::sub(first, second, false, insn.width()))?;
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// SBB. SDM Vol. 2B "SBB": DEST := DEST - (SRC + CF).
#[inline(always)]
pub fn sbb(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let borrow = cpu.valid_eflags() & CF != 0;
    let second = operand::read(cpu, insn, 1)?;
    let flags = operand::modify(cpu, insn, |first| status::sub(first, second, borrow, insn.width()))?;
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// CMP. SDM Vol. 2A "CMP": the flags of a subtraction, its result is dropped.
#[inline(always)]
pub fn cmp(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let first = operand::read(cpu, insn, 0)?;
    let second = operand::read(cpu, insn, 1)?;
    let (_, flags) = status::sub(first, second, false, insn.width());
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// INC. SDM Vol. 2A "INC": as ADD of 1, but CF stays.
#[inline(always)]
pub fn inc(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let flags = operand::modify(cpu, insn, |first| status::add(first, 1, false, insn.width()))?;
    cpu.set_status(STATUS & !CF, flags);
    Ok(())
}

/// DEC. SDM Vol. 2A "DEC": as SUB of 1, but CF stays.
#[inline(always)]
pub fn dec(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let flags = operand::modify(cpu, insn, |first| status::sub(first, 1, false, insn.width()))?;
    cpu.set_status(STATUS & !CF, flags);
    Ok(())
}

/// NEG. SDM Vol. 2B "NEG": CF is clear only for 0; the other flags by the result of 0 - DEST.
#[inline(always)]
pub fn neg(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let flags = operand::modify(cpu, insn, |old| status::sub(0, old, false, insn.width()))?;
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// XADD. SDM Vol. 2D "XADD": TEMP := SRC + DEST; SRC := DEST; DEST := TEMP.
pub fn xadd(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let source = operand::register(insn, 1)?;
    let dest = Place::of(cpu, insn, 0)?;
    let old = dest.load_for_write(cpu)?;
    let (sum, flags) = status::add(cpu.reg(source), old, false, insn.width());
    match dest {
        // One register may be both; the sum is written last.
        Place::Reg(reg) => {
            cpu.set_reg(source, old);
            cpu.set_reg(reg, sum);
        }
        Place::Mem(..) => {
            dest.store(cpu, sum)?;
            cpu.set_reg(source, old);
        }
    }
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// CMPXCHG. SDM Vol. 2A "CMPXCHG": the destination is written in either case.
pub fn cmpxchg(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let accumulator = accumulator(insn.width());
    let source = operand::read(cpu, insn, 1)?;
    let dest = Place::of(cpu, insn, 0)?;
    let temp = dest.load_for_write(cpu)?;
    let (_, flags) = status::sub(cpu.reg(accumulator), temp, false, insn.width());
    if cpu.reg(accumulator) == temp {
        dest.store(cpu, source)?;
    } else {
        dest.store(cpu, temp)?;
        cpu.set_reg(accumulator, temp);
    }
    cpu.set_status(STATUS, flags);
    Ok(())
}

/// CMPXCHG8B. SDM Vol. 2A "CMPXCHG8B/CMPXCHG16B": only ZF changes.
pub fn cmpxchg8b(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (mem, off) = operand::memory(cpu, insn, 0)?;
    let temp = cpu.load_for_write(mem.seg, off, AccessSize::B8)?;
    let expected = pair(cpu, Gpr::Edx, Gpr::Eax);
    if expected == temp {
        let new = pair(cpu, Gpr::Ecx, Gpr::Ebx);
        cpu.store(mem.seg, off, AccessSize::B8, new)?;
        cpu.set_status(ZF, ZF);
    } else {
        cpu.store(mem.seg, off, AccessSize::B8, temp)?;
        cpu.set_gpr32(Gpr::Eax, temp as u32);
        cpu.set_gpr32(Gpr::Edx, (temp >> Width::B4.bits()) as u32);
        cpu.set_status(ZF, 0);
    }
    Ok(())
}

/// The 64-bit value of a register pair.
fn pair(cpu: &Cpu, high: Gpr, low: Gpr) -> u64 {
    u64::from(cpu.gpr32(high)) << Width::B4.bits() | u64::from(cpu.gpr32(low))
}
