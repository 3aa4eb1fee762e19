//! Interpreted code: whole blocks at a time where that is possible, single instructions elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cpu::{Activity, Exception, Trap, eflags, flags};
use isa::Op;
use jit::Delegated;

use crate::blocks::BlockId;
use crate::insns::{InsnCache, ends_block};
use crate::run::{Engine, Stop};
use crate::worker::Worker;

impl Engine {
    /// Interprets until something needs the run loop: one block at least and, unless `beyond` is set, up to a branch to
    /// code that may have a translation or should get one.
    pub(crate) fn interpret(&mut self, beyond: bool) -> Result<(), Stop> {
        self.note(Activity::Interpreting);
        let outcome = self.interpret_blocks(beyond);
        self.note(Activity::RunLoop);
        outcome
    }

    fn interpret_blocks(&mut self, beyond: bool) -> Result<(), Stop> {
        let (mut before, mut branch) = (BlockId::NONE, false);
        // The last place that a translation may begin at.
        let mut head = BlockId::NONE;
        loop {
            flags::materialize(&mut self.owner.cpu.state);
            before = match self.interpreted.enter(&mut self.owner.cpu, before) {
                Ok(block) => block,
                Err(exception) => return self.raise(exception),
            };
            if branch && !beyond && self.is_wanted(before) {
                return Ok(());
            }
            if branch || head == BlockId::NONE {
                head = before;
            } else {
                self.interpreted.lend_weight(before, head);
            }
            branch = self.interpret_block(before)?;
            let state = &self.owner.cpu.state;
            if state.leave != 0 || state.halted || state.budget <= 0 || state.interrupt_shadow {
                return Ok(());
            }
        }
    }

    /// Whether the run loop should look for a translation of a block, or have one made.
    fn is_wanted(&self, block: BlockId) -> bool {
        let (runs, searched) = self.interpreted.heat(block);
        let ready = self.worker.as_ref().is_some_and(Worker::is_ready);
        ready || runs > self.config.threshold && (self.has_room() || searched != self.searches)
    }

    /// Whether a translation could be made now.
    pub(crate) fn has_room(&self) -> bool {
        self.worker.as_ref().is_none_or(Worker::has_room)
    }

    /// Interprets a block from its begin on; whether control may have gone elsewhere after the last instruction.
    fn interpret_block(&mut self, block: BlockId) -> Result<bool, Stop> {
        let cpu = &mut self.owner.cpu;
        let (insns, branch) = self.interpreted.insns(block);
        let fits = cpu.state.budget >= insns.len() as i32;
        if insns.is_empty() || !fits || self.config.counted || cpu.state.eflags & eflags::TF != 0 {
            return self.interpret_one_is_branch();
        }
        let seen = cpu.code_changes();
        let mut done = 0;
        for insn in insns {
            if let Err(trap) = interp::run(cpu, insn) {
                self.stats.interpreted += done;
                self.finish(Err(trap))?;
                return Ok(true);
            }
            cpu.state.budget -= 1;
            done += 1;
            if cpu.code_changes() != seen {
                break;
            }
        }
        self.stats.interpreted += done;
        Ok(branch && done == insns.len() as u64)
    }

    pub(crate) fn interpret_one(&mut self) -> Result<(), Stop> {
        self.note(Activity::Interpreting);
        let outcome = self.interpret_one_is_branch();
        self.note(Activity::RunLoop);
        outcome.map(|_| ())
    }

    /// Interprets one instruction; whether control may have gone elsewhere than to the next.
    fn interpret_one_is_branch(&mut self) -> Result<bool, Stop> {
        let cpu = &mut self.owner.cpu;
        flags::materialize(&mut cpu.state);
        let insn = match self.insns.fetch(cpu) {
            Ok(insn) => insn,
            Err(exception) => {
                self.raise(exception)?;
                return Ok(true);
            }
        };
        let shadow = std::mem::take(&mut cpu.state.interrupt_shadow);
        let step = cpu.state.eflags & eflags::TF != 0;
        let op = insn.op;
        let outcome = interp::step(cpu, insn);
        if outcome.is_ok() {
            cpu.state.budget -= 1;
            self.stats.interpreted += 1;
            if self.config.counted {
                self.interpreted_ops[op as usize] += 1;
            }
        } else {
            cpu.state.interrupt_shadow = shadow;
        }
        self.finish(outcome)?;
        // A software interrupt has cleared the flag: the trap comes after the handler has returned.
        let entered =
            matches!(op, Op::Int | Op::Int3 | Op::Into) && self.owner.cpu.state.eflags & eflags::TF == 0;
        if step && outcome.is_ok() && !entered {
            self.owner.cpu.state.dr[6] |= 1 << 14;
            self.raise(Exception::Db)?;
        }
        Ok(ends_block(op) || outcome.is_err())
    }
}

/// The helper that runs one instruction of a unit in the interpreter.
pub fn delegate(count: Arc<AtomicU64>) -> jit::Delegate {
    let mut insns = InsnCache::new();
    Box::new(move |cpu| {
        flags::materialize(&mut cpu.state);
        let insn = match insns.fetch(cpu) {
            Ok(insn) => insn,
            Err(exception) => return Delegated::Trap(Trap::Exception(exception)),
        };
        let next = cpu.state.eip.wrapping_add(u32::from(insn.len));
        count.fetch_add(1, Ordering::Relaxed);
        match interp::step(cpu, insn) {
            Ok(()) if cpu.state.eip == next => Delegated::Next,
            Ok(()) => Delegated::Elsewhere,
            Err(trap) => Delegated::Trap(trap),
        }
    })
}
