//! Mappings: a bus master's hold on the host memory behind a range of addresses.
//!
//! A mapping is a list of segments. Where a range shows memory that the master may access directly its segment is that
//! memory; elsewhere (devices, ROM to be written, holes) the segment is a bounce buffer, filled by a read when the
//! mapping is made, or written out when it is completed. A mapping holds the RAM blocks that it shows.

use std::fmt;
use std::sync::Arc;

use crate::bounce::{BounceBuffer, BounceShare, BounceWait};
use crate::dispatch::{is_memory, room};
use crate::view::HostSlice;
use crate::walk::walk;
use crate::{Access, AccessCx, AddressSpace, FlatView, HostPtr, Leaf, MemAttrs, Row, Target, TxOutcome};

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapDmaError {
    /// A mapping holds at least one byte.
    #[error("nothing to map")]
    Empty,
    /// The range reaches past 2^64.
    #[error("the range reaches past the end of the address space")]
    PastEnd,
    /// The bounce memory that is free does not suffice ([`AddressSpace::when_bounce_free`] says when it does).
    #[error("{wanted} bytes of bounce memory are needed, {free} of {limit} are free")]
    Exhausted {
        /// Bytes needed.
        wanted: u64,
        /// Bytes that were free.
        free: u64,
        /// Bytes that the space has, which may never suffice.
        limit: u64,
    },
}

/// Where the bytes of a segment are.
enum Place {
    /// The guest's memory itself.
    Direct(HostSlice),
    /// A buffer of the mapping's own.
    Bounce(BounceBuffer),
}

/// A run of mapped bytes that are contiguous in host memory.
pub struct DmaSegment {
    addr: u64,
    len: u64,
    place: Place,
}

impl DmaSegment {
    /// Address of the first byte in the space that was asked.
    #[must_use]
    pub const fn addr(&self) -> u64 {
        self.addr
    }

    /// Bytes of the segment.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the bytes are a copy, not the guest's memory itself.
    #[must_use]
    pub const fn is_bounce(&self) -> bool {
        matches!(self.place, Place::Bounce(_))
    }

    /// Host address of the first byte, good for as long as the mapping. The guest and other masters may change the
    /// bytes meanwhile.
    #[must_use]
    pub fn host(&self) -> HostPtr {
        match &self.place {
            Place::Direct(slice) => slice.block.host().offset(slice.offset),
            Place::Bounce(buffer) => HostPtr::new(buffer.address()),
        }
    }

    /// Copies out of the segment; the caller keeps inside of it.
    fn read(&self, from: u64, bytes: &mut [u8]) {
        match &self.place {
            Place::Direct(slice) => {
                let read = slice.block.read(slice.offset + from, bytes);
                debug_assert!(read, "a direct segment lies inside its block");
            }
            Place::Bounce(buffer) => buffer.read(from as usize, bytes),
        }
    }

    /// Copies into the segment; the caller keeps inside of it.
    fn write(&self, from: u64, bytes: &[u8]) {
        match &self.place {
            Place::Direct(slice) => {
                let written = slice.block.write(slice.offset + from, bytes);
                debug_assert!(written, "a direct segment lies inside its block");
            }
            Place::Bounce(buffer) => buffer.write(from as usize, bytes),
        }
    }
}

impl fmt::Debug for DmaSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_bounce() { "bounce" } else { "direct" };
        write!(f, "{:#x}+{:#x} {kind}", self.addr, self.len)
    }
}

/// A mapped range, to be read or to be written, not both.
///
/// [`DmaMapping::complete`] ends it and says what became of it. Dropped without, a mapping to be written leaves the
/// devices behind its bounce segments untouched, while its direct segments are guest memory already: all of them counts
/// as written.
#[must_use = "dropped, what was to be written to devices is lost"]
pub struct DmaMapping {
    space: AddressSpace,
    access: Access,
    segments: Vec<DmaSegment>,
    /// What became of the reads that filled the bounce segments.
    filled: TxOutcome,
    completed: bool,
    _share: Option<BounceShare>,
    /// The regions behind the direct segments: what their owners keep alive lives as long as the mapping.
    _leaves: Vec<Arc<Leaf>>,
}

impl DmaMapping {
    /// The segments in ascending order of address, with nothing between them.
    #[must_use]
    pub fn segments(&self) -> &[DmaSegment] {
        &self.segments
    }

