//! Data accesses: loads and stores through segment, page and bus.

use base::{AccessSize, LinearAddr, PhysAddr};
use isa::SegReg;
use memory::{AccessCx, Row};

use super::paging::Intent;
use super::tlb::{host_load, host_store};
use crate::{Activity, Cpu, Exception};

impl Cpu {
    /// Loads through a segment; the value is zero-extended.
    ///
    /// # Errors
    /// #GP(0) or #SS(0) by the segment's checks, then #PF.
    #[inline(always)]
    pub fn load(&mut self, seg: SegReg, off: u32, size: AccessSize) -> Result<u64, Exception> {
        let la = self.check_segment(seg, off, size, false)?;
        self.load_linear(la, size, self.is_user())
    }

    /// Loads what the same instruction will store again: every check is that of the store.
    ///
    /// # Errors
    /// As [`Cpu::store`].
    #[inline]
    pub fn load_for_write(&mut self, seg: SegReg, off: u32, size: AccessSize) -> Result<u64, Exception> {
        let la = self.check_segment(seg, off, size, true)?;
        self.probe_linear(la, size, self.is_user())?;
        self.load_linear(la, size, self.is_user())
    }

    /// Stores through a segment.
    ///
    /// # Errors
    /// #GP(0) or #SS(0) by the segment's checks, then #PF; nothing is stored then.
    #[inline(always)]
    pub fn store(&mut self, seg: SegReg, off: u32, size: AccessSize, value: u64) -> Result<(), Exception> {
        let la = self.check_segment(seg, off, size, true)?;
        self.store_linear(la, size, value, self.is_user())
    }

    /// Makes every check of a store and stores nothing; no dirty bit is set.
    ///
    /// # Errors
    /// As [`Cpu::store`].
    pub fn probe_write(&mut self, seg: SegReg, off: u32, size: AccessSize) -> Result<(), Exception> {
        let la = self.check_segment(seg, off, size, true)?;
        self.probe_linear(la, size, self.is_user())
    }

    /// Makes the paging checks of a store of `size` bytes at `la`.
    ///
    /// # Errors
    /// #PF of the first byte that may not be written.
    #[inline]
    pub fn probe_linear(&mut self, la: LinearAddr, size: AccessSize, user: bool) -> Result<(), Exception> {
        let intent = Intent { write: true, user };
        if self.mmu.direct_page(la, intent) == 0 {
            self.translate(la, intent, false)?;
        }
        if let Some(second) = crossing(la, size) {
            self.translate(second, intent, false)?;
        }
        Ok(())
    }

    /// Loads from a linear address with the rights of ring 3 (`user`) or ring 0.
    ///
    /// # Errors
    /// #PF.
    #[inline(always)]
    pub fn load_linear(&mut self, la: LinearAddr, size: AccessSize, user: bool) -> Result<u64, Exception> {
        let intent = Intent { write: false, user };
        let host = self.mmu.direct_page(la, intent);
        if host != 0 && crossing(la, size).is_none() {
            return Ok(host_load(host, la.page_offset(), size));
        }
        self.load_slowly(la, size, intent)
    }

    /// Not by one entry of the TLB.
    #[inline(never)]
    fn load_slowly(&mut self, la: LinearAddr, size: AccessSize, intent: Intent) -> Result<u64, Exception> {
        let entry = self.translate(la, intent, true)?;
        if let Some(second) = crossing(la, size) {
            let upper = self.translate(second, intent, true)?;
            return Ok(self.load_across(la, size, (entry.phys, upper.phys)));
        }
        if entry.read != 0 {
            return Ok(host_load(entry.read, la.page_offset(), size));
        }
        Ok(self.bus_read(PhysAddr(entry.phys.0 + u64::from(la.page_offset())), size))
    }

