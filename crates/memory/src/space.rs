//! Address spaces: a root, the view of it that is in force, and accesses through it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use base::{AccessSize, AddrRange};

use crate::bounce::BouncePool;
use crate::listen::Listeners;
use crate::map::Shared;
use crate::publish::Cell;
use crate::write_queue::WriteQueue;
use crate::{
    AccessCx, Endian, FlatView, ListenerId, MapDelta, MapListener, Rejection, Row, TxError, TxOutcome, Veto,
};

/// Identity of an address space in its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub(crate) u32);

/// What the addresses of a space are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceKind {
    /// Memory addresses.
    Memory,
    /// I/O ports.
    Port,
}

/// What a failed read gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnassignedPolicy {
    /// All ones, as a floating bus does.
    Ones,
    /// Zero.
    Zeros,
}

/// Whose way of cutting accesses a space follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cutting {
    /// This crate's: aligned pieces, which no device gets past the end of its region ([`Row`]).
    #[default]
    Pieces,
    /// That of QEMU 7.2, for comparisons with it.
    Qemu72,
}

/// How a space behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceConfig {
    /// What its addresses are.
    pub kind: SpaceKind,
    /// What a failed read gives.
    pub unassigned: UnassignedPolicy,
    /// How accesses are cut.
    pub cutting: Cutting,
    /// Bytes that all mappings of the space may bounce at a time.
    pub bounce_bytes: u64,
}

impl SpaceConfig {
    /// Bytes that the mappings of a space may bounce if it is not said otherwise, as in QEMU.
    pub const BOUNCE_BYTES: u64 = 4096;

    /// The usual space of that kind.
    #[must_use]
    pub const fn new(kind: SpaceKind, unassigned: UnassignedPolicy) -> Self {
        Self { kind, unassigned, cutting: Cutting::Pieces, bounce_bytes: Self::BOUNCE_BYTES }
    }

    /// A space of memory addresses.
    #[must_use]
    pub const fn memory(unassigned: UnassignedPolicy) -> Self {
        Self::new(SpaceKind::Memory, unassigned)
    }

    /// A space of ports.
    #[must_use]
    pub const fn ports(unassigned: UnassignedPolicy) -> Self {
        Self::new(SpaceKind::Port, unassigned)
    }

    /// The same with another way of cutting accesses.
    #[must_use]
    pub const fn cutting(mut self, cutting: Cutting) -> Self {
        self.cutting = cutting;
        self
    }

    /// The same with another bounce budget.
    #[must_use]
    pub const fn bounce_bytes(mut self, bytes: u64) -> Self {
        self.bounce_bytes = bytes;
        self
    }
}

/// Counts of accesses that did not reach memory or a device, or whose device reported an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// Nothing was mapped there.
    pub unassigned: u64,
    /// The region refused.
    pub rejected: u64,
    /// A device reported an error.
    pub device: u64,
    /// Re-entrant accesses, and those restricted to memory.
    pub denied: u64,
    /// IOMMU faults and translation loops.
    pub fault: u64,
    /// Accesses past 2^64.
    pub past_end: u64,
    /// Writes that a ROM dropped; they count as successful.
    pub rom_writes: u64,
}

/// Counters behind [`Rejections`], and what views need to know of their space.
pub(crate) struct SpaceInfo {
    pub name: Box<str>,
    pub config: SpaceConfig,
    counts: [AtomicU64; 7],
    pub last_rejection: Mutex<Option<Rejection>>,
    pub bounce: Arc<BouncePool>,
    /// Of the map.
    pub queue: Arc<WriteQueue>,
}

impl SpaceInfo {
    pub fn new(name: &str, config: SpaceConfig, queue: Arc<WriteQueue>) -> Self {
        Self {
            name: name.into(),
            config,
            counts: Default::default(),
            last_rejection: Mutex::default(),
            bounce: Arc::new(BouncePool::new(config.bounce_bytes)),
            queue,
        }
    }

    /// The byte that a failed read gives.
    pub const fn fill(&self) -> u8 {
        match self.config.unassigned {
            UnassignedPolicy::Ones => 0xff,
            UnassignedPolicy::Zeros => 0,
        }
    }

    /// Counts a failure, or a write dropped by ROM, and returns how many of its kind there have been.
    pub fn count(&self, error: Option<TxError>) -> u64 {
        let kind = match error {
            Some(TxError::Unassigned) => 0,
            Some(TxError::Rejected(_)) => 1,
            Some(TxError::Device(_)) => 2,
            Some(TxError::Denied(_)) => 3,
            Some(TxError::Fault(_) | TxError::TranslationLoop) => 4,
            Some(TxError::PastEnd) => 5,
            None => 6,
        };
        self.counts[kind].fetch_add(1, Ordering::Relaxed) + 1
    }
}

pub(crate) struct SpaceInner {
    pub id: SpaceId,
    pub info: Arc<SpaceInfo>,
    map: Weak<Shared>,
    view: Cell<Arc<FlatView>>,
    /// Generation of `view`, stored after it.
    generation: AtomicU64,
    listeners: Listeners,
}

impl SpaceInner {
    pub fn new(id: SpaceId, view: FlatView, map: Weak<Shared>) -> Self {
        Self {
            id,
            info: Arc::clone(&view.info),
            map,
            generation: AtomicU64::new(view.generation()),
            view: Cell::new(Arc::new(view)),
            listeners: Listeners::default(),
        }
    }

    pub fn view(&self) -> Arc<FlatView> {
        self.view.get()
    }

    /// Makes `view` the one in force. The thread that holds the map's writer does so.
    pub fn publish(&self, view: Arc<FlatView>) {
        let generation = view.generation();
        let old = self.view.publish(view);
        self.generation.store(generation, Ordering::Release);
        drop(old);
    }

