//! Watching the code that is being interpreted: whether fetching it anew could give other bytes or a fault.

use base::LinearAddr;

use super::paging::Intent;
use super::tlb::host_copy;
use crate::{Cpu, Exception};

/// Pages watched at a time; a power of two.
const PAGES: usize = 512;

/// The watched pages and what has happened to them.
///
/// Invariant: `changes` advances with every store to a watched page, when a page ceases to be watched, and with
/// everything that may store out of sight (the bus, ports) or drop a TLB entry (a new one). What else matters to a
/// fetch (CS, privilege, control registers, the memory map) sets `leave` in the state. Translated code stores out of
/// sight too, but not to a page that holds code: `translated` advances when it has run, `changes` when a page ceases
/// to hold code.
#[derive(Debug)]
pub(super) struct CodeWatch {
    /// Host addresses of pages, each at the place that its number says; 0 where none is watched.
    pages: [u64; PAGES],
    changes: u64,
    translated: u64,
}

/// State of the watch when the bytes of a place were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    changes: u64,
    /// [`CANNOT`] of a page that translated code cannot store to.
    translated: u64,
}

/// More often than translated code ever runs.
const CANNOT: u64 = u64::MAX;

impl Seen {
    /// Never.
    pub const NEVER: Self = Self { changes: u64::MAX, translated: CANNOT };
}

impl CodeWatch {
    pub fn new() -> Self {
        Self { pages: [0; PAGES], changes: 0, translated: 0 }
    }

    #[inline]
    fn place(&mut self, page: u64) -> &mut u64 {
        &mut self.pages[(page >> base::PAGE_SHIFT) as usize % PAGES]
    }

    /// Notes a store to host page `page`.
    #[inline]
    pub fn stored(&mut self, page: u64) {
        if *self.place(page) == page {
            *self.place(page) = 0;
            self.changes += 1;
        }
    }

    /// Notes that anything may have happened.
    pub fn changed(&mut self) {
        self.changes += 1;
    }

    fn watch(&mut self, page: u64) {
        let old = std::mem::replace(self.place(page), page);
        if old != page && old != 0 {
            self.changes += 1;
        }
    }
}

impl Cpu {
    /// Copies the bytes of code at `la` that lie in its page and watches the page. Returns how many they are, 0
    /// when it is no page of plain memory, and what [`Cpu::may_have_changed`] is to be asked with later.
    ///
    /// # Errors
    /// #PF.
    pub fn watch_code(&mut self, la: LinearAddr, bytes: &mut [u8]) -> Result<(usize, Seen), Exception> {
        let entry = self.translate(la, Intent { write: false, user: self.is_user() }, true)?;
        if entry.read == 0 || entry.read & base::PAGE_MASK != 0 {
            return Ok((0, Seen { changes: self.mmu.watch.changes, translated: CANNOT }));
        }
        self.mmu.watch.watch(entry.read);
        let here = (base::PAGE_SIZE as usize - la.page_offset() as usize).min(bytes.len());
        host_copy(entry.read, la.page_offset(), &mut bytes[..here]);
        // Where the TLB allows direct stores the gate is open.
        let open = entry.write != 0 || !self.mmu.holds_code(entry.phys);
        let CodeWatch { changes, translated, .. } = self.mmu.watch;
        Ok((here, Seen { changes, translated: if open { translated } else { CANNOT } }))
    }

    /// Whether the bytes that were seen may have changed since, or a fetch of them may fault.
    #[must_use]
    #[inline]
    pub fn may_have_changed(&self, seen: Seen) -> bool {
        let CodeWatch { changes, translated, .. } = self.mmu.watch;
        seen.changes != changes || seen.translated != translated && seen.translated != CANNOT
    }

    /// A number that differs from an earlier one if code that was watched then may have changed since.
    #[must_use]
    #[inline]
    pub fn code_changes(&self) -> u64 {
        self.mmu.watch.changes
    }

    /// Notes that translated code has run.
    pub fn translated_code_ran(&mut self) {
        self.mmu.watch.translated += 1;
    }

    /// Notes that code may have changed otherwise than by the interpreter or translated code.
    pub fn code_changed(&mut self) {
        self.mmu.watch.changed();
    }
}
