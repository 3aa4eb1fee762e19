//! Addition and subtraction. The flags stay lazy: `cpu::flags::CcKind` says which operands derive them.

use cpu::eflags::CF;
use cpu::flags::CcKind;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use isa::{Gpr, Insn, Op, Operand, Reg, Width};

use crate::flagstate::{Carry, Lazy};
use crate::translate::{Translator, clif_type};

impl Translator<'_> {
    fn lazy(&mut self, kind: CcKind, insn: &Insn, a: Value, b: Option<Value>, result: Option<Value>) {
        self.set_lazy(Lazy { kind, ty: clif_type(insn.width), a, b, c: None, result });
    }

    /// Adds a constant.
    fn add(&mut self, width: Width, value: Value, by: i32) -> Value {
        if width == Width::B4 {
            return self.add_const(value, by);
        }
        let by = self.constant(clif_type(width), i64::from(by));
        self.b.ins().iadd(value, by)
    }

    pub(super) fn add_sub(&mut self, insn: &Insn) {
        let second = self.read(insn, 1);
        if insn.op == Op::Cmp {
            let first = self.read(insn, 0);
            return self.lazy(CcKind::Sub, insn, first, Some(second), None);
        }
        let mut operands = None;
        self.modify(insn, |t, first| {
            let result = match (insn.op, insn.operand(1)) {
                (Op::Add, Operand::Imm(by)) => t.add(insn.width, first, by as i32),
                (Op::Add, _) => t.b.ins().iadd(first, second),
                (_, Operand::Imm(by)) => t.add(insn.width, first, (by as i32).wrapping_neg()),
                _ => t.b.ins().isub(first, second),
            };
            operands = Some((first, result));
            result
        });
        let Some((first, result)) = operands else { return };
        if insn.op == Op::Add {
            self.lazy(CcKind::Add, insn, result, Some(second), None);
        } else {
            self.lazy(CcKind::Sub, insn, first, Some(second), Some(result));
        }
    }

    /// ADC and SBB. CF is an input, so it is derived from the previous producer first.
    pub(super) fn with_carry(&mut self, insn: &Insn) {
        let carry = self.flag(CF);
        let second = self.read(insn, 1);
        let ty = clif_type(insn.width);
        let wide = self.widen(carry, ty, false);
        let mut operands = None;
        self.modify(insn, |t, first| {
            let result = if insn.op == Op::Adc {
                let sum = t.b.ins().iadd(first, second);
                t.b.ins().iadd(sum, wide)
            } else {
                let difference = t.b.ins().isub(first, second);
                t.b.ins().isub(difference, wide)
            };
            operands = Some((first, result));
            result
        });
        let Some((first, result)) = operands else { return };
        let (kind, a) = if insn.op == Op::Adc { (CcKind::Adc, result) } else { (CcKind::Sbb, first) };
        self.set_lazy(Lazy {
            kind,
            ty,
            a,
            b: Some(second),
            c: Some(Carry::Value(carry)),
            result: Some(result),
        });
    }

    /// INC and DEC keep CF; it is derived only when something wants it later.
    pub(super) fn inc_dec(&mut self, insn: &Insn) {
        let carry = if self.live_after & CF != 0 {
            self.carry_now()
        } else {
            Carry::Value(self.b.ins().iconst(types::I8, 0))
        };
        let mut result = None;
        let delta = if insn.op == Op::Inc { 1 } else { -1 };
        self.modify(insn, |t, first| {
            let sum = t.add(insn.width, first, delta);
            result = Some(sum);
            sum
        });
        let Some(result) = result else { return };
        let kind = if insn.op == Op::Inc { CcKind::Inc } else { CcKind::Dec };
        self.set_lazy(Lazy {
            kind,
            ty: clif_type(insn.width),
            a: result,
            b: None,
            c: Some(carry),
            result: None,
        });
    }

    /// NEG is 0 minus the operand.
    pub(super) fn neg(&mut self, insn: &Insn) {
        let mut operands = None;
        self.modify(insn, |t, old| {
            let result = t.b.ins().ineg(old);
            operands = Some((old, result));
            result
        });
        let Some((old, result)) = operands else { return };
        let zero = self.constant(clif_type(insn.width), 0);
        self.lazy(CcKind::Sub, insn, zero, Some(old), Some(result));
    }

    /// The source register gets the old destination; with both the same register, the sum stays.
    pub(super) fn xadd(&mut self, insn: &Insn) {
        let second = self.read(insn, 1);
        let mut operands = None;
        if let Operand::Reg(reg) = insn.operand(0) {
            let first = self.reg(reg);
            let sum = self.b.ins().iadd(first, second);
            self.write(insn, 1, first);
            self.set_reg(reg, sum);
            operands = Some((first, sum));
        } else {
            self.modify(insn, |t, first| {
                let sum = t.b.ins().iadd(first, second);
                operands = Some((first, sum));
                sum
            });
        }
        let Some((first, sum)) = operands else { return };
        if insn.mem().is_some() {
            self.write(insn, 1, first);
        }
        self.lazy(CcKind::Add, insn, sum, Some(second), None);
    }

    /// The destination is written in either case, as the manual says.
    pub(super) fn cmpxchg(&mut self, insn: &Insn) {
        let accumulator = Reg { gpr: Gpr::Eax, width: insn.width, high: false };
        let expected = self.reg(accumulator);
        let source = self.read(insn, 1);
        let mut old = None;
        self.modify(insn, |t, first| {
            old = Some(first);
            let equal = t.b.ins().icmp(IntCC::Equal, expected, first);
            t.b.ins().select(equal, source, first)
        });
        let Some(old) = old else { return };
        let equal = self.b.ins().icmp(IntCC::Equal, expected, old);
        // When equal the accumulator holds `old` already; a destination in the accumulator has been written.
        let current = self.reg(accumulator);
        let value = self.b.ins().select(equal, current, old);
        self.set_reg(accumulator, value);
        self.lazy(CcKind::Sub, insn, expected, Some(old), None);
    }
}
