//! AND, OR, XOR, TEST, NOT. CF and OF are cleared; AF, which the manual leaves undefined, too.

use cpu::eflags::STATUS;
use cpu::{Cpu, Exception};

use crate::view::View;
use crate::{operand, status};

/// DEST := DEST and SRC. SDM Vol. 2A "AND".
#[inline(always)]
pub fn and(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    binary(cpu, insn, |first, second| first & second)
}

/// DEST := DEST or SRC. SDM Vol. 2B "OR".
#[inline(always)]
pub fn or(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    binary(cpu, insn, |first, second| first | second)
}

/// DEST := DEST xor SRC. SDM Vol. 2D "XOR".
#[inline(always)]
pub fn xor(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    binary(cpu, insn, |first, second| first ^ second)
}

#[inline(always)]
fn binary(cpu: &mut Cpu, insn: &impl View, operation: impl Fn(u32, u32) -> u32) -> Result<(), Exception> {
    let second = operand::read(cpu, insn, 1)?;
    let result = operand::modify(cpu, insn, |first| {
        let result = operation(first, second);
        (result, result)
    })?;
    cpu.set_status(STATUS, status::of_result(result, insn.width()));
    Ok(())
}

/// TEST. SDM Vol. 2B "TEST": the flags of AND, its result is dropped.
#[inline(always)]
pub fn test(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let first = operand::read(cpu, insn, 0)?;
    let second = operand::read(cpu, insn, 1)?;
    cpu.set_status(STATUS, status::of_result(first & second, insn.width()));
    Ok(())
}

/// NOT. SDM Vol. 2B "NOT": no flag changes.
#[inline(always)]
pub fn not(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    operand::modify(cpu, insn, |old| (!old, ()))
}
