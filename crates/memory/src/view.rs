//! Flat views: what an address space shows, as sorted, disjoint, maximal ranges.
//!
//! A view never changes. Its ranges live in a table (`table.rs`) that views of other spaces may share, and parts of
//! which later tables share. Ownership: a range holds its leaves and their RAM blocks, so host pointers taken from a
//! view are valid while the view, or the block, is held.

use std::fmt;
use std::sync::Arc;

use base::AddrRange;

use crate::extras::Extras;
use crate::region::{Backing, Callback};
use crate::space::SpaceInfo;
use crate::table::RangeTable;
use crate::{Iommu, Leaf, RamBlock};

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
    pub(crate) fn cut(&self, to: AddrRange) -> Self {
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
    pub(crate) fn joins(&self, next: &Self) -> bool {
        let distance = next.range.first().wrapping_sub(self.range.first());
        self.range.touches(next.range)
            && both_continue(self.reader.as_ref(), next.reader.as_ref(), distance)
            && both_continue(self.writer.as_ref(), next.writer.as_ref(), distance)
    }

    /// This range and `next`, which it joins.
    pub(crate) fn joined(&self, next: &Self) -> Self {
        let whole = AddrRange::new(self.range.first(), next.range.last());
        let whole = whole.expect("the second range lies above the first");
        Self::new(whole, self.reader.clone(), self.writer.clone())
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

/// What an address space shows between two commits.
pub struct FlatView {
    pub(crate) info: Arc<SpaceInfo>,
    generation: u64,
    /// I/O events and coalesced ranges, if there are any.
    pub(crate) extras: Option<Box<Extras>>,
    table: Arc<RangeTable>,
}

impl FlatView {
    pub(crate) fn new(info: Arc<SpaceInfo>, generation: u64, table: Arc<RangeTable>) -> Self {
        Self { info, generation, extras: None, table }
    }

    /// A view of the same space that shows nothing.
    pub(crate) fn emptied(&self, generation: u64) -> Self {
        let table = Arc::new(RangeTable::new(self.info.config.kind, Vec::new()));
        Self::new(Arc::clone(&self.info), generation, table)
    }

    pub(crate) fn table(&self) -> &Arc<RangeTable> {
        &self.table
    }

    /// Whether both views are one object but for the name of their space: spaces whose roots come down to the same
    /// region share what is rendered.
    #[must_use]
    pub fn shares_ranges_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
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
        self.table.lookup(addr)
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = &FlatRange> {
        self.table.ranges()
    }

    /// The ranges in ascending order from the one that holds or follows `addr` on.
    pub(crate) fn ranges_from(&self, addr: u64) -> impl Iterator<Item = &FlatRange> {
        self.table.ranges_from(addr)
    }

    /// The ranges that reach into `window`, cut to it.
    pub(crate) fn ranges_in(&self, window: AddrRange) -> impl Iterator<Item = FlatRange> {
        let ranges = self.ranges_from(window.first()).take_while(move |range| range.range.overlaps(window));
        ranges.filter_map(move |range| Some(range.cut(range.range.intersection(window)?)))
    }

    /// The last range that ends below `addr`.
    pub(crate) fn range_before(&self, addr: u64) -> Option<&FlatRange> {
        self.table.range_before(addr)
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        self.shares_ranges_with(other) || self.ranges().eq(other.ranges())
    }
}

impl fmt::Debug for FlatView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}
