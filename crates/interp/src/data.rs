//! Moves, extensions, exchanges, conditions.

use cpu::eflags::{AF, CF, FIXED, OF, PF, SF, ZF};
use cpu::{Cpu, Exception};
use isa::{Cond, Gpr, Reg, Width};

use crate::operand::{self, Place, accumulator, accumulator_high, advance, signed};
use crate::view::View;

/// The flags that LAHF and SAHF move.
const LOW_FLAGS: u32 = SF | ZF | AF | PF | CF;

/// AH.
const AH: Reg = Reg { gpr: Gpr::Eax, width: Width::B1, high: true };
/// AL.
const AL: Reg = Reg { gpr: Gpr::Eax, width: Width::B1, high: false };

/// MOV between general-purpose registers, memory and immediates. SDM Vol. 2B "MOV".
#[inline(always)]
pub fn mov(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let value = operand::read(cpu, insn, 1)?;
    operand::write(cpu, insn, 0, value)
}

/// MOVZX. SDM Vol. 2B "MOVZX".
#[inline(always)]
pub fn movzx(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let value = operand::read(cpu, insn, 1)?;
    operand::write(cpu, insn, 0, value)
}

/// MOVSX. SDM Vol. 2B "MOVSX": extends from the width of the source.
#[inline(always)]
pub fn movsx(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let place = Place::of(cpu, insn, 1)?;
    let value = place.load(cpu)?;
    let bits = match place {
        Place::Reg(reg) => reg.width.bits(),
        Place::Mem(_, _, size) => size.bits(),
    };
    let from = if bits == Width::B1.bits() { Width::B1 } else { Width::B2 };
    operand::write(cpu, insn, 0, signed(value, from) as u32)
}

/// LEA. SDM Vol. 2A "LEA": the effective address, cut or zero-extended to the operand size.
#[inline(always)]
pub fn lea(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (_, off) = operand::memory(cpu, insn, 1)?;
    operand::write(cpu, insn, 0, off)
}

/// XCHG. SDM Vol. 2D "XCHG": the register is written after the memory operand can no longer fault.
pub fn xchg(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (first, second) = (Place::of(cpu, insn, 0)?, Place::of(cpu, insn, 1)?);
    let (memory, register) = match second {
        Place::Mem(..) => (second, first),
        Place::Reg(_) => (first, second),
    };
    let old = memory.load_for_write(cpu)?;
    let new = register.load(cpu)?;
    memory.store(cpu, new)?;
    register.store(cpu, old)
}

/// BSWAP. SDM Vol. 2A "BSWAP"; the 16-bit form, which the manual leaves undefined, gives 0.
pub fn bswap(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let reg = operand::register(insn, 0)?;
    let [a, b, c, d] = cpu.gpr32(reg.gpr).to_le_bytes();
    let swapped = if insn.width() == Width::B4 { u32::from_le_bytes([d, c, b, a]) } else { 0 };
    cpu.set_reg(reg, swapped);
    Ok(())
}

/// XLAT. SDM Vol. 2D "XLAT/XLATB": AL := (DS:BX + ZeroExtend(AL)).
pub fn xlat(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let off = advance(cpu.gpr32(Gpr::Ebx), cpu.reg(AL), insn.addr_size());
    let value = cpu.load(insn.packed().string_seg(), off, Width::B1.access())?;
    cpu.set_reg(AL, value as u32);
    Ok(())
}

/// LAHF. SDM Vol. 2A "LAHF": AH := SF:ZF:0:AF:0:PF:1:CF.
pub fn lahf(cpu: &mut Cpu) {
    let flags = cpu.valid_eflags() & LOW_FLAGS | FIXED;
    cpu.set_reg(AH, flags);
}

/// SAHF. SDM Vol. 2B "SAHF".
pub fn sahf(cpu: &mut Cpu) {
    let flags = cpu.reg(AH);
    cpu.set_status(LOW_FLAGS, flags);
}

/// SALC (not in the manual): AL := 0 or FFH as CF is clear or set.
pub fn salc(cpu: &mut Cpu) {
    let carry = cpu.valid_eflags() & CF != 0;
    cpu.set_reg(AL, if carry { 0xff } else { 0 });
}

/// SETcc. SDM Vol. 2B "SETcc".
pub fn setcc(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let value = u32::from(condition(cpu, insn.cond()));
    operand::write(cpu, insn, 0, value)
}

/// CMOVcc. SDM Vol. 2A "CMOVcc": the source is read, and may fault, whatever the condition says.
pub fn cmovcc(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let temp = operand::read(cpu, insn, 1)?;
    if condition(cpu, insn.cond()) {
        operand::write(cpu, insn, 0, temp)?;
    }
    Ok(())
}

/// CBW, CWDE. SDM Vol. 2A "CBW/CWDE/CDQE".
pub fn cbw(cpu: &mut Cpu, insn: &impl View) {
    let half = if insn.width() == Width::B2 { Width::B1 } else { Width::B2 };
    let value = signed(cpu.reg(accumulator(half)), half);
    cpu.set_reg(accumulator(insn.width()), value as u32);
}

/// CWD, CDQ. SDM Vol. 2A "CWD/CDQ/CQO".
pub fn cwd(cpu: &mut Cpu, insn: &impl View) {
    let value = signed(cpu.reg(accumulator(insn.width())), insn.width());
    cpu.set_reg(accumulator_high(insn.width()), if value < 0 { u32::MAX } else { 0 });
}

/// Whether a condition holds (SDM Vol. 1 appendix B, table B-1).
#[inline]
pub fn condition(cpu: &Cpu, cond: Cond) -> bool {
    let flags = cpu.valid_eflags();
    let set = |flag| flags & flag != 0;
    match cond {
        Cond::O => set(OF),
        Cond::No => !set(OF),
        Cond::B => set(CF),
        Cond::Ae => !set(CF),
        Cond::E => set(ZF),
        Cond::Ne => !set(ZF),
        Cond::Be => set(CF) || set(ZF),
        Cond::A => !set(CF) && !set(ZF),
        Cond::S => set(SF),
        Cond::Ns => !set(SF),
        Cond::P => set(PF),
        Cond::Np => !set(PF),
        Cond::L => set(SF) != set(OF),
        Cond::Ge => set(SF) == set(OF),
        Cond::Le => set(ZF) || set(SF) != set(OF),
        Cond::G => !set(ZF) && set(SF) == set(OF),
    }
}
