//! The difference of two views that may belong to different maps.
//!
//! Regions of two maps are the same if they have the same name; what a commit tells its listeners compares
//! identities and not names (`delta.rs`).

use std::collections::BTreeSet;

use base::AddrRange;

use super::{RangeInfo, Side};
use crate::{FlatRange, FlatView};

/// Addresses that two views bind differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The addresses.
    pub range: AddrRange,
    /// What the old view shows there.
    pub old: Option<RangeInfo>,
    /// What the new view shows there.
    pub new: Option<RangeInfo>,
}

/// The addresses that `old` and `new` bind differently, sorted, disjoint and maximal.
#[must_use]
pub fn compare(old: &FlatView, new: &FlatView) -> Vec<ViewChange> {
    let mut changes: Vec<ViewChange> = Vec::new();
    for range in segments(old, new) {
        let there = |view: &FlatView| {
            let found = view.lookup(range.first()).map(FlatRange::info);
            found.map(|info| info.cut(range))
        };
        let (old, new) = (there(old), there(new));
        if alike(old.as_ref(), new.as_ref(), 0) {
            continue;
        }
        match changes.last_mut() {
            Some(before) if goes_on(before, range, old.as_ref(), new.as_ref()) => {
                extend(before, range.last())
            }
            _ => changes.push(ViewChange { range, old, new }),
        }
    }
    changes
}

/// The space cut wherever a range of either view begins or ends.
fn segments(old: &FlatView, new: &FlatView) -> Vec<AddrRange> {
    let mut starts = BTreeSet::from([0]);
    for range in old.ranges().chain(new.ranges()).map(|range| range.range) {
        starts.insert(range.first());
        starts.extend(range.last().checked_add(1));
    }
    let lasts = starts.iter().skip(1).map(|start| start - 1).chain([u64::MAX]);
    starts.iter().zip(lasts).filter_map(|(first, last)| AddrRange::new(*first, last)).collect()
}

/// Whether `later`, `distance` bytes further on, is bound as `here` is.
fn alike(here: Option<&RangeInfo>, later: Option<&RangeInfo>, distance: u64) -> bool {
    let side = |here: &Option<Side>, later: &Option<Side>| match (here, later) {
        (None, None) => true,
        (Some(here), Some(later)) => {
            here.name == later.name
                && here.answer == later.answer
                && here.attrs == later.attrs
                && here.offset.wrapping_add(distance) == later.offset
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    match (here, later) {
        (None, None) => true,
        (Some(here), Some(later)) => side(&here.read, &later.read) && side(&here.write, &later.write),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn goes_on(before: &ViewChange, range: AddrRange, old: Option<&RangeInfo>, new: Option<&RangeInfo>) -> bool {
    let distance = range.first().wrapping_sub(before.range.first());
    before.range.touches(range)
        && alike(before.old.as_ref(), old, distance)
        && alike(before.new.as_ref(), new, distance)
}

fn extend(change: &mut ViewChange, last: u64) {
    let longer = |range: AddrRange| AddrRange::new(range.first(), last).expect("the segments ascend");
    change.range = longer(change.range);
    for info in [&mut change.old, &mut change.new].into_iter().flatten() {
        info.range = longer(info.range);
    }
}
