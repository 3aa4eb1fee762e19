//! Flat views: what an address space shows, as sorted, disjoint, maximal ranges.
//!
//! A view never changes. Its ranges live in chunks that successive views share, so a commit copies the chunks that
//! it touches and the short table of all chunks. Ownership: a range holds its leaves and their RAM blocks, so host
//! pointers taken from a view are valid while the view, or the block, is held.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{AddrRange, PAGE_SHIFT};

use crate::extras::Extras;
use crate::region::{Backing, Callback};
use crate::space::SpaceInfo;
use crate::{Iommu, Leaf, RamBlock, SpaceKind};

/// Most ranges in one chunk.
const CHUNK: usize = 32;
/// Remembered places of ranges, a power of two.
const HINTS: usize = 1024;
/// Binary logarithm of the ports that share a hint: devices lie closely there.
const PORT_HINT_SHIFT: u32 = 5;
/// A rebuilt run of fewer ranges takes the next chunk in, so that chunks do not crumble.
const FEW: usize = 8;

/// Host memory from an offset on.
#[derive(Clone, Debug)]
pub struct HostSlice {
    /// The block.
    pub block: Arc<RamBlock>,
    /// Offset in the block that belongs to the first address of the flat range.
    pub offset: u64,
}

/// A device's callbacks.
#[derive(Clone, Debug)]
pub struct CallTarget {
    pub(crate) leaf: Arc<Leaf>,
    /// Offset in the region that belongs to the first address of the flat range.
    pub offset: u64,
    /// Offset of the last byte of the region.
    pub(crate) last: u64,
}

impl CallTarget {
    /// What is called.
    #[inline]
    pub(crate) fn callback(&self) -> &Callback {
        match &self.leaf.backing {
            Backing::Mmio(call) | Backing::RomDevice(_, call) => call,
            Backing::Ram(_) | Backing::Iommu(_) | Backing::Reservation => {
                unreachable!("a call target is made for regions with callbacks only")
            }
        }
    }
}

/// An IOMMU.
#[derive(Clone, Debug)]
pub struct TranslateTarget {
    leaf: Arc<Leaf>,
    /// Offset in the region that belongs to the first address of the flat range.
    pub offset: u64,
}

impl TranslateTarget {
    pub(crate) fn iommu(&self) -> &Arc<dyn Iommu> {
        match &self.leaf.backing {
            Backing::Iommu(iommu) => iommu,
            Backing::Ram(_) | Backing::RomDevice(..) | Backing::Mmio(_) | Backing::Reservation => {
                unreachable!("a translate target is made for IOMMU regions only")
            }
        }
    }
}

/// What answers one direction of access to a flat range.
#[derive(Clone, Debug)]
pub enum Target {
    /// Host memory.
    Host(HostSlice),
    /// Callbacks.
    Call(CallTarget),
    /// An IOMMU, which names the place in another space.
    Translate(TranslateTarget),
    /// Writes vanish, as a ROM's do.
    Discard,
    /// Nobody.
    Unassigned,
}

/// Attributes of a range, collected along the path from the root of the space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeAttrs {
    /// Writes to plain memory are dropped.
    pub readonly: bool,
    /// The contents survive power-off.
    pub nonvolatile: bool,
    /// Never joined with what another path shows.
    pub unmergeable: bool,
    /// A ROM device in read mode.
    pub romd: bool,
}

/// The leaf that one direction of a range is bound to.
#[derive(Clone)]
pub(crate) struct Binding {
    pub leaf: Arc<Leaf>,
    /// Offset in the leaf of the first address of the range.
    pub offset: u64,
    /// Offset of the last byte of the leaf.
    pub last: u64,
    pub attrs: RangeAttrs,
    /// Of an unmergeable binding: what the region shows of itself along its path, hidden parts included. It keeps
    /// the binding apart from one along another path, and lets its own parts join again.
    pub span: Option<AddrRange>,
}

