//! Transactions: edits of the graph that take effect together or not at all.
//!
//! The thread that opens a transaction holds the map's writer until the outermost one ends; transactions that it
//! opens meanwhile are parts of the first. Each edit first saves the nodes that it changes and notes the windows in
//! which it can be seen before and after; the outermost commit renders those windows only. This is exact: what
//! differs between the first and the last state of the graph differs between two successive states, and there it
//! lies in the windows of that edit.

use std::marker::PhantomData;
use std::sync::{Arc, MutexGuard};

use base::AddrRange;

use crate::canon::ViewKey;
use crate::changes::{Rendered, Renderer, join};
use crate::graph::{Node, NodeKind};
use crate::map::{Shared, State, check_alias};
use crate::region::Backing;
use crate::space::SpaceInner;
use crate::{
    CommitError, MapDelta, MapError, OwnerId, Placement, RegionId, RegionSize, SpaceId, Transparency, lock,
};

/// What the open transaction has done so far.
#[derive(Default)]
pub(crate) struct Pending {
    /// Length of `undo` when each of the open transactions, one inside of the other, was opened.
    opened: Vec<usize>,
    /// Rendering and listeners are under way: edits are refused.
    pub committing: bool,
    /// What undoes the edits of each transaction, in order.
    undo: Vec<Undo>,
    /// Where edits can be seen, by place of the space.
    windows: Vec<(usize, AddrRange)>,
    /// I/O events or coalesced ranges were edited.
    pub extras_edited: bool,
    /// A space was found gone.
    space_gone: bool,
}

/// What undoes an edit.
enum Undo {
    /// What a node was before its first edit.
    Changed(RegionId, Node),
    /// A node taken out of the graph, whose id becomes invalid when the removal is final.
    Removed(RegionId, Node),
    /// An owner that leaves when the commit is final.
    OwnerLeaves(OwnerId),
}

/// What a commit changed, by space. Empty for an inner transaction and when no space sees a change.
#[derive(Clone, Debug, Default)]
pub struct CommitReport {
    /// The spaces that changed, in the order of their creation.
    pub deltas: Vec<MapDelta>,
    /// Number of windows that were rendered. Spaces that share what they show are rendered once.
    pub windows_rendered: usize,
}

impl CommitReport {
    /// The change of one space.
    #[must_use]
    pub fn delta(&self, space: SpaceId) -> Option<&MapDelta> {
        self.deltas.iter().find(|delta| delta.space == space)
    }
}

/// An open transaction; dropped without [`MapTxn::commit`], its edits never were.
pub struct MapTxn {
    map: Arc<Shared>,
    /// Length of `undo` when it was opened.
    mark: usize,
    /// It was opened by a listener in the middle of a commit.
    refused: bool,
    ended: bool,
    /// The writer belongs to a thread.
    not_send: PhantomData<*const ()>,
}

impl MapTxn {
    /// Opens a transaction for the thread that holds the writer.
    pub(crate) fn open(map: Arc<Shared>, state: &mut State) -> Self {
        let pending = &mut state.pending;
        let refused = pending.committing;
        let mark = pending.undo.len();
        if !refused {
            pending.opened.push(mark);
        }
        Self { map, mark, refused, ended: false, not_send: PhantomData }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.map
    }

    /// Whether this transaction is the one whose commit takes effect.
    pub(crate) fn is_outermost(&self) -> bool {
        !self.refused && lock(&self.map.state).pending.opened.len() == 1
    }

    /// Opens a transaction inside of this one.
    #[must_use]
    pub fn child(&mut self) -> MapTxn {
        let map = Arc::clone(&self.map);
        MapTxn::open(map, &mut lock(&self.map.state))
    }

