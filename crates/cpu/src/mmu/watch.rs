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
/// fetch (CS, privilege, control registers, the memory map) sets `leave` in the state.
#[derive(Debug)]
pub(super) struct CodeWatch {
    /// Host addresses of pages, each at the place that its number says; 0 where none is watched.
    pages: [u64; PAGES],
    changes: u64,
}

impl CodeWatch {
    pub fn new() -> Self {
        Self { pages: [0; PAGES], changes: 0 }
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
    /// Copies the bytes of code at `la` that lie in its page and watches the page. Returns how many they are: 0
    /// when it is no page of plain memory.
    ///
    /// # Errors
    /// #PF.
    pub fn watch_code(&mut self, la: LinearAddr, bytes: &mut [u8]) -> Result<usize, Exception> {
        let entry = self.translate(la, Intent { write: false, user: self.is_user() }, true)?;
        if entry.read == 0 || entry.read & base::PAGE_MASK != 0 {
            return Ok(0);
        }
        self.mmu.watch.watch(entry.read);
        let here = (base::PAGE_SIZE as usize - la.page_offset() as usize).min(bytes.len());
        host_copy(entry.read, la.page_offset(), &mut bytes[..here]);
        Ok(here)
    }

    /// A number that differs from an earlier one if code that was watched then may have changed since.
    #[must_use]
    #[inline]
    pub fn code_changes(&self) -> u64 {
        self.mmu.watch.changes
    }

    /// Notes that code may have changed otherwise than by the interpreter.
    pub fn code_changed(&mut self) {
        self.mmu.watch.changed();
    }
}
