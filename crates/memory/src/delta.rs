//! What a commit changes: the pointwise difference of two views.

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
}

/// Adds to `changed` the addresses in `window` that `old` and the ranges `new` bind differently.
pub(crate) fn difference(window: AddrRange, old: &FlatView, new: &[FlatRange], changed: &mut Vec<AddrRange>) {
    let mut olds = old.ranges_from(window.first()).peekable();
    let mut news = new.iter().peekable();
    let mut at = window.first();
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
