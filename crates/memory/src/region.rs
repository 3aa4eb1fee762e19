//! Regions: the nodes of the graph, as they are described and as flat ranges hold them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::owner::OwnerData;
use crate::{AccessRules, Iommu, MmioHandler, OwnerId, RamBlock};

/// Identity of a region in its map. Never used again after the region is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId {
    pub(crate) index: u32,
    pub(crate) serial: u32,
}

impl fmt::Debug for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.serial)
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Size of a region in bytes, up to 2^64. A `u64` converts into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionSize(u128);

impl RegionSize {
    /// 2^64 bytes.
    pub const WHOLE: Self = Self(1 << 64);

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u128 {
        self.0
    }

    /// Offset of the last byte; `None` for size 0.
    pub(crate) const fn last(self) -> Option<u64> {
        match self.0.checked_sub(1) {
            Some(last) => Some(last as u64),
            None => None,
        }
    }
}

impl From<u64> for RegionSize {
    fn from(bytes: u64) -> Self {
        Self(bytes as u128)
    }
}

/// How a region stands among its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Priority 0; may not overlap another exclusive sibling.
    Exclusive,
    /// May overlap siblings; the highest priority is seen, among equals the one attached last.
    Overlap {
        /// Compared between siblings only.
        priority: i32,
    },
}

/// The direction of access that passes through a region to what lies below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transparency {
    /// None: the region answers both.
    #[default]
    None,
    /// Reads.
    Reads,
    /// Writes.
    Writes,
}

/// A region to be added to a map.
#[derive(Clone)]
pub struct RegionSpec {
    pub(crate) name: Arc<str>,
    pub(crate) size: RegionSize,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) owned_by: Option<OwnerId>,
    pub(crate) kind: SpecKind,
}

#[derive(Clone)]
pub(crate) enum SpecKind {
    Ram { readonly: bool },
    RomDevice { call: Callback, romd: bool },
    Mmio(Callback),
    Iommu(Arc<dyn Iommu>),
    Reservation,
    Container,
    Alias { target: RegionId, offset: u64 },
}

impl RegionSpec {
    fn new(name: &str, size: impl Into<RegionSize>, kind: SpecKind) -> Self {
        Self { name: name.into(), size: size.into(), owner: None, owned_by: None, kind }
    }

    /// Zeroed memory.
    #[must_use]
    pub fn ram(name: &str, size: impl Into<RegionSize>) -> Self {
        Self::new(name, size, SpecKind::Ram { readonly: false })
    }

    /// Memory that drops writes: RAM with the read-only flag set.
    #[must_use]
    pub fn rom(name: &str, size: impl Into<RegionSize>) -> Self {
        Self::new(name, size, SpecKind::Ram { readonly: true })
    }

    /// Memory whose writes always, and whose reads unless `romd` holds, are callbacks.
    #[must_use]
    pub fn rom_device(
        name: &str,
        size: impl Into<RegionSize>,
        handler: Arc<dyn MmioHandler>,
        rules: AccessRules,
        romd: bool,
    ) -> Self {
        Self::new(name, size, SpecKind::RomDevice { call: Callback::new(handler, rules), romd })
    }

    /// A device's registers.
    #[must_use]
    pub fn mmio(
        name: &str,
        size: impl Into<RegionSize>,
        handler: Arc<dyn MmioHandler>,
        rules: AccessRules,
    ) -> Self {
        Self::new(name, size, SpecKind::Mmio(Callback::new(handler, rules)))
    }

    /// Addresses that an IOMMU translates.
    #[must_use]
    pub fn iommu(name: &str, size: impl Into<RegionSize>, iommu: Arc<dyn Iommu>) -> Self {
        Self::new(name, size, SpecKind::Iommu(iommu))
    }

    /// Addresses that have a name and refuse every access, and hide what lies below.
    #[must_use]
    pub fn reservation(name: &str, size: impl Into<RegionSize>) -> Self {
        Self::new(name, size, SpecKind::Reservation)
    }