impl Binding {
    fn read_target(&self) -> Target {
        match &self.leaf.backing {
            Backing::Ram(block) => self.host(block),
            Backing::RomDevice(block, _) if self.attrs.romd => self.host(block),
            Backing::RomDevice(..) | Backing::Mmio(_) => self.call(),
            Backing::Iommu(_) => self.translate(),
            Backing::Reservation => Target::Unassigned,
        }
    }

    fn write_target(&self) -> Target {
        match &self.leaf.backing {
            Backing::Ram(_) if self.attrs.readonly => Target::Discard,
            Backing::Ram(block) => self.host(block),
            Backing::RomDevice(..) | Backing::Mmio(_) => self.call(),
            Backing::Iommu(_) => self.translate(),
            Backing::Reservation => Target::Unassigned,
        }
    }

    fn host(&self, block: &Arc<RamBlock>) -> Target {
        Target::Host(HostSlice { block: Arc::clone(block), offset: self.offset })
    }

    fn call(&self) -> Target {
        Target::Call(CallTarget { leaf: Arc::clone(&self.leaf), offset: self.offset, last: self.last })
    }

    fn translate(&self) -> Target {
        Target::Translate(TranslateTarget { leaf: Arc::clone(&self.leaf), offset: self.offset })
    }

    /// Whether `next`, `distance` bytes further on, shows the byte that this binding would show there.
    fn continues(&self, next: &Self, distance: u64) -> bool {
        Arc::ptr_eq(&self.leaf, &next.leaf)
            && self.attrs == next.attrs
            && self.last == next.last
            && self.span == next.span
            && self.offset.wrapping_add(distance) == next.offset
    }
}

fn both_continue(here: Option<&Binding>, there: Option<&Binding>, distance: u64) -> bool {
    match (here, there) {
        (None, None) => true,
        (Some(here), Some(there)) => here.continues(there, distance),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A run of addresses with one binding for reads and one for writes.
#[derive(Clone)]
pub struct FlatRange {
    /// The addresses.
    pub range: AddrRange,
    /// What answers reads.
    pub read: Target,
    /// What answers writes.
    pub write: Target,
    pub(crate) reader: Option<Binding>,
    pub(crate) writer: Option<Binding>,
}

impl FlatRange {
    /// At least one of the bindings is there.
    pub(crate) fn new(range: AddrRange, reader: Option<Binding>, writer: Option<Binding>) -> Self {
        let read = reader.as_ref().map_or(Target::Unassigned, Binding::read_target);
        let write = writer.as_ref().map_or(Target::Unassigned, Binding::write_target);
        Self { range, read, write, reader, writer }
    }

    fn shown(&self) -> &Binding {
        self.reader
            .as_ref()
            .or(self.writer.as_ref())
            .expect("a flat range is bound in one direction at least")
    }

    /// The leaf region that reads reach, or that writes reach where nothing answers reads.
    #[must_use]
    pub fn leaf(&self) -> &Arc<Leaf> {
        &self.shown().leaf
    }

    /// Name of that region.
    #[must_use]
    pub fn name(&self) -> &str {
        self.leaf().name()
    }

    /// Offset in that region of the first address.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.shown().offset
    }

    /// Attributes of the path to that region.
    #[must_use]
    pub fn attrs(&self) -> RangeAttrs {
        self.shown().attrs
    }

    /// The leaf region that writes reach.
    #[must_use]
    pub fn write_leaf(&self) -> Option<&Arc<Leaf>> {
        self.writer.as_ref().map(|writer| &writer.leaf)
    }

    pub(crate) fn binding(&self, write: bool) -> Option<&Binding> {
        if write { self.writer.as_ref() } else { self.reader.as_ref() }
    }

    pub(crate) fn target(&self, write: bool) -> &Target {
        if write { &self.write } else { &self.read }
    }

    /// The part of this range inside `to`, of which it holds every address.
    fn cut(&self, to: AddrRange) -> Self {
        debug_assert!(self.range.contains_range(to), "cut inside of the range");
        let shift = to.first() - self.range.first();
        let moved =
            |binding: &Binding| Binding { offset: binding.offset.wrapping_add(shift), ..binding.clone() };
        Self::new(to, self.reader.as_ref().map(moved), self.writer.as_ref().map(moved))
    }

    /// Whether address `at`, which both hold, is bound alike.
    pub(crate) fn binds_alike(&self, other: &Self, at: u64) -> bool {
        let (mine, others) = (at - self.range.first(), at - other.range.first());
        let distance = mine.wrapping_sub(others);
        both_continue(self.reader.as_ref(), other.reader.as_ref(), distance)
            && both_continue(self.writer.as_ref(), other.writer.as_ref(), distance)
    }

    /// Whether `next` goes on where this range ends.
    fn joins(&self, next: &Self) -> bool {
        let distance = next.range.first().wrapping_sub(self.range.first());
        self.range.touches(next.range)
            && both_continue(self.reader.as_ref(), next.reader.as_ref(), distance)
            && both_continue(self.writer.as_ref(), next.writer.as_ref(), distance)
    }
}

impl PartialEq for FlatRange {
    fn eq(&self, other: &Self) -> bool {
        self.range == other.range && self.binds_alike(other, self.range.first())
    }
}

impl fmt::Debug for FlatRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}+{:x}", self.range, self.name(), self.offset())?;
        match (&self.reader, &self.writer) {
            (Some(reader), Some(writer)) if reader.continues(writer, 0) => Ok(()),
            (Some(_), Some(writer)) => write!(f, " w:{}+{:x}", writer.leaf.name(), writer.offset),
            (Some(_), None) => write!(f, " w:-"),
            (None, _) => write!(f, " r:-"),
        }
    }
}

