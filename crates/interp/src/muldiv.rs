//! Multiplication and division.
//!
//! MUL and IMUL: CF and OF say that the upper half matters. SF, ZF and PF, which the manual leaves undefined,
//! follow the lower half of the product, AF is 0. DIV and IDIV leave every flag as it was.

use cpu::eflags::{CF, OF, STATUS};
use cpu::{Cpu, Exception};
use isa::{Operand, Width};

use crate::operand::{self, accumulator, accumulator_high, signed, truncate};
use crate::status;
use crate::view::View;

/// MUL. SDM Vol. 2B "MUL": CF and OF are clear when the upper half is 0.
pub fn mul(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let source = operand::read(cpu, insn, 0)?;
    let first = cpu.reg(accumulator(insn.width()));
    let product = u64::from(first) * u64::from(source);
    set_product(cpu, product, insn.width());
    set_flags(cpu, product as u32, product > insn.width().mask(), insn.width());
    Ok(())
}

/// IMUL with one operand. SDM Vol. 2A "IMUL": CF and OF are clear when the lower half, sign-extended, is the
/// product.
pub fn imul1(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let source = operand::read(cpu, insn, 0)?;
    let first = cpu.reg(accumulator(insn.width()));
    let product = signed(first, insn.width()) * signed(source, insn.width());
    set_product(cpu, product as u64, insn.width());
    set_flags(cpu, product as u32, product != signed(product as u32, insn.width()), insn.width());
    Ok(())
}

/// IMUL with two or three operands. SDM Vol. 2A "IMUL".
#[inline(always)]
pub fn imul(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let dest = operand::register(insn, 0)?;
    let (first, second) = match insn.operand(2) {
        Operand::None => (cpu.reg(dest), operand::read(cpu, insn, 1)?),
        Operand::Reg(_)
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => (operand::read(cpu, insn, 1)?, operand::read(cpu, insn, 2)?),
    };
    let product = signed(first, insn.width()) * signed(second, insn.width());
    cpu.set_reg(dest, product as u32);
    set_flags(cpu, product as u32, product != signed(product as u32, insn.width()), insn.width());
    Ok(())
}

/// AX, DX:AX or EDX:EAX := product.
fn set_product(cpu: &mut Cpu, product: u64, width: Width) {
    cpu.set_reg(accumulator(width), product as u32);
    cpu.set_reg(accumulator_high(width), (product >> width.bits()) as u32);
}

fn set_flags(cpu: &mut Cpu, low: u32, significant: bool, width: Width) {
    cpu.set_status(STATUS, status::flag(significant, CF | OF) | status::of_result(low, width));
}

/// AX, DX:AX or EDX:EAX.
fn dividend(cpu: &Cpu, width: Width) -> u64 {
    u64::from(cpu.reg(accumulator_high(width))) << width.bits() | u64::from(cpu.reg(accumulator(width)))
}

/// DIV. SDM Vol. 2A "DIV".
///
/// # Errors
/// Those of the source, then #DE for a divisor of 0 or a quotient that does not fit.
pub fn div(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let source = u64::from(operand::read(cpu, insn, 0)?);
    let dividend = dividend(cpu, insn.width());
    let quotient = dividend.checked_div(source).ok_or(Exception::De)?;
    let remainder = dividend.checked_rem(source).ok_or(Exception::De)?;
    if quotient > insn.width().mask() {
        return Err(Exception::De);
    }
    cpu.set_reg(accumulator(insn.width()), quotient as u32);
    cpu.set_reg(accumulator_high(insn.width()), remainder as u32);
    Ok(())
}

/// IDIV. SDM Vol. 2A "IDIV": the quotient is cut toward 0, the remainder has the dividend's sign.
///
/// # Errors
/// Those of the source, then #DE for a divisor of 0 or a quotient that does not fit.
pub fn idiv(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let width = insn.width();
    let source = signed(operand::read(cpu, insn, 0)?, width);
    let high = signed(cpu.reg(accumulator_high(width)), width);
    let dividend = high << width.bits() | i64::from(truncate(cpu.reg(accumulator(width)), width));
    let quotient = dividend.checked_div(source).ok_or(Exception::De)?;
    let remainder = dividend.checked_rem(source).ok_or(Exception::De)?;
    if quotient != signed(quotient as u32, width) {
        return Err(Exception::De);
    }
    cpu.set_reg(accumulator(width), quotient as u32);
    cpu.set_reg(accumulator_high(width), remainder as u32);
    Ok(())
}