    /// Locks the graph for an edit.
    pub(crate) fn edit(&self) -> Result<MutexGuard<'_, State>, MapError> {
        if self.refused { Err(MapError::Busy("a commit is under way")) } else { Ok(lock(&self.map.state)) }
    }

    /// Attaches `child` at offset `at` of `parent`, in front of siblings of equal priority.
    ///
    /// What reaches past the end of the parent is not shown.
    ///
    /// # Errors
    /// No such region; the parent is an alias; the child has a parent; a cycle; too deep; two exclusive siblings
    /// would overlap.
    pub fn attach(
        &mut self,
        parent: RegionId,
        at: u64,
        child: RegionId,
        how: Placement,
    ) -> Result<(), MapError> {
        let mut state = self.edit()?;
        state.graph.check_attach(parent, at, child, how)?;
        state.save(child)?;
        state.graph.attach(parent, at, child, how)?;
        state.see(child);
        Ok(())
    }

    /// Takes `child` away from its parent.
    ///
    /// # Errors
    /// No such region, or it is not attached.
    pub fn detach(&mut self, child: RegionId) -> Result<(), MapError> {
        let mut state = self.edit()?;
        state.graph.node(child)?.parent.ok_or(MapError::NotAttached(child))?;
        state.save(child)?;
        state.see(child);
        state.graph.detach(child)
    }

    /// Moves an attached region inside its parent; it comes to stand in front of siblings of equal priority.
    ///
    /// # Errors
    /// No such region, or it is not attached; two exclusive siblings would overlap.
    pub fn move_to(&mut self, region: RegionId, at: u64) -> Result<(), MapError> {
        let mut state = self.edit()?;
        let node = state.graph.node(region)?;
        let how = if node.exclusive {
            Placement::Exclusive
        } else {
            Placement::Overlap { priority: node.priority }
        };
        let moved = node.parent.is_none() || node.at != at;
        if moved { state.place_again(region, at, how) } else { Ok(()) }
    }

    /// Gives an attached region another priority, which makes its placement one that may overlap.
    ///
    /// # Errors
    /// No such region, or it is not attached.
    pub fn set_priority(&mut self, region: RegionId, priority: i32) -> Result<(), MapError> {
        let mut state = self.edit()?;
        let node = state.graph.node(region)?;
        let same = node.parent.is_some() && !node.exclusive && node.priority == priority;
        let at = node.at;
        if same { Ok(()) } else { state.place_again(region, at, Placement::Overlap { priority }) }
    }

    /// Gives a region another size.
    ///
    /// # Errors
    /// No such region; size 0; more than the RAM block holds; an alias past 2^64; two exclusive siblings would
    /// overlap.
    pub fn set_size(&mut self, region: RegionId, size: impl Into<RegionSize>) -> Result<(), MapError> {
        let size = size.into();
        let mut state = self.edit()?;
        let node = state.graph.node(region)?;
        let last = size.last().ok_or_else(|| MapError::ZeroSize(node.name.to_string()))?;
        if node.last == last {
            return Ok(());
        }
        if let Some(block) = node.leaf().and_then(|leaf| leaf.ram())
            && size.bytes() > u128::from(block.len())
        {
            return Err(MapError::TooLarge { size: size.bytes(), max: block.len() });
        }
        if let NodeKind::Alias { offset, .. } = node.kind {
            check_alias(offset, last)?;
        }
        if let Some(parent) = node.parent.filter(|_| node.exclusive) {
            state.graph.check_overlap(parent, Node::extent(node.at, last), region)?;
        }
        state.save(region)?;
        state.see(region);
        state.graph.resize(region, last)?;
        state.see(region);
        Ok(())
    }

    /// Lets an alias show its target from another offset on.
    ///
    /// # Errors
    /// No such region; not an alias; past 2^64.
    pub fn slide_alias(&mut self, region: RegionId, offset: u64) -> Result<(), MapError> {
        let mut state = self.edit()?;
        let node = state.graph.node(region)?;
        let NodeKind::Alias { target, offset: old } = node.kind else {
            return Err(MapError::WrongKind { region, wanted: "an alias" });
        };
        check_alias(offset, node.last)?;
        if old == offset {
            return Ok(());
        }
        state.change(region, |node| node.kind = NodeKind::Alias { target, offset })
    }

    /// Shows a region and what is below it in the graph, or hides both.
    ///
    /// # Errors
    /// No such region.
    pub fn set_enabled(&mut self, region: RegionId, enabled: bool) -> Result<(), MapError> {
        self.flag(region, enabled, |node| &mut node.enabled)
    }

    /// Makes the plain memory that is shown through a region read-only, or no longer so by this region.
    ///
    /// # Errors
    /// No such region.
    pub fn set_readonly(&mut self, region: RegionId, readonly: bool) -> Result<(), MapError> {
        self.flag(region, readonly, |node| &mut node.readonly)
    }

    /// Marks what is shown through a region as nonvolatile.
    ///
    /// # Errors
    /// No such region.
    pub fn set_nonvolatile(&mut self, region: RegionId, nonvolatile: bool) -> Result<(), MapError> {
        self.flag(region, nonvolatile, |node| &mut node.nonvolatile)
    }

    /// Keeps ranges that are shown through a region apart from their neighbours.
    ///
    /// # Errors
    /// No such region.
    pub fn set_unmergeable(&mut self, region: RegionId, unmergeable: bool) -> Result<(), MapError> {
        self.flag(region, unmergeable, |node| &mut node.unmergeable)
    }

    /// Puts a ROM device into read mode (reads are direct) or I/O mode (reads are callbacks).
    ///
    /// # Errors
    /// No such region, or not a ROM device.
    pub fn set_romd(&mut self, region: RegionId, romd: bool) -> Result<(), MapError> {
        {
            let state = self.edit()?;
            let leaf = state.graph.node(region)?.leaf();
            if !leaf.is_some_and(|leaf| matches!(leaf.backing, Backing::RomDevice(..))) {
                return Err(MapError::WrongKind { region, wanted: "a ROM device" });
            }
        }
        self.flag(region, romd, |node| &mut node.romd)
    }

    /// Lets one direction of access through a region to what lies below it.
    ///
    /// # Errors
    /// No such region.
    pub fn set_transparent(&mut self, region: RegionId, transparent: Transparency) -> Result<(), MapError> {
        let mut state = self.edit()?;
        if state.graph.node(region)?.transparent == transparent {
            return Ok(());
        }
        state.change(region, |node| node.transparent = transparent)
    }

    /// Removes a region: it is detached, its children are, and aliases of it show nothing. Its id is never used
    /// again.
    ///
    /// # Errors
    /// No such region.
    pub fn remove(&mut self, region: RegionId) -> Result<(), MapError> {
        let children: Vec<_> = {
            let state = self.edit()?;
            state.graph.children(region)?.ordered().iter().map(|child| child.id).collect()
        };
        for child in children {
            self.detach(child)?;
        }
        let mut state = self.edit()?;
        state.see(region);
        state.save(region)?;
        if state.graph.node(region)?.parent.is_some() {
            state.graph.detach(region)?;
        }
        if let Some(node) = state.graph.take(region) {
            state.pending.undo.push(Undo::Removed(region, node));
        }
        Ok(())
    }

    /// Drops an owner: all its regions are removed, so that children of others end detached and aliases of others show
    /// nothing of it. The owner gets no regions any more, and what it keeps alive is let go, see
    /// [`MemoryMap::add_owner`](crate::MemoryMap::add_owner).
    ///
    /// # Errors
    /// No such owner.
    pub fn drop_owner(&mut self, owner: OwnerId) -> Result<(), MapError> {
        let regions = {
            let mut state = self.edit()?;
            let regions = state.graph.owners.regions(owner)?;
            state.graph.owners.set_leaving(owner, true);
            state.pending.undo.push(Undo::OwnerLeaves(owner));
            regions
        };
        for region in regions {
            match self.remove(region) {
                // It was removed in this transaction already.
                Ok(()) | Err(MapError::NoRegion(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flag(&mut self, region: RegionId, on: bool, flag: fn(&mut Node) -> &mut bool) -> Result<(), MapError> {
        let mut state = self.edit()?;
        if *flag(state.graph.node_mut(region)?) == on {
            return Ok(());
        }
        state.change(region, |node| *flag(node) = on)
    }

    /// Ends the transaction. The outermost one publishes what changed: it renders, asks every listener of every
    /// changed space, swaps all views, and then tells every listener.
    ///
    /// # Errors
    /// A listener's refusal or a view beyond the limits; graph and views are then as before the transaction.
    pub fn commit(mut self) -> Result<CommitReport, CommitError> {
        self.ended = true;
        if self.refused {
            return Err(CommitError::Committing);
        }
        let mut state = lock(&self.map.state);
        state.pending.opened.pop();
        if !state.pending.opened.is_empty() {
            return Ok(CommitReport::default());
        }
        state.pending.committing = true;
        let mut changes = Vec::new();
        let rendered = state.render_changes(&mut changes);
        if rendered.is_ok() {
            state.place_extras(&mut changes);
        }
        drop(state);
        let mut commit = Commit { map: &self.map, published: false, rekeyed: Vec::new() };
        let rendered = rendered?;
        prepare(&changes)?;
        for (space, delta) in &changes {
            space.publish(Arc::clone(&delta.view));
        }
        commit.published = true;
        commit.rekeyed = rendered.keys;
        for (space, delta) in &changes {
            space.apply(delta);
        }
        drop(commit);
        let deltas = changes.into_iter().map(|(_, delta)| delta).collect();
        Ok(CommitReport { deltas, windows_rendered: rendered.windows })
    }
}

impl Drop for MapTxn {
    fn drop(&mut self) {
        if self.ended || self.refused {
            return;
        }
        let mut state = lock(&self.map.state);
        state.roll_back(self.mark);
        state.pending.opened.pop();
        if state.pending.opened.is_empty() {
            state.roll_back(0);
            state.pending.end();
            self.map.release(&mut state);
        }
    }
}

/// The end of an outermost commit: final if published, undone if not, a listener's panic included.
struct Commit<'a> {
    map: &'a Shared,
    published: bool,
    /// What the roots of spaces have come down to, by place of the space.
    rekeyed: Vec<(usize, ViewKey)>,
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.map.state);
        if !self.published {
            state.roll_back(0);
        }
        let State { graph, pending, .. } = &mut *state;
        self.rekeyed.drain(..).for_each(|(space, key)| graph.set_key(space, key));
        let undo = pending.end();
        let mut owners = Vec::new();
        for undo in &undo {
            match undo {
                Undo::Changed(..) => {}
                Undo::Removed(id, node) => graph.retire(*id, node),
                Undo::OwnerLeaves(owner) => owners.extend(graph.owners.take(*owner)),
            }
        }
        if std::mem::take(&mut pending.space_gone) {
            graph.forget_spaces();
        }
        graph.tidy_extras();
        pending.committing = false;
        self.map.release(&mut state);
        drop(state);
        // The last reference to a device may be among them, and its drop may use the map.
        drop((undo, owners));
    }
}

impl Pending {
    /// Forgets the transaction; what was needed to undo it is handed out.
    fn end(&mut self) -> Vec<Undo> {
        self.windows.clear();
        self.extras_edited = false;
        std::mem::take(&mut self.undo)
    }
}

/// A space and what changes in it.
pub(crate) type Change = (Arc<SpaceInner>, MapDelta);

fn prepare(changes: &[Change]) -> Result<(), CommitError> {
    for (space, delta) in changes {
        let refused = |veto| CommitError::Vetoed { space: space.info.name.to_string(), veto };
        space.prepare(delta).map_err(refused)?;
    }
    Ok(())
}

impl State {
    /// Saves what a node is, unless the innermost transaction has saved it already.
    pub(crate) fn save(&mut self, id: RegionId) -> Result<(), MapError> {
        let pending = &mut self.pending;
        let opened = pending.opened.last().copied().unwrap_or(0);
        self.graph.node(id)?;
        // The number may be left from another transaction: what stands there decides.
        let place = self.graph.saved(id);
        let saved = pending.undo.get(*place).filter(|_| *place >= opened);
        if matches!(saved, Some(Undo::Changed(saved, _)) if *saved == id) {
            return Ok(());
        }
        *place = pending.undo.len();
        let node = self.graph.node(id)?.clone();
        pending.undo.push(Undo::Changed(id, node));
        Ok(())
    }

    /// Notes where a node can be seen now.
    fn see(&mut self, id: RegionId) {
        self.graph.windows_of(id, &mut self.pending.windows);
    }

    /// Changes a node without moving or resizing it.
    fn change(&mut self, id: RegionId, change: impl FnOnce(&mut Node)) -> Result<(), MapError> {
        self.save(id)?;
        self.see(id);
        change(self.graph.node_mut(id)?);
        Ok(())
    }

    /// Detaches a region and attaches it to the same parent in another way.
    fn place_again(&mut self, region: RegionId, at: u64, how: Placement) -> Result<(), MapError> {
        let node = self.graph.node(region)?;
        let parent = node.parent.ok_or(MapError::NotAttached(region))?;
        if how == Placement::Exclusive {
            self.graph.check_overlap(parent, Node::extent(at, node.last), region)?;
        }
        self.save(region)?;
        self.see(region);
        self.graph.detach(region)?;
        self.graph.attach(parent, at, region, how)?;
        self.see(region);
        Ok(())
    }

    /// Undoes every edit since `undo` was of length `mark`.
    fn roll_back(&mut self, mark: usize) {
        while self.pending.undo.len() > mark
            && let Some(undo) = self.pending.undo.pop()
        {
            match undo {
                Undo::Changed(id, node) | Undo::Removed(id, node) => self.graph.restore(id, node),
                Undo::OwnerLeaves(owner) => self.graph.owners.set_leaving(owner, false),
            }
        }
    }

    /// Adds to `changes` the next view of each space that sees a change.
    ///
    /// `changes` belongs to the caller: with it the last handle to a space may go, and that is told to its listeners,
    /// for which the graph must not be locked.
    fn render_changes(&mut self, changes: &mut Vec<Change>) -> Result<Rendered, CommitError> {
        let mut windows = std::mem::take(&mut self.pending.windows);
        windows.sort_unstable();
        let by_space = || windows.chunk_by(|(one, _), (other, _)| one == other);
        let mut renderer = Renderer {
            graph: &self.graph,
            seeing: by_space().map(|of_space| of_space[0].0).collect(),
            tables: Vec::new(),
            rendered: Rendered::default(),
        };
        for of_space in by_space() {
            let place = of_space[0].0;
            let Some(entry) = self.graph.spaces().get(place) else { continue };
            let Some(space) = entry.space.upgrade() else {
                self.pending.space_gone = true;
                continue;
            };
            let joined = join(of_space.iter().map(|(_, window)| *window));
            if let Some(delta) = renderer.change(place, entry, &space, &joined)? {
                changes.push((space, delta));
            }
        }
        Ok(renderer.rendered)
    }
}
