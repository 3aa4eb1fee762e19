//! Groups of accesses near one address that share one check (jit.md, 1).
//!
//! Addresses are numbered by value over the unit: a root and a constant offset. Accesses in one direction to one root,
//! no further apart than [`REACH`], form a group if its first one dominates the others. That one's check covers
//! them all; the others are plain loads and stores. When the check fails the unit is left; where that keeps
//! happening the unit is made anew without the group.
//!
//! Invariant: nothing takes the right to the host memory away inside a unit without the unit being left, and a
//! root's value is the same at the leader and at every member, because the leader lies between its definition and
//! them on every way.

use std::collections::BTreeMap;

use isa::{Gpr, Insn, Op, Operand, SegReg, Width};

use crate::delegate::{Handling, handling};
use crate::discover::Discovered;
use crate::operand::written;
use crate::unit::UnitRequest;

/// Bytes from the first to the last of a group.
const REACH: i32 = 252;

/// Open groups of one root that an access is compared with.
const CANDIDATES: usize = 4;

/// What an access is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It makes the check.
    Leader {
        /// Number of the group.
        group: u32,
        /// Offset of the group's first byte from this access, at most 0.
        low: i32,
        /// Bytes of the group.
        span: u32,
    },
    /// It follows.
    Member {
        /// Number of the group.
        group: u32,
        /// Offset of this access from the group's first byte.
        inside: i32,
    },
}

/// The parts of a unit's instructions, by EIP; each instruction has at most one grouped access.
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeMap<u32, Part>);

impl Groups {
    /// The part of the instruction at `eip`.
    #[must_use]
    pub fn at(&self, eip: u32) -> Option<Part> {
        self.0.get(&eip).copied()
    }

    /// Whether the instruction's access needs no check of its own.
    #[must_use]
    pub fn is_member(&self, eip: u32) -> bool {
        matches!(self.at(eip), Some(Part::Member { .. }))
    }
}

/// One access of a kind that can be grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    base: Gpr,
    disp: i32,
    size: u8,
    write: bool,
}

/// The only access of `insn`, if it is of a kind that can be grouped.
fn access_of(insn: &Insn) -> Option<Access> {
    if handling(insn) != Handling::Emit {
        return None;
    }
    let stack = |base, disp, write| Some(Access { base, disp, size: 4, write });
    match (insn.op, insn.operand(0)) {
        (Op::Push, Operand::Reg(_) | Operand::Imm(_)) | (Op::Call, Operand::Target(_)) => {
            return stack(Gpr::Esp, -4, true);
        }
        (Op::Pop, Operand::Reg(_)) | (Op::Ret, _) => return stack(Gpr::Esp, 0, false),
        (Op::Leave, _) => return stack(Gpr::Ebp, 0, false),
        _ => {}
    }
    let mem = insn.mem()?;
    let first = matches!(insn.operand(0), Operand::Mem(_));
    let write = match insn.op {
        Op::Cmp | Op::Test | Op::Movzx | Op::Movsx | Op::Imul => false,
        Op::Mov
        | Op::Add
        | Op::Sub
        | Op::Adc
        | Op::Sbb
        | Op::And
        | Op::Or
        | Op::Xor
        | Op::Inc
        | Op::Dec
        | Op::Neg
        | Op::Not
        | Op::Setcc => first,
        _ => return None,
    };
    let plain = mem.index.is_none() && matches!(mem.seg, SegReg::Ds | SegReg::Es | SegReg::Ss);
    let base = mem.base.filter(|_| plain && matches!(mem.size, 1 | 2 | 4))?;
    Some(Access { base, disp: mem.disp, size: mem.size, write })
}

/// Where a root's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    /// The register at the entry of the unit.
    Entry(u8),
    /// The register at the start of the block, where ways with different values meet.
    Met(u32, u8),
    /// What the instruction writes to the register.
    Made(u32, u8),
}

/// A root and an offset for each register.
type Known = [(Root, i32); 8];

