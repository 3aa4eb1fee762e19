//! A range that is looked up once and accessed often, as a queue in guest memory is.
//!
//! A cache belongs to the view that it was made from and knows when that is no longer in force. It does not follow the
//! map by itself: its owner renews it, from a listener or when an access says that it is stale.

use std::sync::Arc;

use base::{AccessSize, AddrRange};

use crate::dma::runs;
use crate::view::HostSlice;
use crate::{
    Access, AccessCx, AddressSpace, FlatView, MapDmaError, MemAttrs, Row, Target, TxError, TxOutcome,
};

/// Why a cache cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The map has changed since: [`RegionCache::renew`].
    #[error("the map has changed")]
    Stale,
    /// The bytes are not all inside of the cached range.
    #[error("outside of the cached range")]
    PastEnd,
    /// The range is cached to be read.
    #[error("cached to be read")]
    ReadOnly,
    /// The access failed.
    #[error(transparent)]
    Access(#[from] TxError),
}

/// A cached range.
pub struct RegionCache {
    space: AddressSpace,
    range: AddrRange,
    access: Access,
    attrs: MemAttrs,
    view: Arc<FlatView>,
    /// Generation of the space before the view was taken.
    generation: u64,
    /// The memory behind the whole range, if reads of it go to one run of plain memory that no IOMMU translates: a
    /// translation may change without a new view.
    reads: Option<HostSlice>,
    /// The same for writes; `None` too when it is cached to be read.
    writes: Option<HostSlice>,
}

impl RegionCache {
    /// Whether accesses of the cached kind go to host memory without a look-up.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        match self.access {
            Access::Read => self.reads.is_some(),
            Access::Write => self.writes.is_some(),
        }
    }

    /// Whether the view that it was made from is no longer in force: one load.
    #[must_use]
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.space.generation() != self.generation
    }

    /// Generation of the space that it was made from.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The cached addresses.
    #[must_use]
    pub const fn range(&self) -> AddrRange {
        self.range
    }

    /// Looks the range up again in the view that is in force.
    pub fn renew(&mut self) {
        *self = Self::make(&self.space, self.range, self.access, self.attrs);
    }

    /// Loads a little-endian value at `offset` in the range.
    ///
    /// # Errors
    /// Stale; outside; a failed access.
    #[inline]
    pub fn load(&self, offset: u64, size: AccessSize, cx: &mut AccessCx) -> Result<u64, CacheError> {
        let addr = self.address(offset, size.bytes())?;
        if let Some(slice) = &self.reads {
            return slice.block.load(slice.offset + offset, size).ok_or(CacheError::PastEnd);
        }
        let (value, outcome) = self.view.dispatch_read(addr, size, Row::ByteCopy, cx);
        check(&outcome).map(|()| value)
    }

    /// Stores a little-endian value at `offset` in the range.
    ///
    /// # Errors
    /// Stale; outside; cached to be read; a failed access.
    #[inline]
    pub fn store(
        &self,
        offset: u64,
        size: AccessSize,
        value: u64,
        cx: &mut AccessCx,
    ) -> Result<(), CacheError> {
        let addr = self.address(offset, size.bytes())?;
        if self.access == Access::Read {
            return Err(CacheError::ReadOnly);
        }
        if let Some(slice) = &self.writes {
            let stored = slice.block.store(slice.offset + offset, size, value);
            return if stored { Ok(()) } else { Err(CacheError::PastEnd) };
        }
        check(&self.view.dispatch_write(addr, size, value, Row::ByteCopy, cx))
    }

    /// Reads bytes at `offset` in the range.
    ///
    /// # Errors
    /// As [`RegionCache::load`]; what failed gives the policy's value.
    pub fn read(&self, offset: u64, bytes: &mut [u8], cx: &mut AccessCx) -> Result<(), CacheError> {
        let addr = self.address(offset, bytes.len() as u64)?;
        match &self.reads {
            Some(slice) if slice.block.read(slice.offset + offset, bytes) => Ok(()),
            Some(_) => Err(CacheError::PastEnd),
            None => check(&self.view.read_bytes(addr, bytes, Row::ByteCopy, cx)),
        }
    }

    /// Writes bytes at `offset` in the range.
    ///
    /// # Errors
    /// As [`RegionCache::store`].
    pub fn write(&self, offset: u64, bytes: &[u8], cx: &mut AccessCx) -> Result<(), CacheError> {
        let addr = self.address(offset, bytes.len() as u64)?;
        if self.access == Access::Read {
            return Err(CacheError::ReadOnly);
        }
        match &self.writes {
            Some(slice) if slice.block.write(slice.offset + offset, bytes) => Ok(()),
            Some(_) => Err(CacheError::PastEnd),
            None => check(&self.view.write_bytes(addr, bytes, Row::ByteCopy, cx)),
        }
    }

    /// The address of `len` bytes at `offset`, checked against the range and the map.
    #[inline]
    fn address(&self, offset: u64, len: u64) -> Result<u64, CacheError> {
        if self.is_stale() {
            return Err(CacheError::Stale);
        }
        let end = u128::from(offset) + u128::from(len);
        if end > self.range.len() {
            return Err(CacheError::PastEnd);
        }
        Ok(self.range.first().wrapping_add(offset))
    }

    fn make(space: &AddressSpace, range: AddrRange, access: Access, attrs: MemAttrs) -> Self {
        // The generation before the view: a change in between makes the cache stale, not wrong.
        let generation = space.generation();
        let view = space.view();
        let reads = direct(&view, range, Access::Read, attrs);
        let writes = match access {
            Access::Read => None,
            Access::Write => direct(&view, range, access, attrs),
        };
        Self { space: space.clone(), range, access, attrs, view, generation, reads, writes }
    }
}

fn check(outcome: &TxOutcome) -> Result<(), CacheError> {
    outcome.error().map_or(Ok(()), |error| Err(CacheError::Access(error)))
}

/// The memory behind the whole of a range.
fn direct(view: &FlatView, range: AddrRange, access: Access, attrs: MemAttrs) -> Option<HostSlice> {
    let len = u64::try_from(range.len()).ok()?;
    let mut runs = runs(view, range.first(), len, access, attrs);
    let first = runs.pop().filter(|_| runs.is_empty())?.direct?;
    // One run of memory may still have been reached through entries of an IOMMU that happen to follow each other.
    let mut parts = view.ranges_from(range.first()).take_while(|part| part.range.overlaps(range));
    let plain = parts.all(|part| matches!(part.target(access == Access::Write), Target::Host(_)));
    plain.then_some(first)
}

impl AddressSpace {
    /// Looks a range up once, to be read or to be written (and read) often.
    ///
    /// # Errors
    /// Nothing to cache; past 2^64.
    pub fn cache(
        &self,
        addr: u64,
        len: u64,
        access: Access,
        attrs: MemAttrs,
    ) -> Result<RegionCache, MapDmaError> {
        let last = len.checked_sub(1).ok_or(MapDmaError::Empty)?;
        let last = addr.checked_add(last).ok_or(MapDmaError::PastEnd)?;
        let range = AddrRange::new(addr, last).ok_or(MapDmaError::PastEnd)?;
        Ok(RegionCache::make(self, range, access, attrs))
    }
}
