//! A small IOMMU: one table of 4 KiB pages, programmed through two registers.
//!
//! Modelled: 256 pages (1 MiB of bus addresses), read and write permission each, into one target address space; changes
//! of the table are announced to whoever remembers translations.
//! Not modelled: requesters, faults recorded for the guest, larger pages.
//! Registers (little-endian dwords): 0 page index, 4 entry of that page: frame address, bit 0 read, bit 1 write.
//! Source: this project's `bare` board.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{AccessSize, AddrRange, PAGE_MASK, PAGE_SHIFT, RegionOffset};
use memory::{
    Access, AccessCx, AccessRules, AddressSpace, BusError, Iommu, IommuChange, IommuCtx, IommuEvent,
    IommuFault, IommuNotifiers, IotlbEntry, MmioDevice,
};

/// Dword registers.
pub const RULES: AccessRules = AccessRules::new().valid(4, 4).implemented(4, 4).little_endian();
/// Bytes of the register block.
pub const LEN: u64 = 0x1000;
/// Pages that the table translates.
pub const PAGES: usize = 256;

/// Entry bit: reads may pass.
pub const ENTRY_READ: u32 = 1;
/// Entry bit: writes may pass.
pub const ENTRY_WRITE: u32 = 2;

/// Bits of an entry that hold something.
const ENTRY_BITS: u32 = !(PAGE_MASK as u32) | ENTRY_READ | ENTRY_WRITE;

/// Register offsets.
pub mod reg {
    /// Page index.
    pub const INDEX: u64 = 0;
    /// Entry of the page.
    pub const ENTRY: u64 = 4;
}

/// The published table. Translation reads it without a lock, so that a bus master never waits for the registers.
#[derive(Debug)]
pub struct PageTable {
    entries: Box<[AtomicU32]>,
    notifiers: IommuNotifiers,
}

impl Default for PageTable {
    fn default() -> Self {
        let entries = (0..PAGES).map(|_| AtomicU32::new(0)).collect();
        Self { entries, notifiers: IommuNotifiers::default() }
    }
}

impl PageTable {
    /// A table that lets nothing pass.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The entry of `page`; 0 beyond the table.
    #[must_use]
    pub fn get(&self, page: u64) -> u32 {
        usize::try_from(page)
            .ok()
            .and_then(|page| self.entries.get(page))
            .map_or(0, |e| e.load(Ordering::Acquire))
    }

    /// Sets an entry and announces what it changes: what was mapped is unmapped first.
    fn set(&self, page: u64, entry: u32) {
        let Some(slot) = usize::try_from(page).ok().and_then(|page| self.entries.get(page)) else { return };
        let old = slot.swap(entry, Ordering::AcqRel);
        if old == entry {
            return;
        }
        let first = page << PAGE_SHIFT;
        let range = AddrRange::new(first, first | PAGE_MASK).expect("a page is not empty");
        let unmapped = is_mapped(old).then_some(IommuEvent::unmap(range));
        let mapped = is_mapped(entry).then_some(IommuEvent {
            change: IommuChange::Map,
            range,
            translated: u64::from(entry) & !PAGE_MASK,
            read: entry & ENTRY_READ != 0,
            write: entry & ENTRY_WRITE != 0,
        });
        for event in [unmapped, mapped].into_iter().flatten() {
            self.notifiers.notify(0, &event).expect("an unmapping carries no permissions here");
        }
    }
}

/// Whether an entry lets anything pass.
const fn is_mapped(entry: u32) -> bool {
    entry & (ENTRY_READ | ENTRY_WRITE) != 0
}

/// The chip's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IommuState {
    /// The page that the entry register shows.
    pub index: u32,
    /// The table.
    pub entries: Vec<u32>,
}

/// The registers.
pub struct IommuRegisters {
    index: u32,
    table: Arc<PageTable>,
}

impl IommuRegisters {
    /// Registers that program `table`.
    #[must_use]
    pub fn new(table: Arc<PageTable>) -> Self {
        Self { index: 0, table }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> IommuState {
        IommuState {
            index: self.index,
            entries: (0..PAGES as u64).map(|page| self.table.get(page)).collect(),
        }
    }
}

impl MmioDevice for IommuRegisters {
    fn read(&mut self, off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(u64::from(match off.0 {
            reg::INDEX => self.index,
            reg::ENTRY => self.table.get(u64::from(self.index)),
            _ => 0,
        }))
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let value = (value & 0xffff_ffff) as u32;
        match off.0 {
            reg::INDEX => self.index = value,
            reg::ENTRY if (self.index as usize) < PAGES => {
                self.table.set(u64::from(self.index), value & ENTRY_BITS)
            }
            other => {
                guest_error!("iommu", "write of {value:#x} to offset {other:#x}, index {:#x}", self.index)
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.index = 0;
        for page in 0..PAGES as u64 {
            self.table.set(page, 0);
        }
    }
}

/// The translating side of the chip: the table and where it leads.
pub struct PagedIommu {
    table: Arc<PageTable>,
    target: AddressSpace,
}

impl PagedIommu {
    /// Translates by `table` into `target`.
    #[must_use]
    pub fn new(table: Arc<PageTable>, target: AddressSpace) -> Arc<Self> {
        Arc::new(Self { table, target })
    }
}

impl Iommu for PagedIommu {
    fn translate(
        &self,
        iova: u64,
        _access: Option<Access>,
        _ctx: &IommuCtx,
    ) -> Result<IotlbEntry, IommuFault> {
        let entry = self.table.get(iova >> PAGE_SHIFT);
        if !is_mapped(entry) {
            return Err(IommuFault::Unmapped);
        }
        let (read, write) = (entry & ENTRY_READ != 0, entry & ENTRY_WRITE != 0);
        let translated = (u64::from(entry) & !PAGE_MASK) | (iova & PAGE_MASK);
        Ok(IotlbEntry { target: self.target.clone(), iova, translated, mask: PAGE_MASK, read, write })
    }

    fn mappings(&self, range: AddrRange, index: u32) -> Box<dyn Iterator<Item = IotlbEntry> + '_> {
        let last = (range.last() >> PAGE_SHIFT).min(PAGES as u64 - 1);
        let ctx = IommuCtx { index, ..IommuCtx::default() };
        let entry = move |page| self.translate(page << PAGE_SHIFT, None, &ctx).ok();
        Box::new((range.first() >> PAGE_SHIFT..=last).filter_map(entry))
    }

    fn notifiers(&self) -> Option<&IommuNotifiers> {
        Some(&self.table.notifiers)
    }
}

#[cfg(test)]
#[path = "iommu_tests.rs"]
mod tests;
