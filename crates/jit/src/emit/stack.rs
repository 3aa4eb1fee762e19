//! PUSH, POP, LEAVE with 32-bit operands on a 32-bit stack.

use cranelift_codegen::ir::{Value, types};
use isa::{Gpr, Insn, Operand};

use crate::translate::Translator;

impl Translator<'_> {
    /// Pushes a 32-bit value; ESP changes after the store can no longer fault.
    pub(crate) fn push_value(&mut self, value: Value) {
        let esp = self.gpr(Gpr::Esp);
        let top = self.add_const(esp, -4);
        let address = self.stack_address(top);
        self.store(address, value);
        self.set_gpr(Gpr::Esp, top);
    }

    pub(super) fn push(&mut self, insn: &Insn) {
        let value = match insn.operand(0) {
            Operand::Imm(value) => self.constant(types::I32, i64::from(value)),
            _ => self.read(insn, 0),
        };
        self.push_value(value);
    }

    /// POP to a register: ESP is written first, so that POP ESP leaves the popped value.
    pub(super) fn pop(&mut self, insn: &Insn) {
        let esp = self.gpr(Gpr::Esp);
        let address = self.stack_address(esp);
        let value = self.load(address, types::I32);
        let above = self.add_const(esp, 4);
        self.set_gpr(Gpr::Esp, above);
        self.write(insn, 0, value);
    }

    pub(super) fn leave(&mut self) {
        let ebp = self.gpr(Gpr::Ebp);
        let mut address = self.stack_address(ebp);
        address.window = Gpr::Ebp as u32;
        let value = self.load(address, types::I32);
        let above = self.add_const(ebp, 4);
        self.set_gpr(Gpr::Esp, above);
        self.set_gpr(Gpr::Ebp, value);
    }
}
