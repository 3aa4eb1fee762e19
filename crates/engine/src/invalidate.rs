//! What code writes and map changes do to translations.

use std::sync::{Arc, Mutex, PoisonError};

use base::AddrRange;
use memory::{FlatView, MapDelta, MapListener, RamBlock};

use crate::cache::{Piece, UnitId};
use crate::run::Engine;
use crate::stats::InvalidationCause;

/// More ranges than this in a mailbox become one, which holds them all.
const MAX_POSTED: usize = 64;

/// What has changed since a processor last looked.
pub(crate) struct Posted {
    /// Every address that was bound differently at some time, in sorted, disjoint ranges.
    changed: Vec<AddrRange>,
    /// The view in force.
    view: Arc<FlatView>,
    /// Number of changes.
    count: u64,
}

/// Map changes of one address space, on their way to a processor. However many wait, they take little room: a
/// processor that has not looked for long needs the last view and the addresses alone.
#[derive(Default)]
pub struct DeltaMailbox(Mutex<Option<Posted>>);

impl DeltaMailbox {
    /// Empties the mailbox.
    pub(crate) fn take(&self) -> Option<Posted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl MapListener for DeltaMailbox {
    fn apply(&self, delta: &MapDelta) {
        let mut posted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let view = Arc::clone(&delta.view);
        let Some(waiting) = &mut *posted else {
            *posted = Some(Posted { changed: delta.changed.clone(), view, count: 1 });
            return;
        };
        waiting.count += 1;
        waiting.view = view;
        add_ranges(&mut waiting.changed, &delta.changed);
    }
}

/// Adds `more` to sorted, disjoint ranges and leaves them so.
fn add_ranges(ranges: &mut Vec<AddrRange>, more: &[AddrRange]) {
    if more.iter().all(|new| ranges.iter().any(|range| range.contains_range(*new))) {
        return;
    }
    ranges.extend(more);
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let one = before.overlaps(*next) || before.touches(*next);
        if one && let Some(both) = AddrRange::new(before.first(), before.last().max(next.last())) {
            *before = both;
        }
        one
    });
    if ranges.len() > MAX_POSTED
        && let [first, .., last] = ranges[..]
    {
        ranges.clear();
        ranges.extend(AddrRange::new(first.first(), last.last()));
    }
}

impl Engine {
    /// Applies the map changes that have been published: TLB entries and windows of changed pages go, and
    /// translations in changed ranges become unreachable, not forgotten.
    pub(crate) fn apply_map_changes(&mut self) {
        if let Some(Posted { changed, view, count }) = self.deltas.take() {
            self.stats.map_changes += count;
            self.owner.cpu.map_applied(view, &changed);
            self.cache.pages.forget(&changed);
            self.range_changed();
            for id in self.cache.in_ranges(&changed) {
                // A write target that changed leaves the code readable where it was.
                if !self.cache.in_place(id, self.owner.cpu.mmu.view()) {
                    self.stats.severed_by_map += u64::from(self.cache.sever(id));
                }
            }
        }
        self.owner.cpu.refresh_ports();
    }

    /// Looks whether the baked range is still what it was; if not, what bakes it goes.
    pub(crate) fn range_changed(&mut self) {
        let now = crate::compile::ram_range(self.owner.cpu.mmu.view());
        let (range, host) = now.map_or((None, 0), |(range, host)| (Some(range), host));
        let state = &mut self.owner.cpu.state;
        if (range, host) == (self.range, state.range_host) {
            return;
        }
        state.range_host = host;
        self.range = range;
        for id in self.cache.with_baked_range() {
            self.drop_translation(id, InvalidationCause::BakedRange);
        }
    }

    /// Drops the translations whose code bytes have been written.
    pub(crate) fn apply_code_writes(&mut self) {
        let writes = self.owner.cpu.mmu.code_writes().take();
        for (ram, page, lines) in writes {
            for id in self.cache.covering(ram, page, lines) {
                self.drop_translation(id, InvalidationCause::CodeWrite);
            }
            if let Some(block) = self.blocks.get(&ram).cloned() {
                self.tidy_page(&block, page);
            }
        }
    }

    /// Drops a translation and the code marks that were its alone.
    pub(crate) fn drop_translation(&mut self, id: UnitId, cause: InvalidationCause) {
        let Some(translation) = self.cache.remove(id, &mut self.owner.cpu.state) else { return };
        match cause {
            InvalidationCause::CodeWrite => self.stats.dropped_code_write += 1,
            InvalidationCause::SlowAccess => self.stats.dropped_slow += 1,
            InvalidationCause::Eviction => self.stats.evicted += 1,
            InvalidationCause::BakedRange => self.stats.dropped_range += 1,
            InvalidationCause::Variants => self.stats.dropped_variants += 1,
        }
        self.tidy_lines(&translation.pieces);
    }

    /// Marks bytes as code and takes the inline stores to their page away.
    pub(crate) fn mark_code(&mut self, piece: &Piece) {
        let Some(block) = self.blocks.get(&piece.ram).cloned() else { return };
        if block.code_lines(piece.page()) == 0 {
            self.owner.cpu.close_writes(&block, piece.page());
        }
        block.mark_code(piece.start, piece.end - piece.start);
    }

    /// Clears the code marks in the pages of `pieces` that no live translation needs.
    pub(crate) fn tidy_lines(&mut self, pieces: &[Piece]) {
        let mut last = None;
        for piece in pieces {
            let page = (piece.ram, piece.page());
            if last != Some(page)
                && let Some(block) = self.blocks.get(&piece.ram).cloned()
            {
                self.tidy_page(&block, piece.page());
            }
            last = Some(page);
        }
    }

    fn tidy_page(&mut self, block: &Arc<RamBlock>, page: u64) {
        let stale = block.code_lines(page) & !self.cache.lines(block.id(), page);
        if stale == 0 {
            return;
        }
        block.clear_code(page, stale);
        if block.code_lines(page) == 0 {
            self.owner.cpu.reopen_writes(block, page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> AddrRange {
        AddrRange::new(first, last).unwrap()
    }

    #[test]
    fn waiting_changes_stay_sorted_disjoint_and_few() {
        let mut ranges = vec![range(0x10, 0x1f)];
        add_ranges(&mut ranges, &[range(0, 7), range(0x18, 0x27)]);
        assert_eq!(ranges, [range(0, 7), range(0x10, 0x27)]);
        add_ranges(&mut ranges, &[range(0x12, 0x13)]);
        add_ranges(&mut ranges, &[range(8, 0xf), range(u64::MAX, u64::MAX)]);
        assert_eq!(ranges, [range(0, 0x27), range(u64::MAX, u64::MAX)]);
        for n in 1..=MAX_POSTED as u64 {
            add_ranges(&mut ranges, &[range(n << 12, n << 12)]);
        }
        assert!(ranges.len() <= MAX_POSTED && ranges.windows(2).all(|pair| pair[0].last() < pair[1].first()));
        let covered = |addr| ranges.iter().any(|range| range.contains(addr));
        assert!([0, 0x1000, (MAX_POSTED as u64) << 12, u64::MAX].into_iter().all(covered));
    }
}
