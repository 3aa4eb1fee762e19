//! Branches, near and far, software interrupts, BOUND.
//!
//! These functions set EIP. Near targets are cut to the operand size and checked against the limit of CS
//! before anything changes.

use cpu::eflags::{OF, ZF};
use cpu::{Cpu, Exception, SoftwareInterrupt, Trap};
use isa::{Gpr, Operand, Reg, SegReg, Width};

use crate::data::condition;
use crate::operand::{self, MALFORMED, advance, immediate, signed, truncate};
use crate::stack;
use crate::view::View;

/// A near target, cut to the operand size and inside the code segment.
///
/// # Errors
/// #GP(0).
#[inline]
fn checked(cpu: &Cpu, insn: &impl View, target: u32) -> Result<u32, Exception> {
    let eip = truncate(target, insn.op_size());
    if eip > cpu.state.segs[SegReg::Cs.index()].limit { Err(Exception::Gp(0)) } else { Ok(eip) }
}

/// The target that operand 0 names or holds, checked.
#[inline(always)]
fn target(cpu: &mut Cpu, insn: &impl View) -> Result<u32, Exception> {
    let target = match insn.operand(0) {
        Operand::Target(target) => target,
        Operand::None
        | Operand::Reg(_)
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Far { .. } => operand::read(cpu, insn, 0)?,
    };
    checked(cpu, insn, target)
}

/// Goes to the target of operand 0 if `taken`, else to `next`.
#[inline]
fn branch(cpu: &mut Cpu, insn: &impl View, next: u32, taken: bool) -> Result<(), Exception> {
    cpu.state.eip = if taken { target(cpu, insn)? } else { next };
    Ok(())
}

/// Near JMP. SDM Vol. 2A "JMP".
#[inline(always)]
pub fn jmp(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.state.eip = target(cpu, insn)?;
    Ok(())
}

