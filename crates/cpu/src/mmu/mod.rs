//! Address translation and the buses behind it.
//!
//! Invariant: every access of this processor goes through the flat view that `Mmu` holds, never a newer
//! one, until [`Mmu::refresh_view`] swaps it; host addresses in the TLB and in windows belong to that view.
//! The access order of checks is: segment (by the caller), page of every byte touched, then effects.

mod access;
mod fetch;
mod groups;
mod paging;
#[expect(unsafe_code, reason = "loads from and stores to guest memory by host address")]
mod tlb;
mod watch;
mod windows;

use std::sync::Arc;

use base::{AccessSize, IoPort, PhysAddr};
use memory::{AccessCx, AddressSpace, CodeWrites, FlatView, Row};

pub use fetch::{CodePage, CodeSource};
use tlb::Tlb;
pub use watch::Seen;

/// Counts of what the memory-management unit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmuStats {
    /// Page-table walks.
    pub walks: u64,
    /// Whole TLB flushes that the guest asked for.
    pub flushes: u64,
    /// TLB entries dropped because a map change named their page.
    pub dropped_by_map: u64,
    /// TLB entries whose inline store was taken away because their page now holds code.
    pub closed_by_code: u64,
    /// Data accesses that left the fast path for the bus.
    pub bus_accesses: u64,
    /// Windows made for translated code.
    pub windows: u64,
}

/// Address translation, TLB, and the spaces behind it.
pub struct Mmu {
    memory: AddressSpace,
    ports: AddressSpace,
    view: Arc<FlatView>,
    port_view: Arc<FlatView>,
    code_writes: Arc<CodeWrites>,
    tlb: Tlb,
    watch: watch::CodeWatch,
    paging: paging::PagingMode,
    /// Linear pages that INVLPG has dropped, until the owner of translations asks.
    invalidated: Vec<u32>,
    /// A walk has replaced a translation by another: the page tables were changed without a flush.
    remapped: bool,
    /// Parts of 4 MiB pages may be in the TLB, so that INVLPG must drop more than one entry.
    large_pages: bool,
    stats: MmuStats,
}

impl Mmu {
    /// A unit with paging off, holding the present views of both spaces.
    #[must_use]
    pub fn new(memory: AddressSpace, ports: AddressSpace, code_writes: Arc<CodeWrites>) -> Self {
        let (view, port_view) = (memory.view(), ports.view());
        Self {
            memory,
            ports,
            view,
            port_view,
            code_writes,
            tlb: Tlb::new(),
            watch: watch::CodeWatch::new(),
            paging: paging::PagingMode::default(),
            invalidated: Vec::new(),
            remapped: false,
            large_pages: false,
            stats: MmuStats::default(),
        }
    }

    /// The flat view that accesses go through.
    #[must_use]
    pub fn view(&self) -> &Arc<FlatView> {
        &self.view
    }

    /// The physical address space.
    #[must_use]
    pub fn memory(&self) -> &AddressSpace {
        &self.memory
    }

    /// Whether a newer flat view is published than the one held.
    #[must_use]
    #[inline]
    pub fn map_changed(&self) -> bool {
        self.memory.generation() != self.view.generation()
            || self.ports.generation() != self.port_view.generation()
    }

    /// Whether stores have hit lines with translated code.
    #[must_use]
    #[inline]
    pub fn code_written(&self) -> bool {
        self.code_writes.pending()
    }

    /// Where such stores are posted.
    #[must_use]
    pub fn code_writes(&self) -> &Arc<CodeWrites> {
        &self.code_writes
    }

    /// Whether paging is on.
    #[must_use]
    pub fn paging_on(&self) -> bool {
        self.paging.on
    }

    /// Linear pages whose mapping may have changed one by one, without a new epoch; none after this.
    pub fn drain_invalidated(&mut self) -> impl Iterator<Item = u32> {
        self.invalidated.drain(..)
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> MmuStats {
        self.stats
    }

    /// Reads a port the way hardware does: an unaligned or wide access may reach several devices.
    pub fn port_read(&mut self, port: IoPort, size: AccessSize) -> u32 {
        self.watch.changed();
        let mut cx = AccessCx::cpu();
        self.port_view.dispatch_read(u64::from(port.0), size, Row::Port, &mut cx).0 as u32
    }

    /// Writes a port, see [`Mmu::port_read`].
    pub fn port_write(&mut self, port: IoPort, size: AccessSize, value: u32) {
        self.watch.changed();
        let mut cx = AccessCx::cpu();
        let _outcome =
            self.port_view.dispatch_write(u64::from(port.0), size, u64::from(value), Row::Port, &mut cx);
    }

    /// Reads physical memory for the processor's own purposes (page tables).
    fn read_phys(&self, pa: PhysAddr, size: AccessSize) -> u64 {
        let mut cx = AccessCx::cpu();
        self.view.dispatch_read(pa.0, size, Row::Cpu, &mut cx).0
    }

    fn write_phys(&self, pa: PhysAddr, size: AccessSize, value: u64) {
        let mut cx = AccessCx::cpu();
        let _outcome = self.view.dispatch_write(pa.0, size, value, Row::Cpu, &mut cx);
    }
}
