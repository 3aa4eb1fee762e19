//! One file for each family of instructions, as in the interpreter; written from the manual, not from it.

mod arith;
mod bit;
mod branch;
mod data;
mod logic;
mod muldiv;
mod port;
mod shift;
mod stack;

use isa::{Insn, Op};

use crate::translate::Translator;

impl Translator<'_> {
    /// Translates an instruction that `delegate::handling` calls [`crate::delegate::Handling::Emit`].
    pub(crate) fn emit(&mut self, insn: &Insn) {
        match insn.op {
            Op::Mov => self.mov(insn),
            Op::Movzx => self.extend(insn, false),
            Op::Movsx => self.extend(insn, true),
            Op::Lea => self.lea(insn),
            Op::Xchg => self.xchg(insn),
            Op::Bswap => self.bswap(insn),
            Op::Setcc => self.setcc(insn),
            Op::Cmovcc => self.cmovcc(insn),
            Op::Lahf => self.lahf(),
            Op::Sahf => self.sahf(),
            Op::Cbw => self.cbw(insn),
            Op::Cwd => self.cwd(insn),
            Op::Push => self.push(insn),
            Op::Pop => self.pop(insn),
            Op::Leave => self.leave(),
            Op::Add | Op::Sub | Op::Cmp => self.add_sub(insn),
            Op::Adc | Op::Sbb => self.with_carry(insn),
            Op::Inc | Op::Dec => self.inc_dec(insn),
            Op::Neg => self.neg(insn),
            Op::Xadd => self.xadd(insn),
            Op::Cmpxchg => self.cmpxchg(insn),
            Op::And | Op::Or | Op::Xor | Op::Test => self.logic(insn),
            Op::Not => self.not(insn),
            Op::Mul | Op::Imul1 => self.wide_multiply(insn),
            Op::Imul => self.imul(insn),
            Op::Div | Op::Idiv => self.divide(insn),
            Op::Shl | Op::Shr | Op::Sar => self.shift(insn),
            Op::Rol | Op::Ror => self.rotate(insn),
            Op::Shld | Op::Shrd => self.double_shift(insn),
            Op::Bt | Op::Bts | Op::Btr | Op::Btc => self.bit_test(insn),
            Op::Bsf | Op::Bsr => self.bit_scan(insn),
            Op::Clc | Op::Stc | Op::Cmc => self.carry_op(insn),
            Op::Cld | Op::Std => self.direction(insn),
            Op::In | Op::Out => self.port(insn),
            Op::Nop => {}
            op => unreachable!("{op:?} is not translated"),
        }
    }
}
