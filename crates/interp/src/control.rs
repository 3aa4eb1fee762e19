//! System instructions: interrupt flag, HLT, control and debug registers, descriptor tables, caches, model
//! information, and what stands in for the missing floating-point unit.

use base::{AccessSize, LinearAddr};
use cpu::layout::TableReg;
use cpu::{Cpu, Exception, Trap, cr, eflags, leave};
use isa::{Gpr, Operand};

use crate::operand::{self, MALFORMED, advance};
use crate::view::View;

/// HLT. SDM Vol. 2A "HLT".
///
/// # Errors
/// #GP(0) outside ring 0.
pub fn hlt(cpu: &mut Cpu) -> Result<(), Exception> {
    cpu.check_privileged()?;
    cpu.state.halted = true;
    Ok(())
}

/// CLI. SDM Vol. 2A "CLI".
///
/// # Errors
/// #GP(0) in protected mode when CPL is above IOPL.
pub fn cli(cpu: &mut Cpu) -> Result<(), Exception> {
    check_interrupt_flag(cpu)?;
    set_interrupt_flag(cpu, 0);
    Ok(())
}

/// STI. SDM Vol. 2B "STI": interrupts stay inhibited until after the next instruction if IF was clear.
///
/// # Errors
/// As [`cli`].
pub fn sti(cpu: &mut Cpu) -> Result<(), Exception> {
    check_interrupt_flag(cpu)?;
    if set_interrupt_flag(cpu, eflags::IF) {
        cpu.state.interrupt_shadow = true;
    }
    Ok(())
}

fn check_interrupt_flag(cpu: &Cpu) -> Result<(), Exception> {
    if cpu.protected_mode() && cpu.state.cpl > cpu.iopl() { Err(Exception::Gp(0)) } else { Ok(()) }
}

/// Sets IF; whether it changed.
fn set_interrupt_flag(cpu: &mut Cpu, value: u32) -> bool {
    let changed = cpu.valid_eflags() & eflags::IF != value;
    cpu.set_status(eflags::IF, value);
    if changed {
        cpu.state.leave |= leave::MODE;
    }
    changed
}

/// MOV to or from a control register. SDM Vol. 2B "MOV—Move to/from Control Registers".
///
/// # Errors
/// Those of `Cpu::read_cr` and `Cpu::write_cr`.
pub fn mov_cr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    if let Operand::Cr(number) = insn.operand(0) {
        let value = operand::read(cpu, insn, 1)?;
        return cpu.write_cr(number, value);
    }
    let Operand::Cr(number) = insn.operand(1) else { return Err(MALFORMED.into()) };
    let value = cpu.read_cr(number)?;
    Ok(operand::write(cpu, insn, 0, value)?)
}

/// MOV to or from a debug register. SDM Vol. 2B "MOV—Move to/from Debug Registers".
///
/// # Errors
/// Those of `Cpu::read_dr` and `Cpu::write_dr`.
pub fn mov_dr(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    if let Operand::Dr(number) = insn.operand(0) {
        let value = operand::read(cpu, insn, 1)?;
        return cpu.write_dr(number, value);
    }
    let Operand::Dr(number) = insn.operand(1) else { return Err(MALFORMED.into()) };
    let value = cpu.read_dr(number)?;
    Ok(operand::write(cpu, insn, 0, value)?)
}

/// LGDT. SDM Vol. 2A "LGDT/LIDT".
///
/// # Errors
/// #GP(0) outside ring 0, then those of the loads.
pub fn lgdt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.state.gdtr = load_table(cpu, insn)?;
    Ok(())
}

/// LIDT.
///
/// # Errors
/// As [`lgdt`].
pub fn lidt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.state.idtr = load_table(cpu, insn)?;
    Ok(())
}

/// Limit and base in the memory operand; a 16-bit operand size takes 24 bits of the base.
fn load_table(cpu: &mut Cpu, insn: &impl View) -> Result<TableReg, Exception> {
    cpu.check_privileged()?;
    let (mem, off) = operand::memory(cpu, insn, 0)?;
    let limit = cpu.load(mem.seg, off, AccessSize::B2)? as u32;
    let base = cpu.load(mem.seg, advance(off, 2, insn.addr_size()), AccessSize::B4)?;
    let kept = if insn.op_size() == isa::Width::B2 { 0x00ff_ffff } else { 0xffff_ffff };
    Ok(TableReg { base: base & kept, limit, reserved: 0 })
}

/// SGDT. SDM Vol. 2B "SGDT": all 32 bits of the base, whatever the operand size; any ring.
///
/// # Errors
/// Those of the stores; nothing is stored then.
pub fn sgdt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let table = cpu.state.gdtr;
    store_table(cpu, insn, table)
}

/// SIDT. SDM Vol. 2B "SIDT": as [`sgdt`].
///
/// # Errors
/// As [`sgdt`].
pub fn sidt(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let table = cpu.state.idtr;
    store_table(cpu, insn, table)
}

