//! IN and OUT.

use cranelift_codegen::ir::{InstBuilder, types};
use isa::{Gpr, Insn, Op, Operand, Reg, Width};

use crate::abi::{Helper, access};
use crate::translate::{Translator, clif_type, offset};
use crate::unit::SiteKind;

impl Translator<'_> {
    /// The port number is the immediate or DX; the helper makes the permission checks.
    pub(super) fn port(&mut self, insn: &Insn) {
        let (port, write) = if insn.op == Op::In { (1, 0) } else { (0, access::WRITE) };
        let number = match insn.operand(port) {
            Operand::Imm(number) => self.constant(types::I32, i64::from(number & 0xff)),
            _ => {
                let dx = self.reg(Reg { gpr: Gpr::Edx, width: Width::B2, high: false });
                self.b.ins().uextend(types::I32, dx)
            }
        };
        let accumulator = Reg { gpr: Gpr::Eax, width: insn.width, high: false };
        if write != 0 {
            let value = self.reg(accumulator);
            let value = self.b.ins().uextend(types::I64, value);
            self.store_state(value, offset::ACCESS_VALUE);
        }
        self.store_state(number, offset::ACCESS_LA);
        self.store_state_const(insn.width.bytes() | write, offset::ACCESS_META);
        self.store_exact_budget();
        self.call_helper(Helper::Port);
        self.leave_on_status(SiteKind::Helper);
        self.check_leave = true;
        if write == 0 {
            let value = self.load_state(clif_type(insn.width), offset::ACCESS_VALUE);
            self.set_reg(accumulator, value);
        }
    }
}
