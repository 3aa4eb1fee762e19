//! The map: a shared handle to the graph, its writer and its spaces.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use base::AddrRange;

use crate::canon::ViewKey;
use crate::extras::extras_in;
use crate::graph::{Graph, Node, NodeKind, SpaceEntry, check_depth};
use crate::region::{Backing, Leaf, SpecKind};
use crate::render::render;
use crate::space::{SpaceInfo, SpaceInner};
use crate::table::RangeTable;
use crate::txn::Pending;
use crate::write_queue::WriteQueue;
use crate::{
    AddressSpace, CodeWrites, CommitError, CommitReport, FlatView, Iommu, MapError, MapTxn, OwnerId,
    RamBlock, RangeAttrs, RegionId, RegionSpec, SpaceConfig, Transparency, lock, thread,
};

/// The graph and who edits it.
#[derive(Default)]
pub(crate) struct State {
    pub graph: Graph,
    /// Thread that holds the writer, 0 for none.
    pub owner: usize,
    /// Threads that wait for it.
    waiting: usize,
    pub pending: Pending,
}

pub(crate) struct Shared {
    pub state: Mutex<State>,
    /// Notified when the writer becomes free.
    writer_free: Condvar,
    code_writes: Arc<CodeWrites>,
    pub queue: Arc<WriteQueue>,
}

impl Shared {
    /// Waits until no other thread holds the writer, and takes it unless this one does; whether it was taken.
    fn acquire(&self) -> (MutexGuard<'_, State>, bool) {
        let me = thread::token();
        let mut state = lock(&self.state);
        while state.owner != 0 && state.owner != me {
            state.waiting += 1;
            state = self.writer_free.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        let taken = state.owner == 0;
        state.owner = me;
        (state, taken)
    }

    /// Gives the writer up.
    pub fn release(&self, state: &mut State) {
        state.owner = 0;
        // Waking nobody costs a call of the host's kernel all the same.
        if state.waiting != 0 {
            self.writer_free.notify_one();
        }
    }

    /// Holds commits off, and refuses edits of this thread, until the guard is dropped.
    pub fn quiet(&self) -> Quiet<'_> {
        let (mut state, taken) = self.acquire();
        let committing = std::mem::replace(&mut state.pending.committing, true);
        Quiet { map: self, taken, committing }
    }
}

/// While it lives no view is published by another thread, and the graph is not edited.
pub(crate) struct Quiet<'a> {
    map: &'a Shared,
    /// The writer was free before.
    taken: bool,
    /// Edits were refused before.
    committing: bool,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.map.state);
        state.pending.committing = self.committing;
        if self.taken {
            self.map.release(&mut state);
        }
    }
}

/// Callbacks of a region so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionCount {
    /// The region.
    pub id: RegionId,
    /// Its name.
    pub name: String,
    /// Read callbacks.
    pub reads: u64,
    /// Write callbacks.
    pub writes: u64,
}

/// A shared handle to a graph of regions and the address spaces that show it.
///
/// A device may hold one and open a transaction from a callback. Such a device and the map keep each other alive;
/// [`MemoryMap::clear`] takes everything out of the map.
#[derive(Clone)]
pub struct MemoryMap(pub(crate) Arc<Shared>);

impl Default for MemoryMap {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryMap {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        let (state, code_writes, queue) = (Mutex::default(), Arc::default(), Arc::default());
        Self(Arc::new(Shared { state, writer_free: Condvar::new(), code_writes, queue }))
    }

    /// Adds a region. It is not attached to anything, so nothing shows it yet.
    ///
    /// # Errors
    /// Size 0; contradicting access rules; no such owner; too many regions; an alias that reaches past 2^64, whose target is
    /// unknown or whose chain is too deep; a taken RAM id; no host memory.
    pub fn add(&self, spec: RegionSpec) -> Result<RegionId, MapError> {
        let last = spec.size.last().ok_or_else(|| MapError::ZeroSize(spec.name.to_string()))?;
        check_rules(&spec)?;
        let mut state = lock(&self.0.state);
        spec.owned_by.map(|owner| state.graph.owners.get(owner)).transpose()?;
        let id = state.graph.reserve()?;
        let kind = self.kind(&mut state.graph, id, &spec, last)?;
        let readonly = matches!(spec.kind, SpecKind::Ram { readonly: true });
        let romd = matches!(spec.kind, SpecKind::RomDevice { romd: true, .. });
        let node = Node {
            name: spec.name,
            kind,
            last,
            parent: None,
            at: 0,
            priority: 0,
            exclusive: false,
            turn: 0,
            enabled: true,
            readonly,
            nonvolatile: false,
            unmergeable: false,
            romd,
            owner: spec.owned_by,
            transparent: Transparency::None,
            extras: None,
        };
        state.graph.insert(id, node);
        Ok(id)
    }

