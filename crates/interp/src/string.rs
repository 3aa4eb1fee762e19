//! String instructions and their repetition (SDM Vol. 2B "REP/REPE/REPZ/REPNE/REPNZ").
//!
//! These functions set EIP: it stays at the instruction while elements are left. A fault leaves the registers
//! as they were after the last element that completed.

use base::AccessSize;
use cpu::eflags::{DF, STATUS, TF, ZF};
use cpu::{Cpu, Exception, REP_CHUNK, leave};
use isa::{Gpr, Reg, Rep, SegReg, Width};

use crate::operand::{accumulator, advance};
use crate::packed::Packed;
use crate::status;
use crate::view::View;

/// Does one element, index registers included.
type Element = fn(&mut Cpu, &Packed) -> Result<(), Exception>;

/// What ends a repetition besides the count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing.
    Count,
    /// ZF, as the prefix says.
    CountOrZero,
}

/// MOVS. SDM Vol. 2B "MOVS/MOVSB/MOVSW/MOVSD".
pub fn movs(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::Count, |cpu, insn| {
        let value = load_source(cpu, insn)?;
        store_destination(cpu, insn, value)?;
        step(cpu, insn, Gpr::Esi);
        step(cpu, insn, Gpr::Edi);
        Ok(())
    })
}

/// CMPS. SDM Vol. 2A "CMPS/CMPSB/CMPSW/CMPSD": the flags of source - destination.
pub fn cmps(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::CountOrZero, |cpu, insn| {
        let first = load_source(cpu, insn)?;
        let second = load_destination(cpu, insn)?;
        step(cpu, insn, Gpr::Esi);
        step(cpu, insn, Gpr::Edi);
        compare(cpu, first, second, insn.width());
        Ok(())
    })
}

/// SCAS. SDM Vol. 2B "SCAS/SCASB/SCASW/SCASD": the flags of accumulator - destination.
pub fn scas(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::CountOrZero, |cpu, insn| {
        let first = cpu.reg(accumulator(insn.width()));
        let second = load_destination(cpu, insn)?;
        step(cpu, insn, Gpr::Edi);
        compare(cpu, first, second, insn.width());
        Ok(())
    })
}

/// LODS. SDM Vol. 2A "LODS/LODSB/LODSW/LODSD".
pub fn lods(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::Count, |cpu, insn| {
        let value = load_source(cpu, insn)?;
        cpu.set_reg(accumulator(insn.width()), value);
        step(cpu, insn, Gpr::Esi);
        Ok(())
    })
}

/// STOS. SDM Vol. 2B "STOS/STOSB/STOSW/STOSD".
pub fn stos(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::Count, |cpu, insn| {
        let value = cpu.reg(accumulator(insn.width()));
        store_destination(cpu, insn, value)?;
        step(cpu, insn, Gpr::Edi);
        Ok(())
    })
}

/// INS. SDM Vol. 2A "INS/INSB/INSW/INSD".
///
/// The port is checked first, then the destination; the port is read only when neither can fault.
pub fn ins(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::Count, |cpu, insn| {
        let (port, size) = (port(cpu), size(insn));
        cpu.check_port(port, size)?;
        let off = index(cpu, insn, Gpr::Edi);
        cpu.probe_write(SegReg::Es, off, size)?;
        let value = cpu.port_in(port, size)?;
        store_destination(cpu, insn, value)?;
        step(cpu, insn, Gpr::Edi);
        Ok(())
    })
}

/// OUTS. SDM Vol. 2B "OUTS/OUTSB/OUTSW/OUTSD": the port is checked before the source is read.
pub fn outs(cpu: &mut Cpu, insn: &Packed, next: u32) -> Result<(), Exception> {
    repeat(cpu, insn, next, End::Count, |cpu, insn| {
        let (port, size) = (port(cpu), size(insn));
        cpu.check_port(port, size)?;
        let value = load_source(cpu, insn)?;
        cpu.port_out(port, size, value)?;
        step(cpu, insn, Gpr::Esi);
        Ok(())
    })
}

/// Does one element, or as many as the prefix and the counter say, [`REP_CHUNK`] at most.
///
/// Stops early after an element that made the run loop wanted, and after each element while TF is set, since a
/// repetition single-steps by element (SDM Vol. 3A 17.3.1.4).
fn repeat(cpu: &mut Cpu, insn: &Packed, next: u32, end: End, element: Element) -> Result<(), Exception> {
    if insn.rep() == Rep::None {
        element(cpu, insn)?;
        cpu.state.eip = next;
        return Ok(());
    }
    let counter = Reg { gpr: Gpr::Ecx, width: insn.addr_size(), high: false };
    let chunk = if cpu.valid_eflags() & TF != 0 { 1 } else { REP_CHUNK };
    for _ in 0..chunk {
        if cpu.reg(counter) == 0 {
            cpu.state.eip = next;
            return Ok(());
        }
        element(cpu, insn)?;
        let left = cpu.reg(counter).wrapping_sub(1);
        cpu.set_reg(counter, left);
        if left == 0 || end == End::CountOrZero && zero_flag_ends(cpu, insn.rep()) {
            cpu.state.eip = next;
            return Ok(());
        }
        // A store to translated code may wait for the end: it must not end the instruction in one executor only.
        if cpu.state.leave & (leave::MAP | leave::DEVICE) != 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// REPE ends when ZF is clear, REPNE when it is set.
fn zero_flag_ends(cpu: &mut Cpu, rep: Rep) -> bool {
    let zero = cpu.valid_eflags() & ZF != 0;
    match rep {
        Rep::None => true,
        Rep::Repe => !zero,
        Rep::Repne => zero,
    }
}

fn size(insn: &Packed) -> AccessSize {
    insn.width().access()
}

/// DX.
fn port(cpu: &Cpu) -> u16 {
    cpu.gpr32(Gpr::Edx) as u16
}

/// SI, DI, ESI or EDI.
fn index(cpu: &Cpu, insn: &Packed, gpr: Gpr) -> u32 {
    cpu.reg(Reg { gpr, width: insn.addr_size(), high: false })
}

/// Moves an index register by one element, down when DF is set.
fn step(cpu: &mut Cpu, insn: &Packed, gpr: Gpr) {
    let bytes = insn.width().bytes();
    let delta = if cpu.valid_eflags() & DF == 0 { bytes } else { bytes.wrapping_neg() };
    let off = advance(index(cpu, insn, gpr), delta, insn.addr_size());
    cpu.set_reg(Reg { gpr, width: insn.addr_size(), high: false }, off);
}

/// The element at DS:(E)SI, whose segment can be overridden.
fn load_source(cpu: &mut Cpu, insn: &Packed) -> Result<u32, Exception> {
    let off = index(cpu, insn, Gpr::Esi);
    Ok(cpu.load(insn.string_seg(), off, size(insn))? as u32)
}

/// The element at ES:(E)DI, whose segment cannot be overridden.
fn load_destination(cpu: &mut Cpu, insn: &Packed) -> Result<u32, Exception> {
    let off = index(cpu, insn, Gpr::Edi);
    Ok(cpu.load(SegReg::Es, off, size(insn))? as u32)
}

fn store_destination(cpu: &mut Cpu, insn: &Packed, value: u32) -> Result<(), Exception> {
    let off = index(cpu, insn, Gpr::Edi);
    cpu.store(SegReg::Es, off, size(insn), u64::from(value))
}

fn compare(cpu: &mut Cpu, first: u32, second: u32, width: Width) {
    let (_, flags) = status::sub(first, second, false, width);
    cpu.set_status(STATUS, flags);
}
