//! Multiplication and division.

use cpu::flags::CcKind;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use isa::{Gpr, Insn, Op, Operand, Reg, Width};

use crate::flagstate::{Carry, Lazy};
use crate::translate::{Translator, clif_type};
use crate::unit::SiteKind;

/// The type that holds a product of two operands.
fn double(ty: Type) -> Type {
    match ty {
        types::I8 => types::I16,
        types::I16 => types::I32,
        _ => types::I64,
    }
}

impl Translator<'_> {
    /// CF and OF say that the product does not fit; the other flags follow the low half.
    fn multiply_flags(&mut self, ty: Type, low: Value, overflow: Carry) {
        self.set_lazy(Lazy { kind: CcKind::Mul, ty, a: low, b: None, c: Some(overflow), result: None });
    }

    /// MUL and one-operand IMUL: AX, DX:AX or EDX:EAX gets the product.
    pub(super) fn wide_multiply(&mut self, insn: &Insn) {
        let signed = insn.op == Op::Imul1;
        let ty = clif_type(insn.width);
        let accumulator = Reg { gpr: Gpr::Eax, width: insn.width, high: false };
        let source = self.read(insn, 0);
        let first = self.reg(accumulator);
        let narrow = (first, source);
        let first = self.widen(first, double(ty), signed);
        let source = self.widen(source, double(ty), signed);
        let product = self.b.ins().imul(first, source);
        let low = self.b.ins().ireduce(ty, product);
        if insn.width == Width::B1 {
            self.set_reg(Reg { gpr: Gpr::Eax, width: Width::B2, high: false }, product);
        } else {
            let high = self.b.ins().ushr_imm_u(product, i64::from(ty.bits()));
            let high = self.b.ins().ireduce(ty, high);
            self.set_reg(accumulator, low);
            self.set_reg(Reg { gpr: Gpr::Edx, width: insn.width, high: false }, high);
        }
        self.multiply_flags(ty, low, Carry::Product { signed, first: narrow.0, second: narrow.1, low });
    }

    /// IMUL with two or three operands.
    pub(super) fn imul(&mut self, insn: &Insn) {
        let ty = clif_type(insn.width);
        let three = insn.operand(2) != Operand::None;
        let (first, second) = if three {
            (self.read(insn, 1), self.read(insn, 2))
        } else {
            let second = self.read(insn, 1);
            (self.read(insn, 0), second)
        };
        let low = self.b.ins().imul(first, second);
        self.write(insn, 0, low);
        self.multiply_flags(ty, low, Carry::Product { signed: true, first, second, low });
    }

    /// DIV and IDIV: what would raise #DE, and the rare wide dividends, run in the interpreter.
    pub(super) fn divide(&mut self, insn: &Insn) {
        let signed = insn.op == Op::Idiv;
        let ty = clif_type(insn.width);
        let divisor = self.read(insn, 0);
        let (low, high) = self.dividend(insn);
        let wide = double(ty);
        let low = self.widen(low, wide, false);
        let high = self.widen(high, wide, false);
        let high = self.b.ins().ishl_imm_u(high, i64::from(ty.bits()));
        let dividend = self.b.ins().bor(high, low);
        let zero = self.b.ins().icmp_imm_s(IntCC::Equal, divisor, 0);
        let divisor = self.widen(divisor, wide, signed);
        self.leave_to_interpreter_if(zero);
        let quotient = if signed {
            // The most negative dividend by -1 would trap the host.
            let smallest = self.constant(wide, 1i64 << (wide.bits() - 1));
            let edge = self.b.ins().icmp(IntCC::Equal, dividend, smallest);
            self.leave_to_interpreter_if(edge);
            self.b.ins().sdiv(dividend, divisor)
        } else {
            self.b.ins().udiv(dividend, divisor)
        };
        let part = self.b.ins().ireduce(ty, quotient);
        let back = self.widen(part, wide, signed);
        let overflow = self.b.ins().icmp(IntCC::NotEqual, back, quotient);
        self.leave_to_interpreter_if(overflow);
        let product = self.b.ins().imul(quotient, divisor);
        let remainder = self.b.ins().isub(dividend, product);
        let remainder = self.b.ins().ireduce(ty, remainder);
        let high_register = match insn.width {
            Width::B1 => Reg { gpr: Gpr::Eax, width: Width::B1, high: true },
            width => Reg { gpr: Gpr::Edx, width, high: false },
        };
        self.set_reg(Reg { gpr: Gpr::Eax, width: insn.width, high: false }, part);
        self.set_reg(high_register, remainder);
    }

    /// Low and high half of the dividend.
    fn dividend(&mut self, insn: &Insn) -> (Value, Value) {
        let low = self.reg(Reg { gpr: Gpr::Eax, width: insn.width, high: false });
        let high = match insn.width {
            Width::B1 => Reg { gpr: Gpr::Eax, width: Width::B1, high: true },
            width => Reg { gpr: Gpr::Edx, width, high: false },
        };
        (low, self.reg(high))
    }

    /// Leaves before this instruction when `condition` is not 0.
    pub(super) fn leave_to_interpreter_if(&mut self, condition: Value) {
        let (leave, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(leave);
        self.b.ins().brif(condition, leave, &[], on, &[]);
        self.b.switch_to_block(leave);
        self.leave_at(SiteKind::Interp, self.eip, self.executed);
        self.b.switch_to_block(on);
    }
}