/// Takes over what `insn` at `eip` does to the registers.
fn step(known: &mut Known, eip: u32, insn: &Insn) {
    let before = *known;
    let emitted = handling(insn) == Handling::Emit;
    let set = if emitted { written(insn) } else { u8::MAX };
    for n in (0..8).filter(|n| set >> n & 1 == 1) {
        known[n as usize] = (Root::Made(eip, n), 0);
    }
    if !emitted {
        return;
    }
    let shifted = |gpr: Gpr, by: i32| (before[gpr.index()].0, before[gpr.index()].1.wrapping_add(by));
    let esp = Gpr::Esp.index();
    let whole = |operand| match operand {
        Operand::Reg(reg) if reg.width == Width::B4 => Some(reg.gpr),
        _ => None,
    };
    match (insn.op, whole(insn.operand(0)), insn.operand(1)) {
        (Op::Push, ..) | (Op::Call, ..) => known[esp] = shifted(Gpr::Esp, -4),
        (Op::Pop, Some(Gpr::Esp), _) => {}
        (Op::Pop, ..) => known[esp] = shifted(Gpr::Esp, 4),
        (Op::Ret, ..) => {
            let extra = match insn.operand(0) {
                Operand::Imm(bytes) => (bytes & 0xffff) as i32,
                _ => 0,
            };
            known[esp] = shifted(Gpr::Esp, 4 + extra);
        }
        (Op::Leave, ..) => known[esp] = shifted(Gpr::Ebp, 4),
        (Op::Mov, Some(to), from) if whole(from).is_some() => {
            known[to.index()] = whole(from).map_or(known[to.index()], |from| shifted(from, 0));
        }
        (Op::Lea, Some(to), Operand::Mem(mem)) if mem.index.is_none() => {
            if let Some(base) = mem.base {
                known[to.index()] = shifted(base, mem.disp);
            }
        }
        (Op::Add, Some(to), Operand::Imm(by)) => known[to.index()] = shifted(to, by as i32),
        (Op::Sub, Some(to), Operand::Imm(by)) => known[to.index()] = shifted(to, (by as i32).wrapping_neg()),
        (Op::Inc, Some(to), _) => known[to.index()] = shifted(to, 1),
        (Op::Dec, Some(to), _) => known[to.index()] = shifted(to, -1),
        _ => {}
    }
}

/// Blocks that `eip` may lead to inside the unit.
fn followers(unit: &Discovered, eip: u32) -> impl Iterator<Item = u32> + '_ {
    unit.followers(eip).into_iter().filter(|target| unit.blocks.contains_key(target))
}

/// The registers at the start of each block that can be reached: what all ways there agree on. Once they have not, it
/// stays so, which ends the search.
fn known_at_entries(unit: &Discovered, entry: u32) -> BTreeMap<u32, Known> {
    let at_entry: Known = std::array::from_fn(|n| (Root::Entry(n as u8), 0));
    let mut known = BTreeMap::from([(entry, at_entry)]);
    // What each way to a block brings, by the block that it comes from.
    let mut brought: BTreeMap<u32, BTreeMap<u32, Known>> = BTreeMap::new();
    let mut work = vec![entry];
    while let Some(eip) = work.pop() {
        let mut after: Known = known[&eip];
        for (at, insn) in &unit.blocks[&eip].insns {
            step(&mut after, *at, insn);
        }
        for target in followers(unit, eip) {
            let ways = brought.entry(target).or_default();
            ways.insert(eip, after);
            let before = known.get(&target);
            let met: Known = std::array::from_fn(|n| {
                let own = (Root::Met(target, n as u8), 0);
                let agreed = ways.values().all(|way| way[n] == after[n])
                    && (target != entry || at_entry[n] == after[n])
                    && before.is_none_or(|before| before[n] != own);
                if agreed { after[n] } else { own }
            });
            if before != Some(&met) {
                known.insert(target, met);
                work.push(target);
            }
        }
    }
    known
}

/// Blocks that can be reached, so that each comes after those that dominate it, with its immediate dominator's place
/// in the order.
struct Order {
    blocks: Vec<u32>,
    dominators: Vec<usize>,
}

