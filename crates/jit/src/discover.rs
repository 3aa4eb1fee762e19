//! Finds the guest blocks of a unit: follows direct branches and calls from the entry.
//!
//! Works on copied bytes only. Invariant: every instruction of a block lies wholly inside the copy, and in one block.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use isa::{DecodeMode, Insn, Op, Operand, decode};

use crate::delegate::{Handling, handling};
use crate::unit::UnitRequest;

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Goes on at the given EIP, without a branch instruction.
    Fall(u32),
    /// Ends in `jmp` to the given EIP.
    Jump(u32),
    /// Ends in a conditional branch.
    Branch {
        /// EIP when taken.
        taken: u32,
        /// EIP when not.
        next: u32,
    },
    /// Ends in a direct call.
    Call {
        /// EIP of the function.
        target: u32,
        /// EIP after the call.
        next: u32,
    },
    /// Ends in an indirect call; returns to the given EIP.
    CallIndirect(u32),
    /// Ends in an indirect jump.
    JumpIndirect,
    /// Ends in a near return.
    Return,
    /// The instruction at this EIP must run in the interpreter.
    Interp(u32),
}

/// A guest block: instructions that run one after the other.
#[derive(Clone, Debug)]
pub struct Block {
    /// EIP of each instruction, with the instruction.
    pub insns: Vec<(u32, Insn)>,
    /// How it ends; the branch instruction is the last of `insns`.
    pub end: End,
}

impl Block {
    /// EIPs in the unit or outside it that the block's end names.
    #[must_use]
    pub fn targets(&self) -> Vec<u32> {
        match self.end {
            End::Fall(next) | End::Jump(next) => vec![next],
            End::Branch { taken, next } => vec![taken, next],
            End::Call { target, .. } => vec![target],
            End::CallIndirect(_) | End::JumpIndirect | End::Return | End::Interp(_) => Vec::new(),
        }
    }
}

/// The blocks of a unit by their EIP, and where its indirect branches are expected to go.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// Blocks by EIP.
    pub blocks: BTreeMap<u32, Block>,
    /// EIPs that a return in the unit is compared with: the return addresses of calls that were followed.
    pub returns: Vec<u32>,
    /// EIPs that the indirect jump or call at the end of a block is compared with, by the block's EIP.
    pub likely: BTreeMap<u32, Vec<u32>>,
}

impl Discovered {
    /// EIPs that an indirect branch or return at the end of the block at `eip` is compared with.
    #[must_use]
    pub fn expected(&self, eip: u32) -> &[u32] {
        match self.blocks.get(&eip).map(|block| block.end) {
            Some(End::Return) => &self.returns,
            Some(End::CallIndirect(_) | End::JumpIndirect) => {
                self.likely.get(&eip).map_or(&[], Vec::as_slice)
            }
            _ => &[],
        }
    }

    /// EIPs that control may go to from the end of the block at `eip` without a look into the jump cache.
    #[must_use]
    pub fn followers(&self, eip: u32) -> Vec<u32> {
        let mut followers = self.blocks.get(&eip).map_or_else(Vec::new, Block::targets);
        followers.extend_from_slice(self.expected(eip));
        followers
    }
}

/// Return addresses that a return is compared with at most: those of the calls that were met first.
const MAX_RETURNS: usize = 4;

/// Expected targets of an indirect branch that are taken in, when those of all branches do not fit into the unit.
const FEW: usize = 4;

struct Walk<'a> {
    request: &'a UnitRequest,
    /// Indirect branches with more expected targets are left to the jump cache.
    most: usize,
    insns: BTreeMap<u32, Insn>,
    leaders: BTreeSet<u32>,
    work: VecDeque<u32>,
    /// Targets of calls and EIPs behind them, as long as nothing is known to return there.
    calls: Vec<(u32, u32)>,
    /// EIPs that a return in the unit is compared with.
    returns: Vec<u32>,
    /// Whether the unit has a return.
    has_return: bool,
}

/// Finds the blocks of the unit that `request` asks for.
#[must_use]
pub fn discover(request: &UnitRequest) -> Discovered {
    let mut walk = Walk::new(request, usize::MAX);
    walk.run_all();
    if walk.insns.len() >= request.limit && request.likely.values().any(|targets| targets.len() > FEW) {
        walk = Walk::new(request, FEW);
        walk.run_all();
    }
    walk.into_blocks()
}

impl<'a> Walk<'a> {
    fn new(request: &'a UnitRequest, most: usize) -> Self {
        Self {
            request,
            most,
            insns: BTreeMap::new(),
            leaders: BTreeSet::from([request.entry]),
            work: VecDeque::from([request.entry]),
            calls: Vec::new(),
            returns: Vec::new(),
            has_return: false,
        }
    }