/// Some neighbouring ranges of a view.
struct Chunk {
    /// Last address of each range: what a lookup searches.
    lasts: Box<[u64]>,
    ranges: Box<[Arc<FlatRange>]>,
}

impl Chunk {
    fn new(ranges: &[Arc<FlatRange>]) -> Self {
        debug_assert!(!ranges.is_empty(), "a chunk holds a range at least");
        Self { lasts: ranges.iter().map(|range| range.range.last()).collect(), ranges: ranges.into() }
    }

    fn first(&self) -> u64 {
        self.ranges[0].range.first()
    }
}

/// What an address space shows between two commits.
pub struct FlatView {
    pub(crate) info: Arc<SpaceInfo>,
    generation: u64,
    /// I/O events and coalesced ranges.
    pub(crate) extras: Arc<Extras>,
    /// Last address of each chunk.
    lasts: Vec<u64>,
    chunks: Vec<Arc<Chunk>>,
    /// Binary logarithm of the addresses that share a hint.
    hint_shift: u32,
    /// By page, or by a few ports, direct-mapped: where the last lookup there found its range, as chunk, place in the
    /// chunk, and 1 added to tell it from nothing. A cache only: what it names is checked.
    hints: Box<[AtomicU32; HINTS]>,
}

/// Windows of a view, sorted and disjoint, with the ranges to be put there.
pub(crate) type Patch = [(AddrRange, Vec<FlatRange>)];

impl FlatView {
    pub(crate) fn new(info: Arc<SpaceInfo>, generation: u64, ranges: Vec<FlatRange>) -> Self {
        let mut runs = Runs::default();
        ranges.into_iter().for_each(|range| runs.push(Arc::new(range)));
        let mut view = Self::empty(info, generation, 0);
        view.push_run(&runs.done);
        view
    }

    fn empty(info: Arc<SpaceInfo>, generation: u64, chunks: usize) -> Self {
        let (lasts, chunks) = (Vec::with_capacity(chunks), Vec::with_capacity(chunks));
        let hint_shift = match info.config.kind {
            SpaceKind::Memory => PAGE_SHIFT,
            SpaceKind::Port => PORT_HINT_SHIFT,
        };
        let hints = Box::new([const { AtomicU32::new(0) }; HINTS]);
        let extras = Arc::default();
        Self { info, generation, extras, lasts, chunks, hint_shift, hints }
    }

    /// Number of the view in its space: a later one has a greater number.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Name of the space.
    #[must_use]
    pub fn space_name(&self) -> &str {
        &self.info.name
    }