impl Order {
    /// The iterative algorithm of Cooper, Harvey and Kennedy over reverse postorder.
    fn new(unit: &Discovered, entry: u32) -> Self {
        let mut blocks = postorder(unit, entry);
        blocks.reverse();
        let place: BTreeMap<u32, usize> = blocks.iter().enumerate().map(|(n, eip)| (*eip, n)).collect();
        let mut sources = vec![Vec::new(); blocks.len()];
        for (n, eip) in blocks.iter().enumerate() {
            for target in followers(unit, *eip) {
                sources[place[&target]].push(n);
            }
        }
        let unknown = usize::MAX;
        let mut dominators = vec![unknown; blocks.len()];
        dominators[0] = 0;
        loop {
            let mut changed = false;
            for n in 1..blocks.len() {
                let known = sources[n].iter().copied().filter(|source| dominators[*source] != unknown);
                let Some(met) = known.reduce(|a, b| common(&dominators, a, b)) else { continue };
                changed |= std::mem::replace(&mut dominators[n], met) != met;
            }
            if !changed {
                return Self { blocks, dominators };
            }
        }
    }

    fn dominates(&self, above: usize, mut below: usize) -> bool {
        while below > above {
            below = self.dominators[below];
        }
        below == above
    }
}

fn common(dominators: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        if a > b {
            a = dominators[a];
        } else {
            b = dominators[b];
        }
    }
    a
}

fn postorder(unit: &Discovered, entry: u32) -> Vec<u32> {
    let mut order = Vec::new();
    let mut seen = std::collections::BTreeSet::from([entry]);
    let mut stack = vec![(entry, followers(unit, entry).collect::<Vec<_>>())];
    while let Some((eip, left)) = stack.last_mut() {
        match left.pop() {
            Some(next) if seen.insert(next) => stack.push((next, followers(unit, next).collect())),
            Some(_) => {}
            None => {
                order.push(*eip);
                stack.pop();
            }
        }
    }
    order
}

/// A group on its way.
struct Open {
    /// Block of the leader, by its place in the order.
    block: usize,
    /// Offsets of the first byte and after the last.
    low: i32,
    high: i32,
    /// EIP and offset of each access, the leader's first.
    accesses: Vec<(u32, i32)>,
}

/// Finds the groups of a unit whose segments are flat.
#[must_use]
pub fn plan(unit: &Discovered, request: &UnitRequest) -> Groups {
    let known = known_at_entries(unit, request.entry);
    let order = Order::new(unit, request.entry);
    let mut open: BTreeMap<(Root, bool), Vec<Open>> = BTreeMap::new();
    for (place, eip) in order.blocks.iter().enumerate() {
        let mut known = known[eip];
        for (at, insn) in &unit.blocks[eip].insns {
            let alone = request.slow.contains(at) || request.ungrouped.contains(at);
            if let Some(access) = access_of(insn).filter(|_| !alone) {
                let (root, offset) = known[access.base.index()];
                let low = offset.wrapping_add(access.disp);
                let groups = open.entry((root, access.write)).or_default();
                enter(groups, &order, place, (*at, low), low.saturating_add(i32::from(access.size)));
            }
            step(&mut known, *at, insn);
        }
    }
    let mut parts = BTreeMap::new();
    let full = open.into_values().flatten().filter(|group| group.accesses.len() > 1);
    for (number, group) in full.enumerate() {
        let number = number as u32;
        for (n, (eip, offset)) in group.accesses.iter().enumerate() {
            let part = if n == 0 {
                let span = (group.high - group.low) as u32;
                Part::Leader { group: number, low: group.low - offset, span }
            } else {
                Part::Member { group: number, inside: offset - group.low }
            };
            parts.insert(*eip, part);
        }
    }
    Groups(parts)
}

