//! IN and OUT.

use cpu::{Cpu, Exception};

use crate::operand::{self, register};
use crate::view::View;

/// IN. SDM Vol. 2A "IN".
///
/// # Errors
/// #GP(0) when IOPL and the I/O permission bitmap forbid the port.
pub fn input(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let accumulator = register(insn, 0)?;
    let port = operand::read(cpu, insn, 1)? as u16;
    let value = cpu.port_in(port, accumulator.width.access())?;
    cpu.set_reg(accumulator, value);
    Ok(())
}

/// OUT. SDM Vol. 2B "OUT".
///
/// # Errors
/// As [`input`].
pub fn output(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let accumulator = register(insn, 1)?;
    let port = operand::read(cpu, insn, 0)? as u16;
    let value = cpu.reg(accumulator);
    cpu.port_out(port, accumulator.width.access(), value)
}