    /// Bytes mapped.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> u64 {
        self.segments.iter().map(DmaSegment::len).sum()
    }

    /// How the reads ended that filled the bounce segments of a mapping to be read.
    #[must_use]
    pub fn filled(&self) -> &TxOutcome {
        &self.filled
    }

    /// Copies bytes out from offset `from` on; `false` and nothing done when they are not all mapped.
    pub fn read(&self, from: u64, bytes: &mut [u8]) -> bool {
        self.copy(from, bytes.len(), |segment, inside, part| segment.read(inside, &mut bytes[part]))
    }

    /// Copies bytes in from offset `from` on; `false` and nothing done when they are not all mapped, or the mapping is
    /// one to be read.
    pub fn write(&mut self, from: u64, bytes: &[u8]) -> bool {
        self.access == Access::Write
            && self.copy(from, bytes.len(), |segment, inside, part| segment.write(inside, &bytes[part]))
    }

    /// Ends the mapping. Of one to be written, the first `used` bytes are written to the devices behind bounce segments,
    /// by the map that is in force now, and count as written where they are memory; the rest has not been touched by the
    /// master. The outcome of one to be read is that of [`DmaMapping::filled`].
    pub fn complete(mut self, used: u64, cx: &mut AccessCx) -> TxOutcome {
        self.completed = true;
        if self.access == Access::Read {
            return self.filled;
        }
        let mut outcome = TxOutcome::default();
        let mut left = used.min(self.len());
        for segment in &self.segments {
            let len = segment.len.min(left);
            if len == 0 || cx.stops_after(&outcome) {
                break;
            }
            let done = match &segment.place {
                Place::Direct(slice) => {
                    slice.block.stored(slice.offset, len);
                    TxOutcome::all(len)
                }
                Place::Bounce(buffer) => {
                    let mut bytes = vec![0; buffer.len().min(len as usize)];
                    buffer.read(0, &mut bytes);
                    self.space.write(segment.addr, &bytes, cx)
                }
            };
            outcome.append(&done, segment.addr);
            left -= len;
        }
        outcome
    }

    /// Calls `copy` for each segment that bytes `from..from + len` touch, with the offset in it and the part of them.
    fn copy(
        &self,
        from: u64,
        len: usize,
        mut copy: impl FnMut(&DmaSegment, u64, std::ops::Range<usize>),
    ) -> bool {
        let Some(end) = from.checked_add(len as u64).filter(|end| *end <= self.len()) else { return false };
        let mut start = 0;
        for segment in &self.segments {
            let (first, last) = (start.max(from), (start + segment.len).min(end));
            if first < last {
                copy(segment, first - start, (first - from) as usize..(last - from) as usize);
            }
            start += segment.len;
        }
        true
    }
}

impl Drop for DmaMapping {
    fn drop(&mut self) {
        if self.completed || self.access == Access::Read {
            return;
        }
        for segment in &self.segments {
            if let Place::Direct(slice) = &segment.place {
                slice.block.stored(slice.offset, segment.len);
            }
        }
    }
}

impl fmt::Debug for DmaMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaMapping({:?} {:?})", self.access, self.segments)
    }
}

impl AddressSpace {
    /// Maps the whole of a range, through one view. `access` is what the master is going to do with it.
    ///
    /// What is not plain memory is bounced: a mapping to be read reads it now, with all that this does to devices.
    ///
    /// # Errors
    /// Nothing to map; past 2^64; not enough bounce memory.
    pub fn map(
        &self,
        addr: u64,
        len: u64,
        access: Access,
        cx: &mut AccessCx,
    ) -> Result<DmaMapping, MapDmaError> {
        self.map_range(addr, len, access, true, cx)
    }

    /// Maps the first part of a range, as long as the bounce memory that is free allows: one byte at least.
    ///
    /// # Errors
    /// As [`AddressSpace::map`]; no bounce memory at all where the first byte needs some.
    pub fn map_part(
        &self,
        addr: u64,
        len: u64,
        access: Access,
        cx: &mut AccessCx,
    ) -> Result<DmaMapping, MapDmaError> {
        self.map_range(addr, len, access, false, cx)
    }

    /// Calls `wake` once, as soon as `bytes` of bounce memory are free, which may be at once, and never when the space
    /// has fewer. It runs on the thread that gives them back, and others may take them before it comes to mapping.
    pub fn when_bounce_free(&self, bytes: u64, wake: impl FnOnce() + Send + 'static) -> BounceWait {
        self.0.info.bounce.when_free(bytes, Box::new(wake))
    }