    fn run_all(&mut self) {
        while let Some(eip) = self.work.pop_front() {
            self.run(eip);
            self.behind_calls();
        }
    }

    /// Where the indirect branch at `eip` is expected to go; nothing if to too many places.
    fn likely_at(&self, eip: u32) -> &'a [u32] {
        let targets = self.request.likely.get(&eip).map_or(&[][..], Vec::as_slice);
        if targets.len() <= self.most { targets } else { &[] }
    }

    fn decode(&self, eip: u32) -> Option<Insn> {
        let bytes = self.request.code.at(eip)?;
        decode(&bytes[..bytes.len().min(15)], eip, DecodeMode { code32: true }).ok()
    }

    /// Decodes from `eip` to the end of its run.
    fn run(&mut self, mut eip: u32) {
        loop {
            if self.insns.contains_key(&eip) {
                // Two ways to read the bytes meet here: a block of its own, so that no two share instructions.
                self.leaders.insert(eip);
                return;
            }
            if self.insns.len() >= self.request.limit {
                return;
            }
            let Some(insn) = self.decode(eip) else { return };
            if handling(&insn) == Handling::Interp {
                return;
            }
            self.insns.insert(eip, insn);
            let next = eip.wrapping_add(u32::from(insn.len));
            if self.branch(eip, &insn, next) {
                return;
            }
            eip = next;
        }
    }

    /// Queues the targets of the branch `insn` at `eip`; whether it ends its run.
    fn branch(&mut self, eip: u32, insn: &Insn, next: u32) -> bool {
        let target = match insn.operand(0) {
            Operand::Target(target) => Some(target),
            _ => None,
        };
        match (insn.op, target) {
            (Op::Jmp, Some(target)) => self.queue(target),
            (Op::Jcc | Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz, Some(target)) => {
                self.queue(next);
                self.queue(target);
            }
            (Op::Call, Some(target)) => {
                if target != next {
                    self.calls.push((target, next));
                }
                self.queue(target);
            }
            (Op::Jmp | Op::Call, _) => {
                let likely = self.likely_at(eip);
                if insn.op == Op::Call && !likely.contains(&next) {
                    self.calls.extend(likely.iter().map(|target| (*target, next)));
                }
                for target in likely {
                    self.queue(*target);
                }
            }
            (Op::Ret, _) => self.has_return = true,
            _ => return false,
        }
        true
    }

    /// Queues what lies behind the calls that the unit may return from: their functions are in it, and so is a return.
    fn behind_calls(&mut self) {
        if !self.has_return {
            return;
        }
        for (target, next) in std::mem::take(&mut self.calls) {
            if self.returns.len() == MAX_RETURNS || self.returns.contains(&next) {
                continue;
            }
            if self.insns.contains_key(&target) {
                self.returns.push(next);
                self.queue(next);
            } else {
                self.calls.push((target, next));
            }
        }
    }

    fn queue(&mut self, eip: u32) {
        self.leaders.insert(eip);
        self.work.push_back(eip);
    }

    fn into_blocks(self) -> Discovered {
        let mut blocks = BTreeMap::new();
        for &leader in &self.leaders {
            if self.insns.contains_key(&leader) {
                blocks.insert(leader, self.block(leader));
            }
        }
        let mut likely = BTreeMap::new();
        for (eip, block) in &blocks {
            if let (End::CallIndirect(_) | End::JumpIndirect, Some((at, _))) = (block.end, block.insns.last())
            {
                likely.insert(*eip, self.likely_at(*at).to_vec());
            }
        }
        let mut returns = self.returns;
        returns.retain(|eip| blocks.contains_key(eip));
        Discovered { blocks, returns, likely }
    }

    fn block(&self, leader: u32) -> Block {
        let mut insns = Vec::new();
        let mut eip = leader;
        while let Some(insn) = self.insns.get(&eip) {
            insns.push((eip, *insn));
            let next = eip.wrapping_add(u32::from(insn.len));
            if let Some(end) = end_of(insn, next) {
                return Block { insns, end };
            }
            eip = next;
            if self.leaders.contains(&eip) && self.insns.contains_key(&eip) {
                return Block { insns, end: End::Fall(eip) };
            }
        }
        let end = match self.decode(eip) {
            Some(insn) if handling(&insn) != Handling::Interp => End::Fall(eip),
            Some(_) | None => End::Interp(eip),
        };
        Block { insns, end }
    }
}

