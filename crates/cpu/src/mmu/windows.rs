//! Windows: runs of neighbouring pages that translated code may access without asking (jit.md, 1).
//!
//! Invariant: a page is in a window for loads only if its accessed bits are set in both levels, in one for
//! stores only if it is also dirty and its write gate is open. Making a window sets bits for the page that
//! was asked for and for no other.

use base::LinearAddr;
use memory::{GATE_NEXT, Target};

use super::Mmu;
use super::paging::Intent;
use crate::layout::Window;
use crate::{Cpu, Exception};

impl Cpu {
    /// The window around `la` for a load or store with the present privilege; empty when the page cannot be
    /// accessed directly.
    ///
    /// # Errors
    /// #PF of `la` itself.
    pub fn window(&mut self, la: LinearAddr, write: bool) -> Result<Window, Exception> {
        let intent = Intent { write, user: self.is_user() };
        let entry = self.translate(la, intent, true)?;
        self.mmu.stats.windows += 1;
        let host = if write { entry.write } else { entry.read };
        if host == 0 {
            return Ok(Window::default());
        }
        Ok(if self.mmu.paging.on {
            self.mmu.paged_window(la, host, intent)
        } else {
            self.mmu.flat_window(la, write)
        })
    }
}

impl Mmu {
    /// Paging on: grows over neighbouring TLB entries whose host pages are neighbours too.
    fn paged_window(&mut self, la: LinearAddr, host: u64, intent: Intent) -> Window {
        let page = la.page();
        let delta = host.wrapping_sub(page_bytes(page));
        let first = self.tlb.run_end(page, delta, intent, false);
        let last = self.tlb.run_end(page, delta, intent, true);
        window(first, last, host - page_bytes(page - first))
    }

    /// Paging off: the flat range itself for loads, the run of open gates around `la` for stores.
    fn flat_window(&self, la: LinearAddr, write: bool) -> Window {
        let Some(range) = self.view.lookup(u64::from(la.0)) else { return Window::default() };
        let Target::Host(slice) = (if write { &range.write } else { &range.read }) else {
            return Window::default();
        };
        let host_of =
            |page: u32| slice.block.host().address() + slice.offset + page_bytes(page) - range.range.first();
        let lowest = range.range.first().next_multiple_of(base::PAGE_SIZE) >> base::PAGE_SHIFT;
        let above = (range.range.last().saturating_add(1) >> base::PAGE_SHIFT).min(1 << 20);
        let (lowest, above, page) = (lowest as u32, above as u32, la.page());
        if !write {
            return window(lowest, above - 1, host_of(lowest));
        }
        let block_page =
            |page: u32| (slice.offset + page_bytes(page) - range.range.first()) >> base::PAGE_SHIFT;
        let open = |page: u32| slice.block.gate(block_page(page)) & !GATE_NEXT == 0;
        let mut first = page;
        while first > lowest && open(first - 1) {
            first -= 1;
        }
        let mut last = page;
        while last + 1 < above && open(last + 1) {
            last += 1;
        }
        window(first, last, host_of(first))
    }
}

fn page_bytes(pages: u32) -> u64 {
    u64::from(pages) << base::PAGE_SHIFT
}

fn window(first: u32, last: u32, host: u64) -> Window {
    Window::new(first << base::PAGE_SHIFT, page_bytes(last - first + 1), host)
}
