//! Backward analysis of the flags over a unit.
//!
//! A flag is *read* at a point if an instruction may use it before it is replaced, and *exposed* if
//! translated code may leave before it is replaced, so that the guest or the interpreter could see it.

use std::collections::BTreeMap;

use cpu::eflags::{CF, STATUS};
use isa::{Insn, Op, Operand};

use crate::delegate::{Handling, handling};
use crate::discover::{Discovered, End};
use crate::flags::effects;
use crate::groups::Groups;
use crate::guards::Guards;

/// Flags wanted at one point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Read by an instruction of the unit.
    pub read: u32,
    /// Visible when the unit leaves.
    pub exposed: u32,
}

impl Wanted {
    /// Wanted for either reason.
    #[must_use]
    pub fn any(self) -> u32 {
        self.read | self.exposed
    }

    fn join(self, other: Self) -> Self {
        Self { read: self.read | other.read, exposed: self.exposed | other.exposed }
    }
}

/// Whether translated code may leave in the middle of `insn`, or because of it.
#[must_use]
pub fn may_leave(insn: &Insn) -> bool {
    if handling(insn) != Handling::Emit {
        return true;
    }
    let memory = insn.op != Op::Lea
        && insn.op != Op::Nop
        && insn.operands.iter().any(|o| matches!(o, Operand::Mem(_)));
    memory
        || matches!(
            insn.op,
            Op::Push | Op::Pop | Op::Leave | Op::Call | Op::Ret | Op::Div | Op::Idiv | Op::In | Op::Out
        )
}

/// Which instructions of a unit translated code can leave at.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// Guards stand before some.
    pub guards: Guards,
    /// Members of groups do not leave.
    pub groups: Groups,
}

impl Leaving {
    /// Whether translated code may leave before or in `insn` at `eip`.
    #[must_use]
    pub fn at(&self, eip: u32, insn: &Insn) -> bool {
        !self.guards.at(eip).is_empty() || may_leave(insn) && !self.groups.is_member(eip)
    }
}

/// What is wanted before `insn` when `after` is wanted after it, and whether translated code may leave there.
#[must_use]
pub fn before(insn: &Insn, after: Wanted, leaves: bool) -> Wanted {
    let effect = effects(insn);
    let carry = if matches!(insn.op, Op::Inc | Op::Dec) && after.any() & CF != 0 { CF } else { 0 };
    let mut wanted = Wanted {
        read: after.read & !effect.kill | effect.read | carry,
        exposed: after.exposed & !effect.kill,
    };
    if leaves {
        wanted.exposed = STATUS;
    }
    wanted
}

/// The flags wanted at the start of every block, and after every instruction of it.
pub struct Liveness {
    /// At the start of blocks.
    pub entry: BTreeMap<u32, Wanted>,
    /// After each instruction of a block.
    pub after: BTreeMap<u32, Vec<Wanted>>,
}

/// Runs the analysis to its fixed point.
#[must_use]
pub fn analyse(unit: &Discovered, leaving: &Leaving) -> Liveness {
    let mut entry: BTreeMap<u32, Wanted> = BTreeMap::new();
    loop {
        let mut changed = false;
        for (&eip, block) in unit.blocks.iter().rev() {
            let mut wanted = at_end(unit, eip, &entry);
            for (at, insn) in block.insns.iter().rev() {
                wanted = before(insn, wanted, leaving.at(*at, insn));
            }
            changed |= entry.insert(eip, wanted) != Some(wanted);
        }
        if !changed {
            break;
        }
    }
    let after = unit.blocks.keys().map(|&eip| (eip, after_each(unit, leaving, eip, &entry))).collect();
    Liveness { entry, after }
}

fn after_each(unit: &Discovered, leaving: &Leaving, eip: u32, entry: &BTreeMap<u32, Wanted>) -> Vec<Wanted> {
    let insns = &unit.blocks[&eip].insns;
    let mut wanted = at_end(unit, eip, entry);
    let mut after = vec![Wanted::default(); insns.len()];
    for (n, (at, insn)) in insns.iter().enumerate().rev() {
        after[n] = wanted;
        wanted = before(insn, wanted, leaving.at(*at, insn));
    }
    after
}

/// What is wanted at the end of a block: what its successors want, everything where the unit is left.
fn at_end(unit: &Discovered, eip: u32, entry: &BTreeMap<u32, Wanted>) -> Wanted {
    let leaving = Wanted { read: 0, exposed: STATUS };
    let block = &unit.blocks[&eip];
    let mut wanted = Wanted::default();
    for target in block.targets() {
        // A retreating edge checks the budget and may leave there.
        let here = match unit.blocks.get(&target) {
            Some(_) if target > eip => entry.get(&target).copied().unwrap_or_default(),
            Some(_) => entry.get(&target).copied().unwrap_or_default().join(leaving),
            None => leaving,
        };
        wanted = wanted.join(here);
    }
    match block.end {
        End::Return | End::CallIndirect(_) | End::JumpIndirect => {
            unit.expected(eip).iter().fold(wanted.join(leaving), |wanted, target| {
                wanted.join(entry.get(target).copied().unwrap_or_default())
            })
        }
        End::Interp(_) => wanted.join(leaving),
        End::Fall(_) | End::Jump(_) | End::Branch { .. } | End::Call { .. } => wanted,
    }
}
