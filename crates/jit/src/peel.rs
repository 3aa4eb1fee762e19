//! Loops of one block: the first time round is translated apart.
//!
//! At the head of a loop the flags come from outside the first time and from the loop's end later. If the head can
//! leave, they would have to be in the CPU state there, so that the end stores their operands each time round. With
//! the first time apart, the flags at the head of the loop proper are those of its end, derived from SSA values.

use cranelift_codegen::ir::{Block, InstructionData, Opcode, Type, Value, ValueDef};
use cranelift_frontend::Variable;
use isa::Op;

use crate::flagstate::{Carry, FlagState, Lazy};
use crate::translate::Translator;
use cpu::flags::CcKind;

/// Where an operand of the flags is at the head of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// In a register.
    Register(usize),
    /// In the low part of a register, or in its second byte.
    Part(usize, bool),
    /// A constant.
    Constant(i64),
    /// In a variable of its own.
    Variable(Variable),
}

/// The loop of a peeled block: its second translation.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// Its head.
    pub block: Block,
    kind: CcKind,
    ty: Type,
    a: Slot,
    b: Option<Slot>,
    c: Option<Slot>,
}

/// Most instructions of a block that is translated twice.
const LONGEST: usize = 24;

impl Translator<'_> {
    /// Finds the blocks that are worth translating twice.
    pub(crate) fn find_peeled(&mut self) {
        for (eip, block) in &self.unit.blocks {
            let producer = block.insns.iter().rev().map(|(_, insn)| insn);
            let producer = producer.filter(|insn| !matches!(insn.op, Op::Jcc)).find(|insn| {
                let effects = crate::flags::effects(insn);
                effects.kill != 0 || crate::delegate::handling(insn) != crate::delegate::Handling::Emit
            });
            let simple = producer.is_some_and(|insn| {
                matches!(
                    insn.op,
                    Op::Add | Op::Sub | Op::Cmp | Op::And | Op::Or | Op::Xor | Op::Test | Op::Inc | Op::Dec
                )
            });
            let short = block.insns.len() <= LONGEST;
            if simple && short && block.targets().contains(eip) && self.live.entry[eip].any() != 0 {
                self.peeled.insert(*eip);
            }
        }
    }

    /// Goes round the loop of a peeled block, where that is possible; the budget is charged.
    pub(crate) fn go_again(&mut self) -> bool {
        let FlagState::Lazy(lazy) = self.flags else { return false };
        if !self.peeled.contains(&self.block_eip) {
            return false;
        }
        let c = match lazy.c {
            None => None,
            Some(Carry::Value(value)) => Some(value),
            Some(Carry::Of(_) | Carry::Product { .. }) => return false,
        };
        let again = match self.again {
            Some(again) => again,
            None => {
                let block = self.b.create_block();
                let (a, b) = (self.slot(lazy.a), lazy.b.map(|b| self.slot(b)));
                let c = c.map(|c| self.slot(c));
                *self.again.insert(Again { block, kind: lazy.kind, ty: lazy.ty, a, b, c })
            }
        };
        let fits = again.kind == lazy.kind
            && again.ty == lazy.ty
            && self.fits(Some(again.a), Some(lazy.a))
            && self.fits(again.b, lazy.b)
            && self.fits(again.c, c);
        if fits {
            self.bring(Some(again.a), Some(lazy.a));
            self.bring(again.b, lazy.b);
            self.bring(again.c, c);
            self.budget_check(self.block_eip, again.block);
        }
        fits
    }

    /// The flags at the head of the loop.
    pub(crate) fn flags_again(&mut self, again: &Again) -> FlagState {
        let a = self.take(again.a, again.ty);
        let b = again.b.map(|b| self.take(b, again.ty));
        let c = again.c.map(|c| Carry::Value(self.take(c, cranelift_codegen::ir::types::I8)));
        FlagState::Lazy(Lazy { kind: again.kind, ty: again.ty, a, b, c, result: None })
    }

    fn slot(&mut self, value: Value) -> Slot {
        if let Some(constant) = self.constant_of(value) {
            return Slot::Constant(constant);
        }
        let ty = self.b.func.dfg.value_type(value);
        for n in (0..8).filter(|n| self.used >> n & 1 == 1) {
            let full = self.b.use_var(self.regs[n]);
            if full == value {
                return Slot::Register(n);
            }
            if let Some(high) =
                [false, true].into_iter().find(|high| self.known_part(full, *high, ty) == Some(value))
            {
                return Slot::Part(n, high);
            }
        }
        Slot::Variable(self.b.declare_var(ty))
    }

    fn constant_of(&self, value: Value) -> Option<i64> {
        let ValueDef::Result(inst, _) = self.b.func.dfg.value_def(value) else { return None };
        match self.b.func.dfg.insts[inst] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
            _ => None,
        }
    }

    fn fits(&mut self, slot: Option<Slot>, value: Option<Value>) -> bool {
        match (slot, value) {
            (None, None) => true,
            (Some(slot), Some(value)) => match slot {
                Slot::Register(n) => self.b.use_var(self.regs[n]) == value,
                Slot::Part(n, high) => {
                    let full = self.b.use_var(self.regs[n]);
                    let ty = self.b.func.dfg.value_type(value);
                    self.known_part(full, high, ty) == Some(value)
                }
                Slot::Constant(constant) => self.constant_of(value) == Some(constant),
                Slot::Variable(_) => true,
            },
            _ => false,
        }
    }

    fn bring(&mut self, slot: Option<Slot>, value: Option<Value>) {
        if let (Some(Slot::Variable(variable)), Some(value)) = (slot, value) {
            self.b.def_var(variable, value);
        }
    }

    fn take(&mut self, slot: Slot, ty: Type) -> Value {
        match slot {
            Slot::Register(n) => self.b.use_var(self.regs[n]),
            Slot::Part(n, high) => {
                let full = self.b.use_var(self.regs[n]);
                self.part(full, high, ty)
            }
            Slot::Constant(constant) => self.constant(ty, constant),
            Slot::Variable(variable) => self.b.use_var(variable),
        }
    }
}
