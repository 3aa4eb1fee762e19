//! Who is told when the mappings of an IOMMU change.

use std::fmt;
use std::ops::BitOr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::AddrRange;

use crate::{Iommu, IotlbEntry, MapError, MemoryMap, RegionId, lock};

/// A set of kinds of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyKinds(u8);

impl NotifyKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// A mapping was made.
    pub const MAP: Self = Self(1 << 0);
    /// A mapping was taken away.
    pub const UNMAP: Self = Self(1 << 1);
    /// What devices remember of a mapping is to be forgotten.
    pub const DEVICE_UNMAP: Self = Self(1 << 2);

    /// Whether every kind of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for NotifyKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What happened to a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IommuChange {
    /// It is mapped now.
    Map,
    /// It is no longer mapped.
    Unmap,
    /// What devices remember of it is to be forgotten.
    DeviceUnmap,
}

impl IommuChange {
    const fn kind(self) -> NotifyKinds {
        match self {
            Self::Map => NotifyKinds::MAP,
            Self::Unmap => NotifyKinds::UNMAP,
            Self::DeviceUnmap => NotifyKinds::DEVICE_UNMAP,
        }
    }
}

/// A change of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IommuEvent {
    /// What happened.
    pub change: IommuChange,
    /// To which addresses, as offsets in the IOMMU's region. Cropped to what a notifier watches, so its length need
    /// not be a power of two.
    pub range: AddrRange,
    /// Translation of the first of them; it means something only in [`IommuChange::Map`].
    pub translated: u64,
    /// Reads may pass.
    pub read: bool,
    /// Writes may pass.
    pub write: bool,
}

impl IommuEvent {
    /// The addresses in `range` are no longer mapped.
    #[must_use]
    pub const fn unmap(range: AddrRange) -> Self {
        Self { change: IommuChange::Unmap, range, translated: 0, read: false, write: false }
    }

    /// What devices remember of the addresses in `range` is to be forgotten.
    #[must_use]
    pub const fn device_unmap(range: AddrRange) -> Self {
        Self { change: IommuChange::DeviceUnmap, ..Self::unmap(range) }
    }

    /// The addresses of `entry` are mapped as it says.
    #[must_use]
    pub fn map(entry: &IotlbEntry) -> Self {
        let first = entry.iova & !entry.mask;
        let range = AddrRange::new(first, entry.iova | entry.mask).expect("the mask's bits come on top");
        let translated = entry.translated & !entry.mask;
        Self { change: IommuChange::Map, range, translated, read: entry.read, write: entry.write }
    }

    /// The part of it inside `range`.
    fn crop(self, range: AddrRange) -> Option<Self> {
        let part = self.range.intersection(range)?;
        let translated = match self.change {
            IommuChange::Map => self.translated.wrapping_add(part.first() - self.range.first()),
            IommuChange::Unmap | IommuChange::DeviceUnmap => self.translated,
        };
        Some(Self { range: part, translated, ..self })
    }
}

/// Told about changes, on the thread that makes them. It only records or posts: it takes no lock of a device and makes
/// no access.
pub trait IommuSink: Send + Sync {
    /// Told about one change.
    fn notify(&self, event: &IommuEvent);
}

/// What a notifier wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IommuWatch {
    /// The kinds of change, one at least.
    pub kinds: NotifyKinds,
    /// The addresses, as offsets in the IOMMU's region.
    pub range: AddrRange,
    /// The set of mappings.
    pub index: u32,
}

/// Why a notifier was not registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It would never be told.
    #[error("no kind of change is watched")]
    NoKinds,
    /// There is no such set of mappings.
    #[error("index {index} is not below {indexes}")]
    Index {
        /// The index asked for.
        index: u32,
        /// How many there are.
        indexes: u32,
    },
    /// The IOMMU never says that a mapping changes.
    #[error("the IOMMU announces no changes")]
    Silent,
    /// The IOMMU does not want to announce such changes.
    #[error("refused by the IOMMU: {0}")]
    Refused(String),
    /// There is no such region, or it is no IOMMU.
    #[error(transparent)]
    Region(#[from] MapError),
}

/// Why nobody was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// What is no longer mapped permits nothing.
    #[error("an unmapping carries permissions")]
    UnmapWithPermission,
}

struct Registered {
    id: u64,
    watch: IommuWatch,
    sink: Arc<dyn IommuSink>,
}

/// The notifiers of one IOMMU, which its model owns and gives its changes to.
#[derive(Default)]
pub struct IommuNotifiers {
    next: AtomicU64,
    list: Mutex<Vec<Registered>>,
}

