//! The children of one region: found by the bytes they take, listed in the order of visiting.
//!
//! Nothing here walks all children to find one: children are kept by size class and first byte. Those of class `c`
//! are `2^c` bytes long at most, so what may reach into a window starts at most that far in front of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use base::AddrRange;

use crate::RegionId;

/// A child as its parent lists it: enough to pass it by without looking at its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildSlot {
    pub id: RegionId,
    /// Its bytes, as offsets in the parent, cut at 2^64.
    pub extent: AddrRange,
    pub priority: i32,
    pub exclusive: bool,
    /// Number of its attaching: among equals the later one is visited first. No two children have the same.
    pub turn: u64,
}

impl ChildSlot {
    /// What visiting sorts by.
    pub fn order(&self) -> (Reverse<i32>, Reverse<u64>) {
        (Reverse(self.priority), Reverse(self.turn))
    }

    /// Binary logarithm of its length, rounded up.
    fn class(&self) -> u32 {
        u64::BITS - (self.extent.last() - self.extent.first()).leading_zeros()
    }
}

/// Children of one size class, by first byte and number of attaching.
struct Class {
    class: u32,
    slots: BTreeMap<(u64, u64), ChildSlot>,
}

/// The children of one region.
#[derive(Default)]
pub(crate) struct Children {
    /// In ascending order, none empty.
    classes: Vec<Class>,
}

impl Children {
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Every child, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = &ChildSlot> {
        self.classes.iter().flat_map(|class| class.slots.values())
    }

    /// Every child in the order of visiting.
    pub fn ordered(&self) -> Vec<ChildSlot> {
        sorted(self.iter().copied())
    }

    /// The children that reach into `window`, in no promised order.
    pub fn reaching(&self, window: AddrRange) -> impl Iterator<Item = &ChildSlot> {
        self.classes.iter().flat_map(move |class| {
            let before = 1_u64.checked_shl(class.class).map_or(u64::MAX, |length| length - 1);
            let first = window.first().saturating_sub(before);
            let slots = class.slots.range((first, 0)..=(window.last(), u64::MAX)).map(|(_, slot)| slot);
            slots.filter(move |slot| slot.extent.overlaps(window))
        })
    }

    /// The children that reach into `window`, in the order of visiting.
    pub fn visited(&self, window: AddrRange) -> Vec<ChildSlot> {
        sorted(self.reaching(window).copied())
    }

    pub fn insert(&mut self, slot: ChildSlot) {
        let class = slot.class();
        let place = self.classes.partition_point(|other| other.class < class);
        if self.classes.get(place).is_none_or(|other| other.class != class) {
            self.classes.insert(place, Class { class, slots: BTreeMap::new() });
        }
        self.classes[place].slots.insert((slot.extent.first(), slot.turn), slot);
    }

    /// Takes out what [`Children::insert`] put in; whether it was there.
    pub fn remove(&mut self, slot: &ChildSlot) -> bool {
        let class = slot.class();
        let place = self.classes.partition_point(|other| other.class < class);
        let Some(found) = self.classes.get_mut(place).filter(|other| other.class == class) else {
            return false;
        };
        let removed = found.slots.remove(&(slot.extent.first(), slot.turn)).is_some();
        if found.slots.is_empty() {
            self.classes.remove(place);
        }
        removed
    }
}

fn sorted(slots: impl Iterator<Item = ChildSlot>) -> Vec<ChildSlot> {
    let mut slots: Vec<_> = slots.collect();
    slots.sort_unstable_by_key(ChildSlot::order);
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot with the number `turn`, which tells it from the others.
    fn slot(first: u64, last: u64, priority: i32, turn: u64) -> ChildSlot {
        let extent = AddrRange::new(first, last).unwrap();
        ChildSlot { id: RegionId { index: turn as u32, serial: 0 }, extent, priority, exclusive: false, turn }
    }

    /// A place and a length less 1, both of any magnitude.
    fn place(next: &mut impl FnMut(u64) -> u64) -> (u64, u64) {
        let (high, shift, bits) = (next(1 << 10), next(55), next(63));
        (high << shift, next(1 << bits))
    }

    #[test]
    fn what_reaches_into_a_window_is_what_a_scan_finds() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let (mut children, mut all) = (Children::default(), Vec::new());
        for turn in 0..500 {
            let (first, length) = place(&mut next);
            let new = slot(first, first.saturating_add(length), next(3) as i32, turn);
            children.insert(new);
            all.push(new);
            if turn > 0 && next(4) == 0 {
                let gone = all.swap_remove(next(turn) as usize % all.len());
                assert!(children.remove(&gone) && !children.remove(&gone));
            }
            let (first, length) = place(&mut next);
            let window = AddrRange::new(first, first.saturating_add(length)).unwrap();
            let scanned = sorted(all.iter().copied().filter(|slot| slot.extent.overlaps(window)));
            assert_eq!(children.visited(window), scanned, "{window:?}");
            assert_eq!(children.ordered(), sorted(all.iter().copied()));
        }
    }

    #[test]
    fn the_whole_space_and_its_ends_are_found() {
        let mut children = Children::default();
        assert!(children.is_empty());
        let slots = [slot(0, u64::MAX, 0, 0), slot(0, 0, 0, 1), slot(u64::MAX, u64::MAX, 1, 2)];
        slots.iter().for_each(|slot| children.insert(*slot));
        assert_eq!(children.visited(AddrRange::ALL), [slots[2], slots[1], slots[0]]);
        assert_eq!(children.visited(AddrRange::new(u64::MAX, u64::MAX).unwrap()), [slots[2], slots[0]]);
        assert_eq!(children.visited(AddrRange::new(5, 5).unwrap()), [slots[0]]);
    }
}