    /// A region that shows its children and holes.
    #[must_use]
    pub fn container(name: &str, size: impl Into<RegionSize>) -> Self {
        Self::new(name, size, SpecKind::Container)
    }

    /// A window on `target` from its `offset` on.
    #[must_use]
    pub fn alias(name: &str, target: RegionId, offset: u64, size: impl Into<RegionSize>) -> Self {
        Self::new(name, size, SpecKind::Alias { target, offset })
    }

    /// Names the owner's path, which becomes part of the id of the region's RAM block.
    #[must_use]
    pub fn owner(mut self, path: &str) -> Self {
        self.owner = Some(path.into());
        self
    }

    /// Makes the region one of an owner's, see [`MemoryMap::add_owner`](crate::MemoryMap::add_owner). The owner's path
    /// becomes part of the id of its RAM block, unless [`RegionSpec::owner`] names another.
    #[must_use]
    pub fn owned_by(mut self, owner: OwnerId) -> Self {
        self.owned_by = Some(owner);
        self
    }

    /// Adds `base` to the offsets that the device sees: several regions may show parts of one device.
    #[must_use]
    pub fn device_base(mut self, base: u64) -> Self {
        match &mut self.kind {
            SpecKind::RomDevice { call, .. } | SpecKind::Mmio(call) => call.base = base,
            SpecKind::Ram { .. }
            | SpecKind::Iommu(_)
            | SpecKind::Reservation
            | SpecKind::Container
            | SpecKind::Alias { .. } => {}
        }
        self
    }
}

/// What a region calls.
#[derive(Clone)]
pub(crate) struct Callback {
    pub handler: Arc<dyn MmioHandler>,
    pub rules: AccessRules,
    /// [`AccessRules::whole_widths`] of the rules.
    pub whole_widths: u8,
    /// Added to the offset in the region.
    pub base: u64,
}

impl Callback {
    fn new(handler: Arc<dyn MmioHandler>, rules: AccessRules) -> Self {
        Self { handler, rules, whole_widths: rules.whole_widths(), base: 0 }
    }
}

/// What answers the accesses to a leaf.
pub(crate) enum Backing {
    Ram(Arc<RamBlock>),
    RomDevice(Arc<RamBlock>, Callback),
    Mmio(Callback),
    Iommu(Arc<dyn Iommu>),
    Reservation,
}

/// The part of a region that flat ranges keep alive: what answers, and its counters.
pub struct Leaf {
    id: RegionId,
    name: Arc<str>,
    pub(crate) backing: Backing,
    /// Priority of the region among its siblings, for listings.
    priority: AtomicI32,
    reads: AtomicU64,
    writes: AtomicU64,
    #[expect(dead_code, reason = "held so that it is dropped after the leaf")]
    owner: Option<OwnerData>,
}

impl Leaf {
    pub(crate) fn new(id: RegionId, name: Arc<str>, backing: Backing, owner: Option<OwnerData>) -> Self {
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { id, name, backing, priority: AtomicI32::new(0), reads, writes, owner }
    }

    /// The region.
    #[must_use]
    pub fn id(&self) -> RegionId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its host memory: RAM, ROM and ROM devices have some.
    #[must_use]
    pub fn ram(&self) -> Option<&Arc<RamBlock>> {
        match &self.backing {
            Backing::Ram(block) | Backing::RomDevice(block, _) => Some(block),
            Backing::Mmio(_) | Backing::Iommu(_) | Backing::Reservation => None,
        }
    }

    /// Whether plain memory answers, whatever the access is.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.backing, Backing::Ram(_))
    }

    /// Whether a device may be called.
    pub(crate) fn has_callbacks(&self) -> bool {
        matches!(self.backing, Backing::RomDevice(..) | Backing::Mmio(_))
    }

    pub(crate) fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    pub(crate) fn set_priority(&self, priority: i32) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// Counts a callback.
    #[inline]
    pub(crate) fn count(&self, write: bool) {
        let counter = if write { &self.writes } else { &self.reads };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Read and write callbacks so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaf({} {})", self.id, self.name)
    }
}
