//! AND, OR, XOR, TEST, NOT.

use cranelift_codegen::ir::{InstBuilder, Value};
use isa::{Insn, Op, Operand};

use crate::translate::{Translator, clif_type};

impl Translator<'_> {
    pub(super) fn logic(&mut self, insn: &Insn) {
        let ty = clif_type(insn.width);
        if insn.op == Op::Xor
            && matches!(insn.operand(0), Operand::Reg(_))
            && insn.operand(0) == insn.operand(1)
        {
            let zero = self.constant(ty, 0);
            self.write(insn, 0, zero);
            return self.set_logic(ty, zero);
        }
        let second = self.read(insn, 1);
        if insn.op == Op::Test {
            let first = self.read(insn, 0);
            let result = if first == second { first } else { self.b.ins().band(first, second) };
            return self.set_logic(ty, result);
        }
        let mut result = None;
        self.modify(insn, |t, first| {
            let value: Value = match insn.op {
                Op::And => t.b.ins().band(first, second),
                Op::Or => t.b.ins().bor(first, second),
                _ => t.b.ins().bxor(first, second),
            };
            result = Some(value);
            value
        });
        if let Some(result) = result {
            self.set_logic(ty, result);
        }
    }

    pub(super) fn not(&mut self, insn: &Insn) {
        self.modify(insn, |t, old| t.b.ins().bnot(old));
    }
}