fn store_table(cpu: &mut Cpu, insn: &impl View, table: TableReg) -> Result<(), Exception> {
    let (mem, off) = operand::memory(cpu, insn, 0)?;
    let above = advance(off, 2, insn.addr_size());
    cpu.probe_write(mem.seg, off, AccessSize::B2)?;
    cpu.probe_write(mem.seg, above, AccessSize::B4)?;
    cpu.store(mem.seg, off, AccessSize::B2, u64::from(table.limit & 0xffff))?;
    cpu.store(mem.seg, above, AccessSize::B4, table.base & 0xffff_ffff)
}

/// LMSW. SDM Vol. 2A "LMSW".
///
/// # Errors
/// #GP(0) outside ring 0, those of the source, then those of `Cpu::lmsw`.
pub fn lmsw(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    cpu.check_privileged()?;
    let value = operand::read(cpu, insn, 0)? as u16;
    cpu.lmsw(value)
}

/// SMSW. SDM Vol. 2B "SMSW": memory gets 16 bits, a 32-bit register all of CR0; any ring.
pub fn smsw(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let value = cpu.smsw();
    operand::write(cpu, insn, 0, value)
}

/// CLTS. SDM Vol. 2A "CLTS".
///
/// # Errors
/// #GP(0) outside ring 0.
pub fn clts(cpu: &mut Cpu) -> Result<(), Trap> {
    cpu.clts()
}

/// INVLPG. SDM Vol. 2A "INVLPG": the address is not checked.
///
/// # Errors
/// #GP(0) outside ring 0.
pub fn invlpg(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    cpu.check_privileged()?;
    let (mem, off) = operand::memory(cpu, insn, 0)?;
    let base = LinearAddr(cpu.state.segs[mem.seg.index()].base as u32);
    cpu.invlpg(base.wrapping_add(off));
    Ok(())
}

/// WBINVD and INVD. SDM Vol. 2D "WBINVD", Vol. 2A "INVD": there is no cache.
///
/// # Errors
/// #GP(0) outside ring 0.
pub fn flush_caches(cpu: &Cpu) -> Result<(), Exception> {
    cpu.check_privileged()
}

/// CPUID. SDM Vol. 2A "CPUID".
pub fn cpuid(cpu: &mut Cpu) {
    let values = cpu.cpuid(cpu.gpr32(Gpr::Eax), cpu.gpr32(Gpr::Ecx));
    for (gpr, value) in [Gpr::Eax, Gpr::Ebx, Gpr::Ecx, Gpr::Edx].into_iter().zip(values) {
        cpu.set_gpr32(gpr, value);
    }
}

/// RDTSC. SDM Vol. 2B "RDTSC".
///
/// # Errors
/// #GP(0) outside ring 0 while CR4.TSD is set.
pub fn rdtsc(cpu: &mut Cpu) -> Result<(), Exception> {
    let value = cpu.rdtsc()?;
    set_edx_eax(cpu, value);
    Ok(())
}

/// RDMSR. SDM Vol. 2B "RDMSR".
///
/// # Errors
/// #GP(0) outside ring 0 and for an unknown register.
pub fn rdmsr(cpu: &mut Cpu) -> Result<(), Exception> {
    let value = cpu.rdmsr(cpu.gpr32(Gpr::Ecx))?;
    set_edx_eax(cpu, value);
    Ok(())
}

/// WRMSR. SDM Vol. 2D "WRMSR".
///
/// # Errors
/// #GP(0) outside ring 0 and for an unknown register or reserved bits.
pub fn wrmsr(cpu: &mut Cpu) -> Result<(), Exception> {
    let value = u64::from(cpu.gpr32(Gpr::Edx)) << 32 | u64::from(cpu.gpr32(Gpr::Eax));
    cpu.wrmsr(cpu.gpr32(Gpr::Ecx), value)
}

/// RDPMC. SDM Vol. 2B "RDPMC": no counter exists, so that no number of one is valid.
///
/// # Errors
/// #GP(0) always.
pub fn rdpmc() -> Result<(), Exception> {
    Err(Exception::Gp(0))
}

fn set_edx_eax(cpu: &mut Cpu, value: u64) {
    cpu.set_gpr32(Gpr::Eax, value as u32);
    cpu.set_gpr32(Gpr::Edx, (value >> 32) as u32);
}

/// The floating-point instructions and WAIT, on a processor without floating-point unit
/// (SDM Vol. 3A table 2-2, Vol. 2D "WAIT/FWAIT").
///
/// WAIT is the one without an opcode in operand 1.
///
/// # Errors
/// #NM as CR0 says; floating-point instructions else #UD.
pub fn fpu(cpu: &Cpu, insn: &impl View) -> Result<(), Exception> {
    let set = |bit| cpu.state.cr0 & bit != 0;
    if insn.operand(1) == Operand::None {
        return if set(cr::CR0_MP) && set(cr::CR0_TS) { Err(Exception::Nm) } else { Ok(()) };
    }
    if set(cr::CR0_EM) || set(cr::CR0_TS) { Err(Exception::Nm) } else { Err(Exception::Ud) }
}
