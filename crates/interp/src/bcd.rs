//! Decimal adjustment. The flags that the manual leaves undefined: OF is 0; after AAA and AAS, SF, ZF and PF
//! follow AL; after AAM and AAD, CF and AF are 0.

use cpu::eflags::{AF, CF, STATUS};
use cpu::{Cpu, Exception};
use isa::{Gpr, Reg, Width};

use crate::operand::immediate;
use crate::status::{flag, of_result};
use crate::view::View;

const AL: Reg = Reg { gpr: Gpr::Eax, width: Width::B1, high: false };
const AH: Reg = Reg { gpr: Gpr::Eax, width: Width::B1, high: true };
const AX: Reg = Reg { gpr: Gpr::Eax, width: Width::B2, high: false };

/// Sets the flags by AL, with the given AF and CF.
fn set_flags(cpu: &mut Cpu, adjust: bool, carry: bool) {
    let flags = flag(adjust, AF) | flag(carry, CF) | of_result(cpu.reg(AL), Width::B1);
    cpu.set_status(STATUS, flags);
}

/// Whether the low digit of AL needs an adjustment.
fn low_digit(cpu: &mut Cpu) -> bool {
    cpu.reg(AL) & 0x0f > 9 || cpu.valid_eflags() & AF != 0
}

/// AAA. SDM Vol. 2A "AAA".
pub fn aaa(cpu: &mut Cpu) {
    let adjust = low_digit(cpu);
    if adjust {
        let ax = cpu.reg(AX).wrapping_add(0x106);
        cpu.set_reg(AX, ax);
    }
    let digit = cpu.reg(AL) & 0x0f;
    cpu.set_reg(AL, digit);
    set_flags(cpu, adjust, adjust);
}

/// AAS. SDM Vol. 2A "AAS".
pub fn aas(cpu: &mut Cpu) {
    let adjust = low_digit(cpu);
    if adjust {
        let ax = cpu.reg(AX).wrapping_sub(6);
        cpu.set_reg(AX, ax);
        let ah = cpu.reg(AH).wrapping_sub(1);
        cpu.set_reg(AH, ah);
    }
    let digit = cpu.reg(AL) & 0x0f;
    cpu.set_reg(AL, digit);
    set_flags(cpu, adjust, adjust);
}

/// AAM. SDM Vol. 2A "AAM".
///
/// # Errors
/// #DE for an immediate of 0.
pub fn aam(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (al, base) = (cpu.reg(AL), immediate(insn, 0) & 0xff);
    let tens = al.checked_div(base).ok_or(Exception::De)?;
    let units = al.checked_rem(base).ok_or(Exception::De)?;
    cpu.set_reg(AH, tens);
    cpu.set_reg(AL, units);
    set_flags(cpu, false, false);
    Ok(())
}

/// AAD. SDM Vol. 2A "AAD".
pub fn aad(cpu: &mut Cpu, insn: &impl View) {
    let base = immediate(insn, 0) & 0xff;
    let al = cpu.reg(AL).wrapping_add(cpu.reg(AH).wrapping_mul(base));
    cpu.set_reg(AX, al & 0xff);
    set_flags(cpu, false, false);
}

/// DAA. SDM Vol. 2A "DAA".
pub fn daa(cpu: &mut Cpu) {
    let (old_al, old_carry) = (cpu.reg(AL), cpu.valid_eflags() & CF != 0);
    let adjust = low_digit(cpu);
    if adjust {
        cpu.set_reg(AL, old_al.wrapping_add(6));
    }
    // The carry out of the first addition is covered by the second: AL was above 99H then.
    let carry = old_al > 0x99 || old_carry;
    if carry {
        let al = cpu.reg(AL).wrapping_add(0x60);
        cpu.set_reg(AL, al);
    }
    set_flags(cpu, adjust, carry);
}

/// DAS. SDM Vol. 2A "DAS".
pub fn das(cpu: &mut Cpu) {
    let (old_al, old_carry) = (cpu.reg(AL), cpu.valid_eflags() & CF != 0);
    let adjust = low_digit(cpu);
    let mut carry = false;
    if adjust {
        cpu.set_reg(AL, old_al.wrapping_sub(6));
        carry = old_carry || old_al < 6;
    }
    if old_al > 0x99 || old_carry {
        let al = cpu.reg(AL).wrapping_sub(0x60);
        cpu.set_reg(AL, al);
        carry = true;
    }
    set_flags(cpu, adjust, carry);
}