/// Enters an access into a group that it fits, or a new one.
fn enter(groups: &mut Vec<Open>, order: &Order, block: usize, access: (u32, i32), high: i32) {
    let low = access.1;
    let fits = |group: &&mut Open| {
        let (first, last) = (group.low.min(low), group.high.max(high));
        last.checked_sub(first).is_some_and(|span| span <= REACH) && order.dominates(group.block, block)
    };
    match groups.iter_mut().rev().take(CANDIDATES).find(fits) {
        Some(group) => {
            group.low = group.low.min(low);
            group.high = group.high.max(high);
            group.accesses.push(access);
        }
        None => groups.push(Open { block, low, high, accesses: vec![access] }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::discover::discover;
    use crate::unit::{CodeBytes, UnitMode};

    /// Parts of the instructions of `code`, which stands at 0x1000.
    fn parts(code: &[u8]) -> Vec<(u32, Part)> {
        let request = UnitRequest {
            entry: 0x1000,
            mode: UnitMode { paging: false, flat: true },
            code: CodeBytes { start: 0x1000, bytes: code.to_vec() },
            site_base: 0,
            range: None,
            windowed: BTreeSet::new(),
            slow: BTreeSet::new(),
            ungrouped: BTreeSet::new(),
            likely: BTreeMap::new(),
            limit: 100,
            counted: false,
        };
        plan(&discover(&request), &request).0.into_iter().collect()
    }

    #[test]
    fn pushes_share_the_check_of_the_first() {
        // push eax; push ecx; push edx; ret
        let expected = [
            (0x1000, Part::Leader { group: 0, low: -8, span: 12 }),
            (0x1001, Part::Member { group: 0, inside: 4 }),
            (0x1002, Part::Member { group: 0, inside: 0 }),
        ];
        assert_eq!(parts(&[0x50, 0x51, 0x52, 0xc3]), expected);
    }

    #[test]
    fn loads_and_stores_are_apart_and_a_changed_root_is_another() {
        // mov eax,[ebx+4]; mov [ebx],eax; add ebx,8; mov ecx,[ebx]; mov ebx,[ebx]; mov edx,[ebx]; ret
        let code = [0x8b, 0x43, 4, 0x89, 3, 0x83, 0xc3, 8, 0x8b, 0x0b, 0x8b, 0x1b, 0x8b, 0x13, 0xc3];
        let expected = [
            (0x1000, Part::Leader { group: 0, low: 0, span: 8 }),
            (0x1008, Part::Member { group: 0, inside: 4 }),
            (0x100a, Part::Member { group: 0, inside: 4 }),
        ];
        assert_eq!(parts(&code), expected);
    }

    #[test]
    fn one_side_of_a_branch_does_not_lead_the_other() {
        // jz +3; mov eax,[ebx]; nop; mov ecx,[ebx+4]; ret: the first load is not on every way to the second.
        assert_eq!(parts(&[0x74, 3, 0x8b, 3, 0x90, 0x8b, 0x4b, 4, 0xc3]), []);
        // mov eax,[ebx]; jz +1; nop; mov ecx,[ebx+4]; ret: here it is.
        let expected = [
            (0x1000, Part::Leader { group: 0, low: 0, span: 8 }),
            (0x1005, Part::Member { group: 0, inside: 4 }),
        ];
        assert_eq!(parts(&[0x8b, 3, 0x74, 1, 0x90, 0x8b, 0x4b, 4, 0xc3]), expected);
    }

    #[test]
    fn a_pointer_that_moves_in_a_loop_is_checked_each_time() {
        // mov eax,[ebx]; add ebx,4; dec ecx; jnz back; mov eax,[ebx]; ret
        let code = [0x8b, 3, 0x83, 0xc3, 4, 0x49, 0x75, 0xf8, 0x8b, 3, 0xc3];
        // The load in the loop leads the one after it: 4 bytes on from the value at the head.
        let expected = [
            (0x1000, Part::Leader { group: 0, low: 0, span: 8 }),
            (0x1008, Part::Member { group: 0, inside: 4 }),
        ];
        assert_eq!(parts(&code), expected);
    }

    #[test]
    fn far_fields_are_checked_alone() {
        // mov eax,[ebx]; mov ecx,[ebx+0x100]; ret
        assert_eq!(parts(&[0x8b, 3, 0x8b, 0x8b, 0, 1, 0, 0, 0xc3]), []);
    }
}
