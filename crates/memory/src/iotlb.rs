//! What one processor, or one device with a cache of its own, remembers of translations.
//!
//! Invalidations are posted by whoever changes mappings and carried out by the owner, on its own thread, before it
//! uses an entry again. They name the addresses that changed, so the other entries stay, and they reach the caches
//! only that have used the same set of mappings of the same IOMMU.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base::{AddrRange, PAGE_MASK};

use crate::iommu::MAX_CHAIN;
use crate::walk::{Passed, walk};
use crate::{
    Access, AddressSpace, IommuEvent, IommuSink, IommuSubscription, IommuWatch, MemAttrs, NotifyKinds,
    Translation, TxError, lock,
};

/// More events than this wait as one that covers everything.
const MAX_EVENTS: usize = 256;
/// Most translations remembered.
const MAX_ENTRIES: usize = 4096;

/// A set of mappings of an IOMMU: the address of the model, and the index. The subscription keeps the model alive.
type MappingSet = (usize, u32);

/// Invalidations on their way to the owner of a cache.
#[derive(Default)]
struct Mailbox {
    pending: AtomicBool,
    events: Mutex<Events>,
}

#[derive(Default)]
struct Events {
    list: Vec<(MappingSet, AddrRange)>,
    /// There were too many: everything is to be forgotten.
    all: bool,
}

/// The end of a subscription that posts.
struct Post {
    set: MappingSet,
    mailbox: Arc<Mailbox>,
}

impl IommuSink for Post {
    fn notify(&self, event: &IommuEvent) {
        let mut events = lock(&self.mailbox.events);
        if events.list.len() >= MAX_EVENTS {
            events.list.clear();
            events.all = true;
        }
        if !events.all {
            events.list.push((self.set, event.range));
        }
        self.mailbox.pending.store(true, Ordering::Release);
    }
}

struct Entry {
    translation: Translation,
    /// The addresses of each IOMMU on the way that the entry rests on.
    rests_on: Vec<(MappingSet, AddrRange)>,
    /// The spaces on the way, with their generations.
    spaces: Vec<(AddressSpace, u64)>,
}

impl Entry {
    fn is_current(&self) -> bool {
        self.spaces.iter().all(|(space, generation)| space.generation() == *generation)
    }

    fn permits(&self, access: Option<Access>) -> bool {
        match access {
            Some(Access::Read) => self.translation.read,
            Some(Access::Write) => self.translation.write,
            None => true,
        }
    }
}

/// Counts of what a cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IotlbStats {
    /// Translations that were remembered.
    pub hits: u64,
    /// Translations that were asked for.
    pub misses: u64,
    /// Entries forgotten because a mapping changed.
    pub invalidated: u64,
    /// Entries forgotten because the map changed or the cache was full.
    pub flushed: u64,
}

/// Remembered translations of one address space, by page and attributes.
pub struct Iotlb {
    space: AddressSpace,
    mailbox: Arc<Mailbox>,
    entries: HashMap<(u64, MemAttrs), Entry>,
    subscriptions: HashMap<MappingSet, IommuSubscription>,
    stats: IotlbStats,
}

impl Iotlb {
    /// An empty cache of translations from `space`.
    #[must_use]
    pub fn new(space: AddressSpace) -> Self {
        Self {
            space,
            mailbox: Arc::default(),
            entries: HashMap::new(),
            subscriptions: HashMap::new(),
            stats: IotlbStats::default(),
        }
    }

    /// Where an access goes, see [`AddressSpace::translate`]. What is remembered is up to date: invalidations that
    /// have been posted are carried out first.
    ///
    /// # Errors
    /// As [`AddressSpace::translate`].
    pub fn translate(
        &mut self,
        addr: u64,
        access: Option<Access>,
        attrs: MemAttrs,
    ) -> Result<Translation, TxError> {
        self.service();
        let key = (addr & !PAGE_MASK, attrs);
        if let Some(entry) = self.entries.get(&key).filter(|entry| entry.permits(access)) {
            if entry.is_current() {
                self.stats.hits += 1;
                let mut translation = entry.translation.clone();
                translation.addr = translation.addr & !PAGE_MASK | addr & PAGE_MASK;
                return Ok(translation);
            }
            self.entries.remove(&key);
            self.stats.flushed += 1;
        }
        self.stats.misses += 1;
        self.fill(addr, key, access, attrs)
    }

