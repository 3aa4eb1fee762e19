//! Instruction fetch, and what map changes and code writes do to the TLB.

use std::sync::Arc;

use base::{AddrRange, LinearAddr, PhysAddr};
use memory::{AccessCx, FlatView, GATE_CODE, RamBlock, Row, Target};

use super::Mmu;
use super::paging::Intent;
use super::tlb::host_copy;
use crate::{Cpu, Exception};

/// A whole page of host memory that holds code.
#[derive(Clone, Debug)]
pub struct CodePage {
    /// The RAM block.
    pub block: Arc<RamBlock>,
    /// Offset of the page in the block, a multiple of the page size.
    pub offset: u64,
    /// Physical address of the page.
    pub phys: PhysAddr,
}

/// Where the bytes of an instruction come from.
#[derive(Clone, Debug)]
pub enum CodeSource {
    /// A whole page of host memory: translations may be made from it.
    Page(CodePage),
    /// A device, a hole, or a page that more than one range shares: one instruction at a time.
    Bus(PhysAddr),
}

impl Cpu {
    /// What holds the code at linear address `la`.
    ///
    /// # Errors
    /// #PF, with the fetch counted as a read (no execute-disable yet).
    pub fn code_source(&mut self, la: LinearAddr) -> Result<CodeSource, Exception> {
        let entry = self.translate(la, Intent { write: false, user: self.is_user() }, true)?;
        if entry.read == 0 {
            return Ok(CodeSource::Bus(entry.phys));
        }
        Ok(self.mmu.page_of(entry.phys).map_or(CodeSource::Bus(entry.phys), CodeSource::Page))
    }

    /// Copies the bytes of code at `la` that lie in its page, up to 15, and returns how many they are. The next
    /// page is not looked at, so its accessed bit stays as it is.
    ///
    /// # Errors
    /// #PF.
    pub fn fetch_here(&mut self, la: LinearAddr, bytes: &mut [u8; 15]) -> Result<usize, Exception> {
        let here = (base::PAGE_SIZE as usize - la.page_offset() as usize).min(bytes.len());
        self.fetch_in_page(la, &mut bytes[..here])?;
        Ok(here)
    }

    /// Copies up to 15 bytes of code at `la`: those in its page, and those in the next when the first page
    /// ends before. Returns how many there are, and the fault that ended them early.
    ///
    /// # Errors
    /// #PF of the first byte.
    pub fn fetch(
        &mut self,
        la: LinearAddr,
        bytes: &mut [u8; 15],
    ) -> Result<(usize, Option<Exception>), Exception> {
        let here = (base::PAGE_SIZE as usize - la.page_offset() as usize).min(bytes.len());
        self.fetch_in_page(la, &mut bytes[..here])?;
        if here == bytes.len() {
            return Ok((here, None));
        }
        let next = la.wrapping_add(here as u32);
        match self.fetch_in_page(next, &mut bytes[here..]) {
            Ok(()) => Ok((bytes.len(), None)),
            Err(fault) => Ok((here, Some(fault))),
        }
    }

    /// The 16 bytes of code at `la`, when they lie in one page of plain memory.
    ///
    /// # Errors
    /// #PF of the first byte.
    pub fn fetch_word(&mut self, la: LinearAddr) -> Result<Option<u128>, Exception> {
        let entry = self.translate(la, Intent { write: false, user: self.is_user() }, true)?;
        if entry.read == 0 || u64::from(la.page_offset()) > base::PAGE_SIZE - 16 {
            return Ok(None);
        }
        let mut bytes = [0; 16];
        host_copy(entry.read, la.page_offset(), &mut bytes);
        Ok(Some(u128::from_le_bytes(bytes)))
    }

    fn fetch_in_page(&mut self, la: LinearAddr, bytes: &mut [u8]) -> Result<(), Exception> {
        let entry = self.translate(la, Intent { write: false, user: self.is_user() }, true)?;
        if entry.read != 0 {
            host_copy(entry.read, la.page_offset(), bytes);
            return Ok(());
        }
        self.publish_time();
        let view = Arc::clone(&self.mmu.view);
        for (n, byte) in bytes.iter_mut().enumerate() {
            let pa = entry.phys.0 + u64::from(la.page_offset()) + n as u64;
            *byte = view.dispatch_read(pa, base::AccessSize::B1, Row::Cpu, &mut AccessCx::cpu()).0 as u8;
        }
        self.after_callback();
        Ok(())
    }

    /// Takes over the newest flat views: drops the TLB entries of pages in `changed` and every window.
    /// Returns how many entries went.
    pub fn map_applied(&mut self, view: Arc<FlatView>, changed: &[AddrRange]) -> u64 {
        self.mmu.view = view;
        if changed.is_empty() {
            return 0;
        }
        self.state.clear_windows();
        let dropped = self.mmu.tlb.drop_if(|entry| {
            let page = AddrRange::new(entry.phys.0, entry.phys.0 | base::PAGE_MASK);
            page.is_some_and(|page| overlaps_any(page, changed))
        });
        self.mmu.stats.dropped_by_map += dropped;
        dropped
    }

    /// Takes over the newest view of the port space.
    pub fn refresh_ports(&mut self) {
        if self.mmu.ports.generation() != self.mmu.port_view.generation() {
            self.mmu.port_view = self.mmu.ports.view();
        }
    }

    /// A page of `block` now holds code: stores to it must ask first.
    pub fn close_writes(&mut self, block: &RamBlock, page: u64) {
        let host = block.host().address() + (page << base::PAGE_SHIFT);
        self.mmu.stats.closed_by_code += self.mmu.tlb.close_writes(host);
        self.state.clear_write_windows();
    }

    /// A page of `block` holds no code any more: its stores may be inlined again.
    pub fn reopen_writes(&mut self, block: &RamBlock, page: u64) {
        let host = block.host().address() + (page << base::PAGE_SHIFT);
        self.mmu.tlb.drop_if(|entry| entry.read == host && entry.write == 0);
        self.mmu.watch.changed();
    }
}

impl Mmu {
    /// The page of a RAM block that reads of the physical page `frame` go to, if they go to one alone.
    pub(super) fn page_of(&self, frame: PhysAddr) -> Option<CodePage> {
        let range = self.view.lookup(frame.0)?;
        let Target::Host(slice) = &range.read else { return None };
        let offset = slice.offset + (frame.0 - range.range.first());
        let whole = offset & base::PAGE_MASK == 0 && range.range.last() >= frame.0 | base::PAGE_MASK;
        whole.then(|| CodePage { block: Arc::clone(&slice.block), offset, phys: frame })
    }

    /// Whether translated code was made of bytes in the physical page `frame`, which lies in one RAM block.
    pub(super) fn holds_code(&self, frame: PhysAddr) -> bool {
        let Some(range) = self.view.lookup(frame.0) else { return false };
        let Target::Host(slice) = &range.read else { return false };
        let offset = slice.offset + (frame.0 - range.range.first());
        slice.block.gate(offset >> base::PAGE_SHIFT) & GATE_CODE != 0
    }

    /// Live TLB entries.
    #[must_use]
    pub fn tlb_live(&self) -> usize {
        self.tlb.live()
    }
}

/// Whether `page` shares an address with one of the sorted, disjoint `ranges`.
fn overlaps_any(page: AddrRange, ranges: &[AddrRange]) -> bool {
    let after = ranges.partition_point(|range| range.last() < page.first());
    ranges.get(after).is_some_and(|range| range.overlaps(page))
}