    /// Asks the listeners.
    pub fn prepare(&self, delta: &MapDelta) -> Result<(), Veto> {
        self.listeners.all().iter().try_for_each(|registration| registration.prepare(delta))
    }

    /// Tells the listeners.
    pub fn apply(&self, delta: &MapDelta) {
        self.listeners.all().iter().for_each(|registration| registration.apply(delta));
    }
}

impl Drop for SpaceInner {
    /// For its listeners everything goes.
    fn drop(&mut self) {
        let listeners = self.listeners.all();
        if listeners.is_empty() {
            return;
        }
        if let Some(delta) = MapDelta::vanishing(self.id, self.view()) {
            listeners.iter().for_each(|registration| registration.leave(&delta));
        }
    }
}

/// A shared handle to an address space. The space lives as long as a handle to it.
#[derive(Clone)]
pub struct AddressSpace(pub(crate) Arc<SpaceInner>);

impl AddressSpace {
    /// Name of the space.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.info.name
    }

    /// Identity of the space in its map.
    #[must_use]
    pub fn id(&self) -> SpaceId {
        self.0.id
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> SpaceConfig {
        self.0.info.config
    }

    /// The view in force.
    #[must_use]
    pub fn view(&self) -> Arc<FlatView> {
        self.0.view()
    }

    /// Generation of the view in force: one load.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Registers a listener; those with a lower priority are called first, equals in the order of registration.
    ///
    /// Before this returns the listener is told the view in force as a change from nothing, unless nothing is
    /// mapped; every later view reaches it as a change from the one before. Waits while another thread has a
    /// transaction open.
    pub fn listen(&self, priority: u32, listener: Arc<dyn MapListener>) -> ListenerId {
        let map = self.0.map.upgrade();
        let quiet = map.as_deref().map(Shared::quiet);
        let view = self.view();
        let registration = self.0.listeners.add(priority, view.generation(), listener);
        if let Some(delta) = MapDelta::appearing(self.id(), view) {
            registration.replay(&delta);
        }
        drop(quiet);
        registration.id
    }

    /// Takes a listener away; whether it was there.
    ///
    /// It is told that everything goes, unless nothing is mapped, and nothing after that. Waits while another thread
    /// has a transaction open.
    pub fn unlisten(&self, id: ListenerId) -> bool {
        let map = self.0.map.upgrade();
        let quiet = map.as_deref().map(Shared::quiet);
        let Some(registration) = self.0.listeners.remove(id) else { return false };
        match MapDelta::vanishing(self.id(), self.view()) {
            Some(delta) => registration.leave(&delta),
            None => registration.silence(),
        }
        drop(quiet);
        true
    }

    /// Reads bytes as a bus master does, through one view from start to end.
    ///
    /// Every byte of `bytes` is set: what fails gives the policy's value.
    pub fn read(&self, addr: u64, bytes: &mut [u8], cx: &mut AccessCx) -> TxOutcome {
        self.view().read_bytes(addr, bytes, Row::ByteCopy, cx)
    }

    /// Writes bytes as a bus master does, through one view from start to end.
    pub fn write(&self, addr: u64, bytes: &[u8], cx: &mut AccessCx) -> TxOutcome {
        self.view().write_bytes(addr, bytes, Row::ByteCopy, cx)
    }

    /// Loads a value in one dispatch of its width: what the region does not take so is rejected.
    pub fn load(&self, addr: u64, size: AccessSize, order: Endian, cx: &mut AccessCx) -> (u64, TxOutcome) {
        let (value, outcome) = self.view().dispatch_read(addr, size, Row::Typed, cx);
        (order.of_little(value, size), outcome)
    }

    /// Stores the low bytes of a value in one dispatch of that width, see [`AddressSpace::load`].
    pub fn store(
        &self,
        addr: u64,
        size: AccessSize,
        value: u64,
        order: Endian,
        cx: &mut AccessCx,
    ) -> TxOutcome {
        self.view().dispatch_write(addr, size, order.of_little(value, size), Row::Typed, cx)
    }

    /// Writes `len` bytes of one value as a bus master does.
    pub fn fill(&self, addr: u64, len: u64, byte: u8, cx: &mut AccessCx) -> TxOutcome {
        const PIECE: u64 = 4096;
        let (view, bytes) = (self.view(), [byte; PIECE as usize]);
        let mut outcome = TxOutcome::default();
        let mut done = 0;
        while done < len {
            let piece = (len - done).min(PIECE);
            let Some(at) = addr.checked_add(done) else {
                outcome.failed(addr.wrapping_add(done), TxError::PastEnd);
                break;
            };
            outcome.append(&view.write_bytes(at, &bytes[..piece as usize], Row::ByteCopy, cx), at);
            done += piece;
        }
        outcome
    }

    /// Writes bytes into the memory behind RAM, ROM and ROM devices, as a loader does; no callback is made.
    ///
    /// Returns the addresses that no memory is behind, sorted and disjoint.
    pub fn write_rom(&self, addr: u64, bytes: &[u8]) -> Vec<AddrRange> {
        self.view().load(addr, bytes)
    }

    /// Counts of failed accesses so far.
    #[must_use]
    pub fn rejections(&self) -> Rejections {
        let [unassigned, rejected, device, denied, fault, past_end, rom_writes] =
            [0, 1, 2, 3, 4, 5, 6].map(|kind: usize| self.0.info.counts[kind].load(Ordering::Relaxed));
        Rejections { unassigned, rejected, device, denied, fault, past_end, rom_writes }
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressSpace({} generation {})", self.name(), self.generation())
    }
}