    fn map_range(
        &self,
        addr: u64,
        len: u64,
        access: Access,
        whole: bool,
        cx: &mut AccessCx,
    ) -> Result<DmaMapping, MapDmaError> {
        let last = len.checked_sub(1).ok_or(MapDmaError::Empty)?;
        addr.checked_add(last).ok_or(MapDmaError::PastEnd)?;
        let view = self.view();
        let mut runs = runs(&view, addr, len, access, cx.attrs());
        let bounced =
            |runs: &[Run]| -> u64 { runs.iter().filter(|run| run.direct.is_none()).map(|run| run.len).sum() };
        let pool = &self.0.info.bounce;
        let share = match pool.take(bounced(&runs)) {
            Ok(share) => share,
            Err(free) if whole => {
                return Err(MapDmaError::Exhausted { wanted: bounced(&runs), free, limit: pool.limit() });
            }
            Err(free) => {
                shorten(&mut runs, free);
                let exhausted = MapDmaError::Exhausted { wanted: 1, free, limit: pool.limit() };
                if runs.is_empty() {
                    return Err(exhausted);
                }
                pool.take(bounced(&runs)).map_err(|_| exhausted)?
            }
        };
        let mut filled = TxOutcome::default();
        let leaves = runs.iter().filter_map(|run| run.leaf.clone()).collect();
        let segments = runs.into_iter().map(|run| run.into_segment(&view, access, cx, &mut filled)).collect();
        Ok(DmaMapping {
            space: self.clone(),
            access,
            segments,
            filled,
            completed: false,
            _share: Some(share),
            _leaves: leaves,
        })
    }
}

/// Bytes that are mapped in one way.
pub(crate) struct Run {
    pub addr: u64,
    pub len: u64,
    /// The memory behind them, if they may be accessed there.
    pub direct: Option<HostSlice>,
    /// The region that the memory is that of.
    pub leaf: Option<Arc<Leaf>>,
}

impl Run {
    fn continues_at(&self, next: &Self) -> bool {
        match (&self.direct, &next.direct) {
            (None, None) => true,
            (Some(here), Some(there)) => {
                here.block.id() == there.block.id() && here.offset + self.len == there.offset
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Makes the segment; one to be read that is bounced is read now.
    fn into_segment(
        self,
        view: &FlatView,
        access: Access,
        cx: &mut AccessCx,
        filled: &mut TxOutcome,
    ) -> DmaSegment {
        let Some(slice) = self.direct else {
            let buffer = BounceBuffer::new(self.len as usize);
            if access == Access::Read {
                let mut bytes = vec![0; self.len as usize];
                filled.append(&view.read_bytes(self.addr, &mut bytes, Row::ByteCopy, cx), self.addr);
                buffer.write(0, &bytes);
            }
            return DmaSegment { addr: self.addr, len: self.len, place: Place::Bounce(buffer) };
        };
        filled.succeeded(self.len);
        DmaSegment { addr: self.addr, len: self.len, place: Place::Direct(slice) }
    }
}

/// Cuts runs off where more than `free` bytes would be bounced.
fn shorten(runs: &mut Vec<Run>, free: u64) {
    let mut left = free;
    for at in 0..runs.len() {
        let run = &mut runs[at];
        if run.direct.is_some() {
            continue;
        }
        if run.len > left {
            run.len = left;
            runs.truncate(if left == 0 { at } else { at + 1 });
            return;
        }
        left -= run.len;
    }
}

/// The runs of `len` bytes at `addr`, which do not wrap.
pub(crate) fn runs(view: &FlatView, addr: u64, len: u64, access: Access, attrs: MemAttrs) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut done = 0;
    while done < len {
        let run = run_at(view, addr + done, len - done, access, attrs);
        done += run.len;
        match runs.last_mut() {
            Some(before) if before.continues_at(&run) => before.len += run.len,
            Some(_) | None => runs.push(run),
        }
    }
    runs
}

fn run_at(view: &FlatView, addr: u64, left: u64, access: Access, attrs: MemAttrs) -> Run {
    let write = access == Access::Write;
    let place = match walk(view, addr, Some(access), attrs) {
        Ok(place) => place,
        Err(blocked) => {
            return Run { addr, len: left.min(blocked.rest.saturating_add(1)), direct: None, leaf: None };
        }
    };
    let left = left.min(place.rest.saturating_add(1));
    let Some(range) = place.view.lookup(place.at) else {
        return Run { addr, len: place.view.hole(place.at, left), direct: None, leaf: None };
    };
    let len = room(range.range.last(), place.at, left);
    let direct = match range.target(write) {
        Target::Host(slice) if !attrs.memory_only || is_memory(range, write) => {
            let inside = place.at - range.range.first();
            Some(HostSlice { block: slice.block.clone(), offset: slice.offset + inside })
        }
        Target::Host(_) | Target::Call(_) | Target::Translate(_) | Target::Discard | Target::Unassigned => {
            None
        }
    };
    let binding = if direct.is_some() { range.binding(write) } else { None };
    let leaf = binding.map(|binding| Arc::clone(&binding.leaf));
    Run { addr, len, direct, leaf }
}
