//! iced's registers as ours, by table: this is on the path of every operand.

use iced_x86::Register;

use crate::insn::{Gpr, Operand, Reg, SegReg, Width};

/// Past the last of iced's registers, whose numbers fit a byte.
const COUNT: usize = 256;

/// Operands by iced's number of the register; `Operand::None` where ours has none.
static OPERANDS: [Operand; COUNT] = operands();

/// A register as an operand.
pub fn operand(register: Register) -> Operand {
    OPERANDS[register as usize]
}

/// A register as part of an address.
pub fn gpr(register: Register) -> Option<Gpr> {
    match operand(register) {
        Operand::Reg(reg) => Some(reg.gpr),
        _ => None,
    }
}

/// A segment register.
pub fn segment(register: Register) -> Option<SegReg> {
    match operand(register) {
        Operand::Seg(segment) => Some(segment),
        _ => None,
    }
}

/// iced numbers the registers of each kind in the order of their encoding.
const fn operands() -> [Operand; COUNT] {
    let mut table = [Operand::None; COUNT];
    let mut n = 0;
    while n < 8 {
        let gpr = Gpr::ALL[n];
        let byte = Reg { gpr: Gpr::ALL[n % 4], width: Width::B1, high: n >= 4 };
        table[Register::AL as usize + n] = Operand::Reg(byte);
        table[Register::AX as usize + n] = Operand::Reg(Reg { gpr, width: Width::B2, high: false });
        table[Register::EAX as usize + n] = Operand::Reg(Reg { gpr, width: Width::B4, high: false });
        if n < SegReg::ALL.len() {
            table[Register::ES as usize + n] = Operand::Seg(SegReg::ALL[n]);
        }
        table[Register::CR0 as usize + n] = Operand::Cr(n as u8);
        table[Register::DR0 as usize + n] = Operand::Dr(n as u8);
        n += 1;
    }
    table
}