fn end_of(insn: &Insn, next: u32) -> Option<End> {
    let target = match insn.operand(0) {
        Operand::Target(target) => Some(target),
        _ => None,
    };
    match (insn.op, target) {
        (Op::Jmp, Some(target)) => Some(End::Jump(target)),
        (Op::Jmp, None) => Some(End::JumpIndirect),
        (Op::Jcc | Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz, Some(taken)) => {
            Some(End::Branch { taken, next })
        }
        (Op::Call, Some(target)) => Some(End::Call { target, next }),
        (Op::Call, None) => Some(End::CallIndirect(next)),
        (Op::Ret, _) => Some(End::Return),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{CodeBytes, UnitMode};

    fn request(code: Vec<u8>, limit: usize) -> UnitRequest {
        UnitRequest {
            entry: 0x1000,
            mode: UnitMode { paging: false, flat: true },
            code: CodeBytes { start: 0x1000, bytes: code },
            site_base: 0,
            range: None,
            windowed: BTreeSet::new(),
            slow: BTreeSet::new(),
            ungrouped: BTreeSet::new(),
            likely: BTreeMap::new(),
            limit,
            counted: false,
        }
    }

    #[test]
    fn blocks_share_no_instruction_where_two_ways_to_read_the_bytes_meet() {
        // jz into the MOV's immediate, which reads as four NOPs and then goes on like the MOV: push eax; ret.
        let code = vec![0x74, 1, 0xb8, 0x90, 0x90, 0x90, 0x90, 0x50, 0xc3];
        // The limit is reached just before they meet: that must not matter.
        for limit in [100, 8] {
            let unit = discover(&request(code.clone(), limit));
            let mut seen = BTreeSet::new();
            for (eip, _) in unit.blocks.values().flat_map(|block| &block.insns) {
                assert!(seen.insert(*eip), "{eip:#x} is in two blocks");
            }
            assert!(seen.contains(&0x1003) && unit.blocks[&0x1003].end == End::Fall(0x1007), "{unit:?}");
        }
    }

    #[test]
    fn the_targets_of_a_switch_are_taken_in_only_if_the_unit_has_room_for_them() {
        // jmp eax, to one of five times: nop; ret.
        let mut code = vec![0xff, 0xe0];
        code.extend([0x90, 0xc3].repeat(5));
        let targets: Vec<u32> = (0..5).map(|n| 0x1002 + 2 * n).collect();
        let of = |targets: &[u32], limit| {
            let mut request = request(code.clone(), limit);
            request.likely.insert(0x1000, targets.to_vec());
            discover(&request)
        };
        let all = of(&targets, 20);
        assert_eq!((all.followers(0x1000), all.blocks.len()), (targets.clone(), 6));
        let none = of(&targets, 8);
        assert_eq!((none.followers(0x1000), none.blocks.len()), (vec![], 1));
        let few = of(&targets[..4], 8);
        assert_eq!((few.followers(0x1000), few.blocks.len()), (targets[..4].to_vec(), 5));
    }

    #[test]
    fn a_call_through_a_register_that_is_followed_returns_into_the_unit() {
        // call eax; nop; at 0x1003: ret.
        let code = vec![0xff, 0xd0, 0x90, 0xc3];
        let mut request = request(code, 20);
        assert_eq!(discover(&request).blocks.len(), 1);
        request.likely.insert(0x1000, vec![0x1003]);
        let unit = discover(&request);
        assert_eq!((unit.followers(0x1000), unit.returns.clone()), (vec![0x1003], vec![0x1002]));
        assert_eq!(unit.followers(0x1003), vec![0x1002]);
    }

    #[test]
    fn what_lies_behind_a_call_belongs_to_the_unit_if_the_unit_returns_there() {
        let found = |code: &[u8]| {
            let unit = discover(&request(code.to_vec(), 100));
            (unit.blocks.keys().copied().collect::<Vec<u32>>(), unit.returns)
        };
        // call 1008; inc eax; ret; nop; inc eax; ret.
        let inside = found(&[0xe8, 3, 0, 0, 0, 0x40, 0xc3, 0x90, 0x40, 0xc3]);
        assert_eq!(inside, (vec![0x1000, 0x1005, 0x1008], vec![0x1005]));
        // The function is outside: a return from it would come from outside too.
        let outside = found(&[0xe8, 0, 1, 0, 0, 0x40, 0xc3]);
        assert_eq!(outside, (vec![0x1000], vec![]));
        // The function does not return: jmp $.
        let endless = found(&[0xe8, 3, 0, 0, 0, 0x40, 0xc3, 0x90, 0xeb, 0xfe]);
        assert_eq!(endless, (vec![0x1000, 0x1008], vec![]));
        // Five times call 101a; ret; and the function: ret.
        let calls = [0x15, 0x10, 0x0b, 0x06, 0x01].map(|to| [0xe8, to, 0, 0, 0]);
        let (blocks, returns) = found(&[calls.as_flattened(), &[0xc3, 0xc3]].concat());
        assert_eq!(returns, [0x1005, 0x100a, 0x100f, 0x1014]);
        assert_eq!(blocks, [0x1000, 0x1005, 0x100a, 0x100f, 0x1014, 0x101a]);
    }
}