/// Jcc. SDM Vol. 2A "Jcc".
#[inline(always)]
pub fn jcc(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Exception> {
    let taken = condition(cpu, insn.cond());
    branch(cpu, insn, next, taken)
}

/// Near CALL. SDM Vol. 2A "CALL": the target is read and checked before the return address is pushed.
#[inline(always)]
pub fn call(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Exception> {
    let target = target(cpu, insn)?;
    stack::push_value(cpu, insn.op_size(), next)?;
    cpu.state.eip = target;
    Ok(())
}

/// Near RET. SDM Vol. 2B "RET".
#[inline(always)]
pub fn ret(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let release = immediate(insn, 0) & 0xffff;
    let (target, top) = stack::return_address(cpu, insn.op_size(), release)?;
    let target = checked(cpu, insn, target)?;
    stack::set_pointer(cpu, top);
    cpu.state.eip = target;
    Ok(())
}

/// CX or ECX.
fn counter(insn: &impl View) -> Reg {
    Reg { gpr: Gpr::Ecx, width: insn.addr_size(), high: false }
}

/// LOOP. SDM Vol. 2A "LOOP/LOOPcc": no flag changes.
pub fn loop_(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Exception> {
    count_down(cpu, insn, next, true)
}

/// LOOPE: also ends when ZF is clear.
pub fn loope(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Exception> {
    let zero = cpu.valid_eflags() & ZF != 0;
    count_down(cpu, insn, next, zero)
}

/// LOOPNE: also ends when ZF is set.
pub fn loopne(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Exception> {
    let zero = cpu.valid_eflags() & ZF != 0;
    count_down(cpu, insn, next, !zero)
}

fn count_down(cpu: &mut Cpu, insn: &impl View, next: u32, more: bool) -> Result<(), Exception> {
    let counter = counter(insn);
    let count = truncate(cpu.reg(counter).wrapping_sub(1), insn.addr_size());
    branch(cpu, insn, next, more && count != 0)?;
    cpu.set_reg(counter, count);
    Ok(())
}

/// JCXZ, JECXZ. SDM Vol. 2A "Jcc".
pub fn jcxz(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Exception> {
    let taken = cpu.reg(counter(insn)) == 0;
    branch(cpu, insn, next, taken)
}

/// The far pointer that operand 0 is or refers to: selector, offset.
fn far_pointer(cpu: &mut Cpu, insn: &impl View) -> Result<(u16, u32), Exception> {
    match insn.operand(0) {
        Operand::Far { selector, offset } => Ok((selector, offset)),
        Operand::Mem(_) => load_far(cpu, insn, 0),
        Operand::None
        | Operand::Reg(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_) => Err(MALFORMED),
    }
}

/// The far pointer in the memory operand `n`: an offset of the operand size, then the selector.
///
/// # Errors
/// Those of the loads.
pub fn load_far(cpu: &mut Cpu, insn: &impl View, n: usize) -> Result<(u16, u32), Exception> {
    let (mem, off) = operand::memory(cpu, insn, n)?;
    let offset = cpu.load(mem.seg, off, insn.op_size().access())? as u32;
    let above = advance(off, insn.op_size().bytes(), insn.addr_size());
    let selector = cpu.load(mem.seg, above, Width::B2.access())? as u16;
    Ok((selector, offset))
}

/// Far JMP. SDM Vol. 2A "JMP".
pub fn jmp_far(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let (selector, offset) = far_pointer(cpu, insn)?;
    cpu.far_jump(selector, offset, insn.op_size())
}

/// Far CALL. SDM Vol. 2A "CALL".
pub fn call_far(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Trap> {
    let (selector, offset) = far_pointer(cpu, insn)?;
    cpu.far_call(selector, offset, insn.op_size(), next)
}

/// Far RET. SDM Vol. 2B "RET".
pub fn ret_far(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    cpu.far_ret(immediate(insn, 0) as u16, insn.op_size())
}

/// IRET, IRETD. SDM Vol. 2A "IRET/IRETD/IRETQ".
pub fn iret(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    cpu.iret(insn.op_size())
}

/// INT n. SDM Vol. 2A "INT n/INTO/INT3/INT1".
pub fn int(cpu: &mut Cpu, insn: &impl View, next: u32) -> Result<(), Trap> {
    cpu.software_interrupt(immediate(insn, 0) as u8, SoftwareInterrupt::Int, next)
}

/// INT1.
pub fn int1(cpu: &mut Cpu, next: u32) -> Result<(), Trap> {
    cpu.software_interrupt(Exception::Db.vector(), SoftwareInterrupt::Int1, next)
}

/// INT3.
pub fn int3(cpu: &mut Cpu, next: u32) -> Result<(), Trap> {
    cpu.software_interrupt(Exception::Bp.vector(), SoftwareInterrupt::Int3, next)
}

/// INTO: an interrupt only when OF is set.
pub fn into(cpu: &mut Cpu, next: u32) -> Result<(), Trap> {
    if cpu.valid_eflags() & OF != 0 {
        return cpu.software_interrupt(Exception::Of.vector(), SoftwareInterrupt::Into, next);
    }
    cpu.state.eip = next;
    Ok(())
}

/// BOUND. SDM Vol. 2A "BOUND".
///
/// # Errors
/// Those of the load, then #BR when the signed index lies outside the two bounds.
pub fn bound(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let index = signed(cpu.reg(operand::register(insn, 0)?), insn.width());
    let (mem, off) = operand::memory(cpu, insn, 1)?;
    let size = if insn.width() == Width::B2 { Width::B4 } else { Width::B8 };
    let bounds = cpu.load(mem.seg, off, size.access())?;
    let lower = signed(bounds as u32, insn.width());
    let upper = signed((bounds >> insn.width().bits()) as u32, insn.width());
    if index < lower || index > upper { Err(Exception::Br) } else { Ok(()) }
}
