//! Which pages a unit must find in place on its way, while paging is on.
//!
//! A unit over several pages is made of what the page tables showed when it was compiled. The engine keeps a cell
//! for each page, which holds the epoch in which a fetch last found the page where it was; a guard compares
//! the cell with the epoch in the state. Invariant: no byte of an instruction lies in a page that was not
//! compared since the unit was entered; the epoch does not advance inside a unit without a helper that leaves.

use std::collections::{BTreeMap, BTreeSet};

use base::PAGE_SHIFT;
use isa::Insn;

use crate::discover::Discovered;

/// A set of linear page numbers.
type Pages = BTreeSet<u32>;

/// Page numbers to compare before each instruction that needs it, by EIP.
#[derive(Clone, Debug, Default)]
pub struct Guards(BTreeMap<u32, Vec<u32>>);

impl Guards {
    /// The pages to compare before the instruction at `eip`.
    #[must_use]
    pub fn at(&self, eip: u32) -> &[u32] {
        self.0.get(&eip).map_or(&[], Vec::as_slice)
    }
}

/// Pages of the first and the last byte of an instruction.
fn pages_of(eip: u32, insn: &Insn) -> [u32; 2] {
    [eip >> PAGE_SHIFT, eip.wrapping_add(u32::from(insn.len) - 1) >> PAGE_SHIFT]
}

/// Plans the guards of a unit whose entry page is compared on the way in.
#[must_use]
pub fn plan(unit: &Discovered, entry: u32) -> Guards {
    let known = known_at_entries(unit, entry);
    let mut guards = BTreeMap::new();
    for (eip, block) in &unit.blocks {
        let Some(mut known) = known.get(eip).cloned() else { continue };
        for (at, insn) in &block.insns {
            let missing: Vec<u32> =
                pages_of(*at, insn).into_iter().filter(|page| known.insert(*page)).collect();
            if !missing.is_empty() {
                guards.insert(*at, missing);
            }
        }
    }
    Guards(guards)
}

/// The pages that have been compared on every way to the start of each block that can be reached.
fn known_at_entries(unit: &Discovered, entry: u32) -> BTreeMap<u32, Pages> {
    let mut known = BTreeMap::from([(entry, Pages::from([entry >> PAGE_SHIFT]))]);
    let mut work = vec![entry];
    while let Some(eip) = work.pop() {
        let block = &unit.blocks[&eip];
        let mut after = known[&eip].clone();
        after.extend(block.insns.iter().flat_map(|(at, insn)| pages_of(*at, insn)));
        for target in unit.followers(eip) {
            if !unit.blocks.contains_key(&target) {
                continue;
            }
            let met = match known.get(&target) {
                Some(before) => before.intersection(&after).copied().collect(),
                None => after.clone(),
            };
            if known.get(&target) != Some(&met) {
                known.insert(target, met);
                work.push(target);
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::discover;
    use crate::unit::{CodeBytes, UnitMode, UnitRequest};

    /// Guards of the code in two pages of NOPs from 0x1000 on, with `parts` put over them.
    fn guards_of(entry: u32, parts: &[(u32, &[u8])]) -> BTreeMap<u32, Vec<u32>> {
        let mut bytes = vec![0x90; 0x2000];
        for (eip, part) in parts {
            let at = (eip - 0x1000) as usize;
            bytes[at..at + part.len()].copy_from_slice(part);
        }
        let request = UnitRequest {
            entry,
            mode: UnitMode { paging: true, flat: true },
            code: CodeBytes { start: 0x1000, bytes },
            site_base: 0,
            range: None,
            windowed: BTreeSet::new(),
            slow: BTreeSet::new(),
            ungrouped: BTreeSet::new(),
            likely: BTreeMap::new(),
            limit: 100,
            counted: false,
        };
        plan(&discover(&request), entry).0
    }

    #[test]
    fn a_unit_in_one_page_needs_none() {
        assert_eq!(guards_of(0x1000, &[(0x1001, &[0xeb, 0xfd])]), BTreeMap::new());
    }

    #[test]
    fn falling_into_the_next_page_is_guarded_where_it_begins() {
        assert_eq!(guards_of(0x1ffe, &[(0x2001, &[0xc3])]), BTreeMap::from([(0x2000, vec![2])]));
    }

    #[test]
    fn an_instruction_across_pages_is_guarded_before_it_starts() {
        let mov = [0xb8, 0, 0, 0, 0];
        assert_eq!(
            guards_of(0x1ffd, &[(0x1ffd, &mov), (0x2002, &[0xc3])]),
            BTreeMap::from([(0x1ffd, vec![2])])
        );
    }

    #[test]
    fn where_ways_meet_only_pages_of_every_way_are_known() {
        // jz 0x2000; 0x1002: nop; jmp 0x2000 is the other way: both meet at 0x2000, which neither has seen.
        let jz = [0x0f, 0x84, 0xfa, 0x0f, 0, 0];
        let jmp = [0xe9, 0xf4, 0x0f, 0, 0];
        let both = guards_of(0x1000, &[(0x1000, &jz), (0x1007, &jmp), (0x2000, &[0xc3])]);
        assert_eq!(both, BTreeMap::from([(0x2000, vec![2])]));
        // A loop over both pages asks each time round: its head is also reached from the entry alone.
        let back = [0xe9, 0xfb, 0xef, 0xff, 0xff];
        let round = guards_of(0x1000, &[(0x1000, &jz), (0x1006, &[0xc3]), (0x2000, &back)]);
        assert_eq!(round, BTreeMap::from([(0x2000, vec![2])]));
    }
}