    /// Makes what a new node is.
    fn kind(
        &self,
        graph: &mut Graph,
        id: RegionId,
        spec: &RegionSpec,
        last: u64,
    ) -> Result<NodeKind, MapError> {
        let backing = match &spec.kind {
            SpecKind::Container => return Ok(NodeKind::Container),
            SpecKind::Alias { target, offset } => {
                graph.node(*target)?;
                check_alias(*offset, last)?;
                check_depth(1 + graph.height(*target))?;
                return Ok(NodeKind::Alias { target: *target, offset: *offset });
            }
            SpecKind::Ram { .. } => Backing::Ram(self.allocate(graph, spec)?),
            SpecKind::RomDevice { call, .. } => Backing::RomDevice(self.allocate(graph, spec)?, call.clone()),
            SpecKind::Mmio(call) => Backing::Mmio(call.clone()),
            SpecKind::Iommu(iommu) => Backing::Iommu(Arc::clone(iommu)),
            SpecKind::Reservation => Backing::Reservation,
        };
        let owner = spec.owned_by.and_then(|owner| graph.owners.get(owner).ok());
        let data = owner.map(|owner| Arc::clone(&owner.data));
        Ok(NodeKind::Leaf(Arc::new(Leaf::new(id, Arc::clone(&spec.name), backing, data))))
    }

    fn allocate(&self, graph: &mut Graph, spec: &RegionSpec) -> Result<Arc<RamBlock>, MapError> {
        let owner = spec.owned_by.and_then(|owner| graph.owners.get(owner).ok()).map(|owner| &owner.path);
        let id: Arc<str> = match spec.owner.as_ref().or(owner) {
            Some(owner) => format!("{owner}/{}", spec.name).into(),
            None => Arc::clone(&spec.name),
        };
        let len = u64::try_from(spec.size.bytes()).unwrap_or(u64::MAX);
        graph.take_ram_id(&id)?;
        match RamBlock::new(Arc::clone(&id), len, Arc::clone(&self.0.code_writes)) {
            Ok(block) => Ok(Arc::new(block)),
            Err(source) => {
                graph.free_ram_id(&id);
                Err(MapError::Host { id: id.to_string(), len, source })
            }
        }
    }

    /// Removes a region in a transaction of its own, see [`MapTxn::remove`].
    ///
    /// # Errors
    /// No such region; a refused commit.
    pub fn remove(&self, region: RegionId) -> Result<CommitReport, MapError> {
        let mut txn = self.txn();
        txn.remove(region)?;
        Ok(txn.commit()?)
    }

    /// Adds an owner: `path` becomes part of the ids of its RAM blocks, and `data` lives at least until no leaf region
    /// of the owner can be reached.
    ///
    /// `data` is usually the device itself. It is dropped after the last of: [`MemoryMap::drop_owner`]; the last view
    /// that shows one of the owner's leaf regions; what else holds such a view, as an access under way does.
    #[must_use]
    pub fn add_owner(&self, path: &str, data: Arc<dyn Any + Send + Sync>) -> OwnerId {
        lock(&self.0.state).graph.owners.add(path, data)
    }

    /// Drops an owner in a transaction of its own, see [`MapTxn::drop_owner`].
    ///
    /// # Errors
    /// No such owner; a refused commit.
    pub fn drop_owner(&self, owner: OwnerId) -> Result<CommitReport, MapError> {
        let mut txn = self.txn();
        txn.drop_owner(owner)?;
        Ok(txn.commit()?)
    }

    /// Removes every region in one transaction. The spaces stay, and show nothing.
    ///
    /// # Errors
    /// A refused commit.
    pub fn clear(&self) -> Result<CommitReport, MapError> {
        let mut txn = self.txn();
        let all: Vec<_> = lock(&self.0.state).graph.nodes().map(|(id, _)| id).collect();
        for region in all {
            txn.remove(region)?;
        }
        Ok(txn.commit()?)
    }