impl IommuNotifiers {
    /// The kinds of change that anybody wants to hear of.
    #[must_use]
    pub fn kinds(&self) -> NotifyKinds {
        union(&lock(&self.list))
    }

    /// Tells those who watch this set of mappings and any of the addresses, each the part that it watches. Returns how
    /// many were told.
    ///
    /// # Errors
    /// An unmapping that carries permissions; nobody is told of it.
    pub fn notify(&self, index: u32, event: &IommuEvent) -> Result<usize, NotifyError> {
        if event.change != IommuChange::Map && (event.read || event.write) {
            return Err(NotifyError::UnmapWithPermission);
        }
        let told: Vec<_> = {
            let list = lock(&self.list);
            let watching = list.iter().filter(|registered| {
                registered.watch.index == index && registered.watch.kinds.contains(event.change.kind())
            });
            let part = |registered: &Registered| {
                Some((Arc::clone(&registered.sink), event.crop(registered.watch.range)?))
            };
            watching.filter_map(part).collect()
        };
        told.iter().for_each(|(sink, event)| sink.notify(event));
        Ok(told.len())
    }

    /// Tells that mapped addresses are mapped in another way: an unmapping, then a mapping.
    pub fn notify_changed(&self, index: u32, entry: &IotlbEntry) {
        let map = IommuEvent::map(entry);
        for event in [IommuEvent::unmap(map.range), map] {
            self.notify(index, &event).expect("neither is an unmapping with permissions");
        }
    }
}

impl fmt::Debug for IommuNotifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.list).iter().map(|registered| registered.watch)).finish()
    }
}

fn union(list: &[Registered]) -> NotifyKinds {
    list.iter().fold(NotifyKinds::NONE, |kinds, registered| kinds | registered.watch.kinds)
}

/// A registered notifier. Dropped, it is told nothing any more.
#[must_use = "dropped, it is told nothing"]
pub struct IommuSubscription {
    iommu: Arc<dyn Iommu>,
    id: u64,
    watch: IommuWatch,
    sink: Arc<dyn IommuSink>,
}

impl IommuSubscription {
    /// Registers a notifier.
    ///
    /// # Errors
    /// No kind; no such index; the IOMMU announces nothing or refuses. Nothing is registered then.
    pub fn new(
        iommu: &Arc<dyn Iommu>,
        watch: IommuWatch,
        sink: Arc<dyn IommuSink>,
    ) -> Result<Self, WatchError> {
        if watch.kinds == NotifyKinds::NONE {
            return Err(WatchError::NoKinds);
        }
        if watch.index >= iommu.indexes() {
            return Err(WatchError::Index { index: watch.index, indexes: iommu.indexes() });
        }
        let notifiers = iommu.notifiers().ok_or(WatchError::Silent)?;
        let mut list = lock(&notifiers.list);
        let before = union(&list);
        let after = before | watch.kinds;
        if before != after {
            iommu.notifiers_changed(before, after).map_err(WatchError::Refused)?;
        }
        let id = notifiers.next.fetch_add(1, Ordering::Relaxed);
        list.push(Registered { id, watch, sink: Arc::clone(&sink) });
        drop(list);
        Ok(Self { iommu: Arc::clone(iommu), id, watch, sink })
    }

    /// Tells the notifier every mapping that there is in what it watches, in ascending order.
    pub fn replay(&self) {
        for entry in self.iommu.mappings(self.watch.range, self.watch.index) {
            if let Some(event) = IommuEvent::map(&entry).crop(self.watch.range) {
                self.sink.notify(&event);
            }
        }
    }
}

impl Drop for IommuSubscription {
    fn drop(&mut self) {
        let Some(notifiers) = self.iommu.notifiers() else { return };
        let mut list = lock(&notifiers.list);
        let before = union(&list);
        let gone = list.iter().position(|registered| registered.id == self.id).map(|at| list.remove(at));
        let after = union(&list);
        if before != after {
            // Fewer kinds are no reason to refuse, and nothing could be done about it.
            let _refused = self.iommu.notifiers_changed(before, after);
        }
        drop(list);
        drop(gone);
    }
}

impl fmt::Debug for IommuSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IommuSubscription({:?})", self.watch)
    }
}

impl MemoryMap {
    /// Registers a notifier with the IOMMU of a region. An alias stands for its target, whose offsets the watched
    /// range counts in.
    ///
    /// # Errors
    /// No such region, or no IOMMU; then as [`IommuSubscription::new`].
    pub fn watch_iommu(
        &self,
        region: RegionId,
        watch: IommuWatch,
        sink: Arc<dyn IommuSink>,
    ) -> Result<IommuSubscription, WatchError> {
        let iommu = self.iommu(region)?;
        IommuSubscription::new(&iommu, watch, sink)
    }
}
