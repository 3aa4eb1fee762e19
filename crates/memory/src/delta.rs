//! What a commit changes: the pointwise difference of two views.
//!
//! A listener that comes late is told the view in force as the difference from nothing, and one that leaves the
//! difference to nothing (`MapDelta::appearing`, `MapDelta::vanishing`).

use std::sync::Arc;

use base::AddrRange;

use crate::view::FlatRange;
use crate::{FlatView, SpaceId};

/// The change of one address space by one commit.
#[derive(Clone, Debug)]
pub struct MapDelta {
    /// The space.
    pub space: SpaceId,
    /// The addresses whose binding differs, sorted, disjoint and not touching. A range that was only split or
    /// joined is not among them.
    pub changed: Vec<AddrRange>,
    /// The view in force from now on.
    pub view: Arc<FlatView>,
    /// The view that was in force before.
    pub previous: Arc<FlatView>,
}

impl MapDelta {
    /// Generation of the new view.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.view.generation()
    }

    /// Name of the space.
    #[must_use]
    pub fn space_name(&self) -> &str {
        self.view.space_name()
    }

    /// What was mapped at the changed addresses: the ranges of the previous view, cut to those.
    pub fn removed(&self) -> impl Iterator<Item = FlatRange> {
        self.changed.iter().flat_map(|changed| self.previous.ranges_in(*changed))
    }

    /// What is mapped there now: the ranges of the new view, cut to the changed addresses.
    pub fn added(&self) -> impl Iterator<Item = FlatRange> {
        self.changed.iter().flat_map(|changed| self.view.ranges_in(*changed))
    }

    /// The whole of `view`, as it looks to somebody who knew nothing; `None` if nothing is mapped.
    pub(crate) fn appearing(space: SpaceId, view: Arc<FlatView>) -> Option<Self> {
        let previous = Arc::new(view.emptied(0));
        Self::between(space, previous, view)
    }

    /// The opposite: everything goes; `None` if nothing is mapped.
    pub(crate) fn vanishing(space: SpaceId, view: Arc<FlatView>) -> Option<Self> {
        let empty = Arc::new(view.emptied(view.generation()));
        Self::between(space, view, empty)
    }

    fn between(space: SpaceId, previous: Arc<FlatView>, view: Arc<FlatView>) -> Option<Self> {
        let mut changed = Vec::new();
        difference(AddrRange::ALL, previous.ranges(), view.ranges(), &mut changed);
        if changed.is_empty() { None } else { Some(Self { space, changed, view, previous }) }
    }
}

/// Adds to `changed` the addresses in `window` that the ranges `old` and `new`, each from the start of the window or
/// before it on, bind differently.
pub(crate) fn difference<'a>(
    window: AddrRange,
    old: impl Iterator<Item = &'a FlatRange>,
    new: impl Iterator<Item = &'a FlatRange>,
    changed: &mut Vec<AddrRange>,
) {
    let (mut olds, mut news) = (old.peekable(), new.peekable());
    let mut at = window.first();
    while olds.next_if(|range| range.range.last() < at).is_some() {}
    while news.next_if(|range| range.range.last() < at).is_some() {}
    loop {
        let (here, old_last) = segment(olds.peek().copied(), at, window);
        let (there, new_last) = segment(news.peek().copied(), at, window);
        let last = old_last.min(new_last);
        let alike = match (here, there) {
            (None, None) => true,
            (Some(here), Some(there)) => here.binds_alike(there, at),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !alike {
            note(changed, at, last);
        }
        if last == window.last() {
            return;
        }
        at = last + 1;
        while olds.next_if(|range| range.range.last() < at).is_some() {}
        while news.next_if(|range| range.range.last() < at).is_some() {}
    }
}

/// The range at `at`, or `None` in a hole, and the last address in the window for which that holds.
fn segment(next: Option<&FlatRange>, at: u64, window: AddrRange) -> (Option<&FlatRange>, u64) {
    match next {
        Some(range) if range.range.contains(at) => (Some(range), range.range.last().min(window.last())),
        Some(range) if range.range.first() <= window.last() => (None, range.range.first() - 1),
        Some(_) | None => (None, window.last()),
    }
}

/// Adds `first..=last`, which lies above everything noted.
fn note(changed: &mut Vec<AddrRange>, first: u64, last: u64) {
    let range = AddrRange::new(first, last).expect("a segment is not empty");
    match changed.last_mut() {
        Some(before) if before.touches(range) => {
            *before = AddrRange::new(before.first(), last).expect("the segments ascend");
        }
        _ => changed.push(range),
    }
}
