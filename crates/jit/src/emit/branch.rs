//! Near branches: the ends of blocks.

use cpu::eflags::ZF;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value, types};
use isa::{Cond, Gpr, Insn, Op, Operand};

use crate::discover::End;
use crate::liveness::may_leave;
use crate::translate::Translator;
use crate::unit::SiteKind;

/// Most EIPs that a target is compared with one after the other.
const CHAIN: usize = 4;

impl Translator<'_> {
    /// Translates the branch that ends the block; `false` when `insn` is none.
    ///
    /// A branch whose accesses are slow runs in the interpreter: it could not leave after itself.
    pub(crate) fn branch(&mut self, insn: &Insn) -> bool {
        let end = self.unit.blocks[&self.block_eip].end;
        if matches!(end, End::Fall(_) | End::Interp(_)) {
            return false;
        }
        if self.slow && may_leave(insn) {
            self.leave_at(SiteKind::Interp, self.eip, self.executed);
            return true;
        }
        match end {
            End::Jump(target) => {
                self.executed += 1;
                self.goto(target);
            }
            End::Branch { taken, next } => self.conditional(insn, taken, next),
            End::Call { target, next } => self.call(target, next),
            End::CallIndirect(next) => {
                let target = self.read(insn, 0);
                let next = self.constant(types::I32, i64::from(next));
                self.push_value(next);
                self.executed += 1;
                self.goto_expected(target);
            }
            End::JumpIndirect => {
                let target = self.read(insn, 0);
                self.executed += 1;
                self.goto_expected(target);
            }
            End::Return => self.ret(insn),
            End::Fall(_) | End::Interp(_) => return false,
        }
        true
    }

    fn conditional(&mut self, insn: &Insn, taken: u32, next: u32) {
        // What follows the branch in host code is its second target: the way round a loop.
        if insn.op == Op::Jcc && taken <= self.block_eip && next > self.block_eip {
            let condition = self.condition(Cond::ALL[usize::from(insn.cond as u8 ^ 1)]);
            self.executed += 1;
            return self.goto_if(condition, next, taken);
        }
        let condition = match insn.op {
            Op::Jcc => self.condition(insn.cond),
            Op::Jcxz => {
                let count = self.gpr(Gpr::Ecx);
                self.b.ins().icmp_imm_s(IntCC::Equal, count, 0)
            }
            _ => self.loop_condition(insn),
        };
        self.executed += 1;
        self.goto_if(condition, taken, next);
    }

    /// LOOP counts down without touching the flags.
    fn loop_condition(&mut self, insn: &Insn) -> Value {
        let zero_flag = match insn.op {
            Op::Loope | Op::Loopne => Some(self.flag(ZF)),
            _ => None,
        };
        let count = self.gpr(Gpr::Ecx);
        let count = self.add_const(count, -1);
        self.set_gpr(Gpr::Ecx, count);
        let more = self.b.ins().icmp_imm_s(IntCC::NotEqual, count, 0);
        match (zero_flag, insn.op) {
            (Some(zero), Op::Loope) => self.b.ins().band(more, zero),
            (Some(zero), _) => {
                let nonzero = self.b.ins().bxor_imm_u(zero, 1);
                self.b.ins().band(more, nonzero)
            }
            (None, _) => more,
        }
    }

    fn call(&mut self, target: u32, next: u32) {
        let next = self.constant(types::I32, i64::from(next));
        self.push_value(next);
        self.executed += 1;
        self.goto(target);
    }

    /// A return is compared with the return addresses of the calls that the unit follows.
    fn ret(&mut self, insn: &Insn) {
        let esp = self.gpr(Gpr::Esp);
        let address = self.stack_address(esp);
        let target = self.load(address, types::I32);
        let extra = match insn.operand(0) {
            Operand::Imm(bytes) => (bytes & 0xffff) as i32,
            _ => 0,
        };
        let above = self.add_const(esp, 4 + extra);
        self.set_gpr(Gpr::Esp, above);
        self.executed += 1;
        self.goto_expected(target);
    }

    /// Goes to `target`, which is compared with what is expected first.
    fn goto_expected(&mut self, target: Value) {
        let other = self.b.create_block();
        let mut expected = self.unit.expected(self.block_eip).to_vec();
        if expected.len() > CHAIN {
            expected.sort_unstable();
        }
        self.goto_among(target, &expected, other);
        self.b.switch_to_block(other);
        self.exit_indirect(target);
    }

    /// Goes to `target` if it is in `expected`, which is sorted if it is long, else on to `other`.
    fn goto_among(&mut self, target: Value, expected: &[u32], other: Block) {
        if expected.len() > CHAIN {
            let (low, high) = expected.split_at(expected.len() / 2);
            let below = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, target, i64::from(high[0]));
            let (left, right) = (self.b.create_block(), self.b.create_block());
            self.b.ins().brif(below, left, &[], right, &[]);
            self.b.switch_to_block(left);
            self.goto_among(target, low, other);
            self.b.switch_to_block(right);
            return self.goto_among(target, high, other);
        }
        for candidate in expected {
            let same = self.b.ins().icmp_imm_u(IntCC::Equal, target, i64::from(*candidate));
            let (here, on) = (self.b.create_block(), self.b.create_block());
            self.b.ins().brif(same, here, &[], on, &[]);
            self.b.switch_to_block(here);
            self.goto(*candidate);
            self.b.switch_to_block(on);
        }
        self.b.ins().jump(other, &[]);
    }
}