    /// Stores to a linear address, see [`Cpu::load_linear`].
    ///
    /// # Errors
    /// #PF; nothing is stored and no dirty bit set then.
    #[inline(always)]
    pub fn store_linear(
        &mut self,
        la: LinearAddr,
        size: AccessSize,
        value: u64,
        user: bool,
    ) -> Result<(), Exception> {
        let intent = Intent { write: true, user };
        let host = self.mmu.direct_page(la, intent);
        if host != 0 && crossing(la, size).is_none() {
            host_store(host, la.page_offset(), size, value);
            self.mmu.watch.stored(host);
            return Ok(());
        }
        self.store_slowly(la, size, value, intent)
    }

    /// Not by one entry of the TLB.
    #[inline(never)]
    fn store_slowly(
        &mut self,
        la: LinearAddr,
        size: AccessSize,
        value: u64,
        intent: Intent,
    ) -> Result<(), Exception> {
        if let Some(second) = crossing(la, size) {
            self.translate(la, intent, false)?;
            let upper = self.translate(second, intent, true)?;
            let lower = self.translate(la, intent, true)?;
            self.store_across(la, size, value, (lower.phys, upper.phys));
            return Ok(());
        }
        let entry = self.translate(la, intent, true)?;
        if entry.write != 0 {
            host_store(entry.write, la.page_offset(), size, value);
            self.mmu.watch.stored(entry.write);
        } else {
            self.bus_write(PhysAddr(entry.phys.0 + u64::from(la.page_offset())), size, value);
        }
        Ok(())
    }

    fn load_across(&mut self, la: LinearAddr, size: AccessSize, pages: (PhysAddr, PhysAddr)) -> u64 {
        let mut value = 0;
        for (at, piece, shift) in pieces(la, size, pages) {
            value |= self.bus_read(at, piece) << shift;
        }
        value
    }

    fn store_across(&mut self, la: LinearAddr, size: AccessSize, value: u64, pages: (PhysAddr, PhysAddr)) {
        for (at, piece, shift) in pieces(la, size, pages) {
            self.bus_write(at, piece, value >> shift & piece.mask());
        }
    }

    /// Reads physical memory on the guest's behalf, devices included.
    fn bus_read(&mut self, pa: PhysAddr, size: AccessSize) -> u64 {
        self.mmu.stats.bus_accesses += 1;
        self.mmu.watch.changed();
        self.publish_time();
        let view = &self.mmu.view;
        let (value, _outcome) = self
            .activity
            .during(Activity::Bus, || view.dispatch_read(pa.0, size, Row::Cpu, &mut AccessCx::cpu()));
        self.after_callback();
        value
    }

    /// Writes physical memory on the guest's behalf, see [`Cpu::bus_read`].
    fn bus_write(&mut self, pa: PhysAddr, size: AccessSize, value: u64) {
        self.mmu.stats.bus_accesses += 1;
        self.mmu.watch.changed();
        self.publish_time();
        let view = &self.mmu.view;
        let _outcome = self
            .activity
            .during(Activity::Bus, || view.dispatch_write(pa.0, size, value, Row::Cpu, &mut AccessCx::cpu()));
        self.after_callback();
    }
}

/// First byte of the second page when the access crosses into one.
#[inline]
fn crossing(la: LinearAddr, size: AccessSize) -> Option<LinearAddr> {
    let over = u64::from(la.page_offset()) + size.bytes() > base::PAGE_SIZE;
    over.then(|| LinearAddr((la.0 | base::PAGE_MASK as u32).wrapping_add(1)))
}

/// Cuts an access that crosses a page into naturally aligned pieces: address, width, shift of its value.
fn pieces(
    la: LinearAddr,
    size: AccessSize,
    (lower, upper): (PhysAddr, PhysAddr),
) -> impl Iterator<Item = (PhysAddr, AccessSize, u32)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = size.bytes().checked_sub(done).filter(|left| *left != 0)?;
        let offset = u64::from(la.page_offset()) + done;
        let aligned = 1 << offset.trailing_zeros().min(3);
        let piece = AccessSize::widest_within(left.min(aligned))?;
        let at = match offset.checked_sub(base::PAGE_SIZE) {
            Some(inside) => PhysAddr(upper.0 + inside),
            None => PhysAddr(lower.0 + offset),
        };
        let shift = done as u32 * 8;
        done += piece.bytes();
        Some((at, piece, shift))
    })
}
