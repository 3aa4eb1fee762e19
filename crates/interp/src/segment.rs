//! Segment registers and descriptors.

use cpu::eflags::ZF;
use cpu::{Cpu, Exception, Trap};
use isa::{Operand, SegReg};

use crate::branch::load_far;
use crate::operand::{self, MALFORMED, Place};
use crate::status::flag;
use crate::view::View;

/// The RPL field of a selector.
const RPL: u32 = 3;

/// MOV to or from a segment register. SDM Vol. 2B "MOV": a register destination is zero-extended to the
/// operand size. Loading SS inhibits interrupts until after the next instruction.
pub fn mov(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    if let Operand::Seg(seg) = insn.operand(0) {
        let selector = operand::read(cpu, insn, 1)? as u16;
        cpu.load_segment(seg, selector)?;
        if seg == SegReg::Ss {
            cpu.state.interrupt_shadow = true;
        }
        return Ok(());
    }
    let Operand::Seg(seg) = insn.operand(1) else { return Err(MALFORMED.into()) };
    let selector = cpu.state.segs[seg.index()].selector;
    Ok(operand::write(cpu, insn, 0, u32::from(selector))?)
}

/// LDS, LES, LFS, LGS, LSS. SDM Vol. 2A "LDS/LES/LFS/LGS/LSS".
///
/// # Errors
/// Those of the loads, then those of loading the segment register.
pub fn load_pointer(cpu: &mut Cpu, insn: &impl View, seg: SegReg) -> Result<(), Trap> {
    let (selector, offset) = load_far(cpu, insn, 1)?;
    cpu.load_segment(seg, selector)?;
    Ok(operand::write(cpu, insn, 0, offset)?)
}

/// LLDT. SDM Vol. 2A "LLDT".
///
/// # Errors
/// #UD in real mode, #GP(0) outside ring 0, those of the source, then those of `Cpu::lldt`.
pub fn lldt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let selector = table_selector(cpu, insn)?;
    cpu.lldt(selector)
}

/// LTR. SDM Vol. 2A "LTR".
///
/// # Errors
/// As [`lldt`], with `Cpu::ltr`.
pub fn ltr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let selector = table_selector(cpu, insn)?;
    cpu.ltr(selector)
}

fn table_selector(cpu: &mut Cpu, insn: &impl View) -> Result<u16, Exception> {
    cpu.check_protected()?;
    cpu.check_privileged()?;
    Ok(operand::read(cpu, insn, 0)? as u16)
}

/// SLDT. SDM Vol. 2B "SLDT".
///
/// # Errors
/// #UD in real mode, then those of the store.
pub fn sldt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.check_protected()?;
    let selector = cpu.state.ldtr.selector;
    operand::write(cpu, insn, 0, u32::from(selector))
}

/// STR. SDM Vol. 2B "STR".
///
/// # Errors
/// As [`sldt`].
pub fn str(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.check_protected()?;
    let selector = cpu.state.tr.selector;
    operand::write(cpu, insn, 0, u32::from(selector))
}

/// VERR. SDM Vol. 2C "VERR/VERW".
///
/// # Errors
/// #UD in real mode, those of the source, #PF on the table.
pub fn verr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let selector = selector(cpu, insn, 0)?;
    let readable = cpu.verr(selector)?;
    set_zero(cpu, readable);
    Ok(())
}

/// VERW.
///
/// # Errors
/// As [`verr`].
pub fn verw(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let selector = selector(cpu, insn, 0)?;
    let writable = cpu.verw(selector)?;
    set_zero(cpu, writable);
    Ok(())
}

/// LAR. SDM Vol. 2A "LAR": the destination stays when ZF is cleared.
///
/// # Errors
/// As [`verr`].
pub fn lar(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let selector = selector(cpu, insn, 1)?;
    let rights = cpu.lar(selector)?;
    write_if_valid(cpu, insn, rights)
}

/// LSL. SDM Vol. 2A "LSL": the destination stays when ZF is cleared.
///
/// # Errors
/// As [`verr`].
pub fn lsl(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let selector = selector(cpu, insn, 1)?;
    let limit = cpu.lsl(selector)?;
    write_if_valid(cpu, insn, limit)
}

fn write_if_valid(cpu: &mut Cpu, insn: &impl View, value: Option<u32>) -> Result<(), Trap> {
    if let Some(value) = value {
        operand::write(cpu, insn, 0, value)?;
    }
    set_zero(cpu, value.is_some());
    Ok(())
}

/// The selector in operand `n` of an instruction that real mode does not know.
fn selector(cpu: &mut Cpu, insn: &impl View, n: usize) -> Result<u16, Exception> {
    cpu.check_protected()?;
    Ok(operand::read(cpu, insn, n)? as u16)
}

fn set_zero(cpu: &mut Cpu, set: bool) {
    cpu.set_status(ZF, flag(set, ZF));
}

/// ARPL. SDM Vol. 2A "ARPL": raises the destination's RPL to the source's; ZF says whether it did.
///
/// # Errors
/// #UD in real mode, then those of a store.
pub fn arpl(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.check_protected()?;
    let source = operand::read(cpu, insn, 1)?;
    let place = Place::of(cpu, insn, 0)?;
    let dest = place.load_for_write(cpu)?;
    let raise = dest & RPL < source & RPL;
    if raise {
        place.store(cpu, dest & !RPL | source & RPL)?;
    }
    set_zero(cpu, raise);
    Ok(())
}