    /// Makes an address space that shows `root` at 0, wherever else that may be attached.
    ///
    /// If another space comes down to the same region through nodes with the same flags, both share one table of
    /// ranges, see [`FlatView::shares_ranges_with`].
    ///
    /// # Errors
    /// No such region; inside a transaction; a view that would be too large.
    pub fn space(&self, root: RegionId, name: &str, config: SpaceConfig) -> Result<AddressSpace, MapError> {
        let txn = self.txn();
        if !txn.is_outermost() {
            return Err(MapError::Busy("a transaction is open"));
        }
        let mut state = lock(&self.0.state);
        let graph = &mut state.graph;
        graph.node(root)?;
        let key = graph.view_key(root);
        let table = match graph.shown_table(key, &[]) {
            Some(table) => table,
            None => Arc::new(RangeTable::new(config.kind, render(graph, key, AddrRange::ALL)?)),
        };
        let id = graph.new_space_id();
        let info = Arc::new(SpaceInfo::new(name, config, Arc::clone(&self.0.queue)));
        let mut view = FlatView::new(info, 1, table);
        if !graph.with_extras.is_empty() {
            view.extras = extras_in(graph, &view, std::iter::once(AddrRange::ALL));
        }
        let space = Arc::new(SpaceInner::new(id, view, Arc::downgrade(&self.0)));
        graph.add_space(SpaceEntry { id, root, key, space: Arc::downgrade(&space) });
        drop(state);
        drop(txn);
        Ok(AddressSpace(space))
    }

    /// Opens a transaction. Waits while another thread has one open; on the same thread it is part of that one.
    ///
    /// Writes that wait in the queue are delivered before, unless this thread is inside of a device's callback.
    #[must_use]
    pub fn txn(&self) -> MapTxn {
        if !thread::in_callback() && lock(&self.0.state).owner != thread::token() {
            self.0.queue.flush(true);
        }
        let (mut state, _) = self.0.acquire();
        MapTxn::open(Arc::clone(&self.0), &mut state)
    }

    /// The memory behind a RAM, ROM or ROM device region.
    #[must_use]
    pub fn ram_block(&self, region: RegionId) -> Option<Arc<RamBlock>> {
        lock(&self.0.state).graph.get(region)?.leaf()?.ram().cloned()
    }

    /// The IOMMU of a region, or of what an alias shows.
    pub(crate) fn iommu(&self, region: RegionId) -> Result<Arc<dyn Iommu>, MapError> {
        let state = lock(&self.0.state);
        let mut at = region;
        loop {
            let node = state.graph.node(at)?;
            match &node.kind {
                NodeKind::Alias { target, .. } => at = *target,
                NodeKind::Leaf(leaf) if let Backing::Iommu(iommu) = &leaf.backing => {
                    return Ok(Arc::clone(iommu));
                }
                NodeKind::Leaf(_) | NodeKind::Container => {
                    return Err(MapError::WrongKind { region, wanted: "an IOMMU" });
                }
            }
        }
    }

    /// Where stores to translated code are posted.
    #[must_use]
    pub fn code_writes(&self) -> Arc<CodeWrites> {
        Arc::clone(&self.0.code_writes)
    }

    /// Callbacks so far of every region that has any.
    #[must_use]
    pub fn callback_counts(&self) -> Vec<RegionCount> {
        let state = lock(&self.0.state);
        let count = |(id, node): (RegionId, &Node)| {
            let (reads, writes) = node.leaf()?.counts();
            (reads | writes != 0).then(|| RegionCount { id, name: node.name.to_string(), reads, writes })
        };
        state.graph.nodes().filter_map(count).collect()
    }

    /// The view that rendering the whole of `space` from its root in the present graph gives, to compare commits with.
    ///
    /// # Errors
    /// A view that would be too large.
    pub fn rendered(&self, space: &AddressSpace) -> Result<FlatView, CommitError> {
        let state = lock(&self.0.state);
        let root = state.graph.spaces().iter().find(|entry| entry.id == space.id()).map(|entry| entry.root);
        let key = root.map_or(ViewKey::Empty, |root| ViewKey::Region(root, RangeAttrs::default()));
        let table = RangeTable::new(space.config().kind, render(&state.graph, key, AddrRange::ALL)?);
        Ok(FlatView::new(Arc::clone(&space.0.info), space.generation(), Arc::new(table)))
    }
}

/// Checks that an alias from `offset` on, whose last byte is `last`, ends inside of the space.
pub(crate) fn check_alias(offset: u64, last: u64) -> Result<(), MapError> {
    match offset.checked_add(last) {
        Some(_) => Ok(()),
        None => Err(MapError::RangeOverflow { offset, size: u128::from(last) + 1 }),
    }
}

fn check_rules(spec: &RegionSpec) -> Result<(), MapError> {
    match &spec.kind {
        SpecKind::RomDevice { call, .. } | SpecKind::Mmio(call) => call
            .rules
            .validate()
            .map_err(|reason| MapError::BadAccessRules { region: spec.name.to_string(), reason }),
        SpecKind::Ram { .. }
        | SpecKind::Iommu(_)
        | SpecKind::Reservation
        | SpecKind::Container
        | SpecKind::Alias { .. } => Ok(()),
    }
}