    /// The range that holds `addr`; `None` where nothing is mapped in either direction.
    #[inline]
    #[must_use]
    pub fn lookup(&self, addr: u64) -> Option<&FlatRange> {
        let hint = &self.hints[(addr >> self.hint_shift) as usize % HINTS];
        let place = (hint.load(Ordering::Relaxed) as usize).wrapping_sub(1);
        let hinted = self.chunks.get(place / CHUNK).and_then(|chunk| chunk.ranges.get(place % CHUNK));
        match hinted {
            Some(range) if range.range.contains(addr) => Some(range),
            Some(_) | None => self.search(addr, hint),
        }
    }

    /// The lookup without a hint, which leaves one.
    fn search(&self, addr: u64, hint: &AtomicU32) -> Option<&FlatRange> {
        let at = self.lasts.partition_point(|last| *last < addr);
        let chunk = self.chunks.get(at)?;
        let place = chunk.lasts.partition_point(|last| *last < addr);
        let range = chunk.ranges.get(place).filter(|range| range.range.first() <= addr)?;
        if let Ok(place) = u32::try_from(at * CHUNK + place + 1) {
            hint.store(place, Ordering::Relaxed);
        }
        Some(range)
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = &FlatRange> {
        self.chunks.iter().flat_map(|chunk| chunk.ranges.iter()).map(|range| &**range)
    }

    /// The ranges in ascending order from the one that holds or follows `addr` on.
    pub(crate) fn ranges_from(&self, addr: u64) -> impl Iterator<Item = &FlatRange> {
        let first = self.lasts.partition_point(|last| *last < addr);
        let skip = self.chunks.get(first).map_or(0, |chunk| chunk.lasts.partition_point(|last| *last < addr));
        self.chunks[first..].iter().flat_map(|chunk| chunk.ranges.iter()).map(|range| &**range).skip(skip)
    }

    /// The last range that ends below `addr`.
    pub(crate) fn range_before(&self, addr: u64) -> Option<&FlatRange> {
        let at = self.lasts.partition_point(|last| *last < addr);
        let below = |chunk: &Chunk| chunk.lasts.partition_point(|last| *last < addr).checked_sub(1);
        let here = self.chunks.get(at).and_then(|chunk| Some(&chunk.ranges[below(chunk)?]));
        let before = || self.chunks.get(at.checked_sub(1)?)?.ranges.last();
        here.or_else(before).map(|range| &**range)
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.ranges.len()).sum()
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Name and callbacks (reads, writes) so far of each leaf in the view, in ascending order of first address.
    #[must_use]
    pub fn callback_counts(&self) -> Vec<(String, u64, u64)> {
        let mut seen = std::collections::HashSet::new();
        let leaves =
            self.ranges().flat_map(|range| [&range.reader, &range.writer]).flatten().map(|side| &side.leaf);
        leaves
            .filter(|leaf| seen.insert(leaf.id()))
            .map(|leaf| (leaf.name().to_owned(), leaf.counts().0, leaf.counts().1))
            .collect()
    }

    /// Whether both views show the same ranges.
    #[must_use]
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.ranges().eq(other.ranges())
    }

    /// The next view, which shows `patch` in its windows and shares every chunk that they do not touch.
    pub(crate) fn patched(&self, patch: &Patch, generation: u64) -> Self {
        let mut next = Self::empty(Arc::clone(&self.info), generation, self.chunks.len() + 1);
        let (mut from, mut patch) = (0, patch);
        while !patch.is_empty() {
            let touched = self.touched(from, patch);
            next.share(&self.chunks[from..touched.first]);
            let run = splice(&self.chunks[touched.first..touched.end], &patch[..touched.windows]);
            next.push_run(&run);
            from = touched.end;
            patch = &patch[touched.windows..];
        }
        next.share(&self.chunks[from..]);
        next
    }