    /// Whether invalidations wait: one load.
    #[must_use]
    #[inline]
    pub fn pending(&self) -> bool {
        self.mailbox.pending.load(Ordering::Acquire)
    }

    /// Carries out the invalidations that wait; returns how many entries were forgotten.
    pub fn service(&mut self) -> usize {
        if !self.pending() {
            return 0;
        }
        let events = {
            let mut events = lock(&self.mailbox.events);
            self.mailbox.pending.store(false, Ordering::Release);
            std::mem::take(&mut *events)
        };
        let before = self.entries.len();
        let hit = |(set, range): &(MappingSet, AddrRange)| {
            events.all || events.list.iter().any(|(gone, part)| gone == set && part.overlaps(*range))
        };
        self.entries.retain(|_, entry| !entry.rests_on.iter().any(hit));
        let forgotten = before - self.entries.len();
        self.stats.invalidated += forgotten as u64;
        forgotten
    }

    /// How many translations are remembered, those that wait to be forgotten included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> IotlbStats {
        self.stats
    }

    /// Asks for a translation and remembers it if every IOMMU on the way announces its changes.
    ///
    /// The subscription comes before the translation that is kept: a change after it is posted, one before it seen.
    fn fill(
        &mut self,
        addr: u64,
        key: (u64, MemAttrs),
        access: Option<Access>,
        attrs: MemAttrs,
    ) -> Result<Translation, TxError> {
        let space = self.space.clone();
        let mut attempts = 0_u8;
        loop {
            let generation = space.generation();
            let view = space.view();
            let place = walk(&view, addr, access, attrs).map_err(|blocked| blocked.error)?;
            let translation = space.translation(&place);
            attempts += 1;
            if self.subscribe(&place.passed) && attempts <= MAX_CHAIN {
                continue;
            }
            let announced =
                place.passed.iter().all(|passed| self.subscriptions.contains_key(&set_of(passed)));
            if announced && attempts <= MAX_CHAIN && place.mask & PAGE_MASK == PAGE_MASK {
                let on_the_way = place.passed.iter().map(|passed| (passed.target.clone(), passed.generation));
                let spaces = std::iter::once((space.clone(), generation)).chain(on_the_way).collect();
                let rests_on = place.passed.iter().map(|passed| (set_of(passed), covered(passed))).collect();
                self.insert(key, Entry { translation: translation.clone(), rests_on, spaces });
            }
            return Ok(translation);
        }
    }

    /// Subscribes to the mapping sets that are new; whether there were any.
    fn subscribe(&mut self, passed: &[Passed]) -> bool {
        let mut any = false;
        for passed in passed {
            let set = set_of(passed);
            if self.subscriptions.contains_key(&set) {
                continue;
            }
            let watch = IommuWatch { kinds: NotifyKinds::UNMAP, range: AddrRange::ALL, index: passed.index };
            let sink = Arc::new(Post { set, mailbox: Arc::clone(&self.mailbox) });
            // One that announces nothing, or refuses, is asked every time.
            if let Ok(subscription) = IommuSubscription::new(&passed.iommu, watch, sink) {
                self.subscriptions.insert(set, subscription);
                any = true;
            }
        }
        any
    }

    fn insert(&mut self, key: (u64, MemAttrs), entry: Entry) {
        if self.entries.len() >= MAX_ENTRIES {
            self.stats.flushed += self.entries.len() as u64;
            self.entries.clear();
        }
        self.entries.insert(key, entry);
    }
}

fn set_of(passed: &Passed) -> MappingSet {
    (Arc::as_ptr(&passed.iommu).cast::<()>() as usize, passed.index)
}

/// The addresses of the IOMMU's entry that was used.
fn covered(passed: &Passed) -> AddrRange {
    let first = passed.iova & !passed.mask;
    AddrRange::new(first, passed.iova | passed.mask).expect("the mask's bits come on top")
}
