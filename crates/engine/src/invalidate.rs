//! What code writes and map changes do to translations.

use std::sync::{Arc, Mutex};

use base::AddrRange;
use memory::{FlatView, MapDelta, MapListener, RamBlock};

use crate::cache::{Piece, UnitId};
use crate::run::Engine;
use crate::stats::InvalidationCause;

/// Map changes of one address space, on their way to a processor.
#[derive(Default)]
pub struct DeltaMailbox(Mutex<Vec<(Vec<AddrRange>, Arc<FlatView>)>>);

impl DeltaMailbox {
    fn take(&self) -> Vec<(Vec<AddrRange>, Arc<FlatView>)> {
        self.0.lock().map(|mut deltas| std::mem::take(&mut *deltas)).unwrap_or_default()
    }
}

impl MapListener for DeltaMailbox {
    fn apply(&self, delta: &MapDelta) {
        if let Ok(mut deltas) = self.0.lock() {
            deltas.push((delta.changed.clone(), Arc::clone(&delta.view)));
        }
    }
}

impl Engine {
    /// Applies the map changes that have been published: TLB entries and windows of changed pages go, and
    /// translations in changed ranges become unreachable, not forgotten.
    pub(crate) fn apply_map_changes(&mut self) {
        for (changed, view) in self.deltas.take() {
            self.stats.map_changes += 1;
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