    /// The chunks from `from` on that the first window touches, with the further windows that touch them too.
    fn touched(&self, from: usize, patch: &Patch) -> Touched {
        let first =
            from + self.lasts[from..].partition_point(|last| *last < patch[0].0.first().saturating_sub(1));
        let (mut end, mut windows, mut ranges) = (first, 0, 0);
        loop {
            while let Some((window, new)) = patch.get(windows) {
                let reached = windows == 0
                    || end.checked_sub(1).is_some_and(|last| {
                        last >= first && window.first().saturating_sub(1) <= self.lasts[last]
                    });
                if !reached {
                    break;
                }
                let beyond = window.last().saturating_add(1);
                while self.chunks.get(end).is_some_and(|chunk| chunk.first() <= beyond) {
                    ranges += self.chunks[end].ranges.len();
                    end += 1;
                }
                ranges += new.len();
                windows += 1;
            }
            if ranges >= FEW || end >= self.chunks.len() {
                return Touched { first, end, windows };
            }
            ranges += self.chunks[end].ranges.len();
            end += 1;
        }
    }

    fn share(&mut self, chunks: &[Arc<Chunk>]) {
        for chunk in chunks {
            self.push_chunk(Arc::clone(chunk));
        }
    }

    fn push_run(&mut self, run: &[Arc<FlatRange>]) {
        let pieces = run.len().div_ceil(CHUNK).max(1);
        for piece in run.chunks(run.len().div_ceil(pieces).max(1)) {
            self.push_chunk(Arc::new(Chunk::new(piece)));
        }
    }

    fn push_chunk(&mut self, chunk: Arc<Chunk>) {
        let last = chunk.lasts.last().expect("a chunk holds a range at least");
        debug_assert!(self.lasts.last().is_none_or(|before| *before < chunk.first()), "chunks ascend");
        self.lasts.push(*last);
        self.chunks.push(chunk);
    }
}

impl fmt::Debug for FlatView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

/// Chunks `first..end` of a view, which the next `windows` windows of a patch touch.
struct Touched {
    first: usize,
    end: usize,
    windows: usize,
}

/// Ranges in the making: neighbours that go on join.
#[derive(Default)]
struct Runs {
    done: Vec<Arc<FlatRange>>,
}

impl Runs {
    fn push(&mut self, range: Arc<FlatRange>) {
        if let Some(before) = self.done.last_mut()
            && before.joins(&range)
        {
            let whole = AddrRange::new(before.range.first(), range.range.last());
            let whole = whole.expect("the second range lies above the first");
            let (reader, writer) = (before.reader.clone(), before.writer.clone());
            *before = Arc::new(FlatRange::new(whole, reader, writer));
            return;
        }
        self.done.push(range);
    }

    /// Pushes the part of `range` in `first..=last`, if there is one.
    fn push_part(&mut self, range: &Arc<FlatRange>, first: u64, last: u64) {
        let Some(part) = AddrRange::new(first, last).and_then(|part| part.intersection(range.range)) else {
            return;
        };
        self.push(if part == range.range { Arc::clone(range) } else { Arc::new(range.cut(part)) });
    }
}

/// The ranges of `chunks` with the windows of `patch` put over them.
fn splice(chunks: &[Arc<Chunk>], patch: &Patch) -> Vec<Arc<FlatRange>> {
    let mut runs = Runs::default();
    let mut windows = patch.iter().peekable();
    // First address that is not yet decided; `None` past the last one.
    let mut from = Some(0);
    for range in chunks.iter().flat_map(|chunk| chunk.ranges.iter()) {
        while let Some((window, new)) = windows.next_if(|(window, _)| window.first() <= range.range.last()) {
            if let (Some(from), Some(before)) = (from, window.first().checked_sub(1)) {
                runs.push_part(range, from, before);
            }
            new.iter().for_each(|range| runs.push(Arc::new(range.clone())));
            from = window.last().checked_add(1);
        }
        if let Some(from) = from {
            runs.push_part(range, from, u64::MAX);
        }
    }
    for (_, new) in windows {
        new.iter().for_each(|range| runs.push(Arc::new(range.clone())));
    }
    runs.done
}
