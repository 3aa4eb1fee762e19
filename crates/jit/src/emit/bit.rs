//! Bit tests and scans, and the instructions on CF and DF alone.

use cpu::eflags::{CF, DF, ZF};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use isa::{Insn, Op, Operand};

use crate::flagstate::Bits;
use crate::translate::{Translator, clif_type, offset};

impl Translator<'_> {
    /// BT and friends with a register operand, or memory and an immediate: the offset wraps at the width.
    pub(super) fn bit_test(&mut self, insn: &Insn) {
        let ty = clif_type(insn.width);
        let mask = i64::from(insn.width.bits()) - 1;
        let index = match insn.operand(1) {
            Operand::Imm(index) => self.constant(ty, i64::from(index) & mask),
            _ => {
                let index = self.read(insn, 1);
                self.b.ins().band_imm_u(index, mask)
            }
        };
        if insn.op == Op::Bt {
            let value = self.read(insn, 0);
            return self.bit_to_carry(value, index);
        }
        let one = self.constant(ty, 1);
        let bit = self.b.ins().ishl(one, index);
        let mut old = None;
        self.modify(insn, |t, value| {
            old = Some(value);
            match insn.op {
                Op::Bts => t.b.ins().bor(value, bit),
                Op::Btr => t.b.ins().band_not(value, bit),
                _ => t.b.ins().bxor(value, bit),
            }
        });
        if let Some(old) = old {
            self.bit_to_carry(old, index);
        }
    }

    fn bit_to_carry(&mut self, value: Value, index: Value) {
        let shifted = self.b.ins().ushr(value, index);
        let bit = self.b.ins().band_imm_u(shifted, 1);
        let bit = self.widen(bit, types::I32, false);
        self.replace_flags(CF, Bits::Word(bit));
    }

    /// BSF and BSR: a source of 0 leaves the destination alone.
    pub(super) fn bit_scan(&mut self, insn: &Insn) {
        let ty = clif_type(insn.width);
        let source = self.read(insn, 1);
        let old = self.read(insn, 0);
        let found = if insn.op == Op::Bsf {
            self.b.ins().ctz(source)
        } else {
            let zeros = self.b.ins().clz(source);
            let top = self.constant(ty, i64::from(insn.width.bits()) - 1);
            self.b.ins().isub(top, zeros)
        };
        let zero = self.b.ins().icmp_imm_s(IntCC::Equal, source, 0);
        let value = self.b.ins().select(zero, old, found);
        self.write(insn, 0, value);
        let bit = self.b.ins().uextend(types::I32, zero);
        let bit = self.b.ins().ishl_imm_u(bit, i64::from(ZF.trailing_zeros()));
        self.replace_flags(ZF, Bits::Word(bit));
    }

    pub(super) fn carry_op(&mut self, insn: &Insn) {
        let bit = match insn.op {
            Op::Clc => self.constant(types::I32, 0),
            Op::Stc => self.constant(types::I32, i64::from(CF)),
            _ => {
                let carry = self.flag(CF);
                let carry = self.b.ins().uextend(types::I32, carry);
                self.b.ins().bxor_imm_u(carry, 1)
            }
        };
        self.replace_flags(CF, Bits::Word(bit));
    }

    /// DF lives in EFLAGS alone.
    pub(super) fn direction(&mut self, insn: &Insn) {
        let word = self.load_state(types::I32, offset::EFLAGS);
        let word = if insn.op == Op::Std {
            self.b.ins().bor_imm_u(word, i64::from(DF))
        } else {
            self.b.ins().band_imm_u(word, i64::from(!DF))
        };
        self.store_state(word, offset::EFLAGS);
    }
}
