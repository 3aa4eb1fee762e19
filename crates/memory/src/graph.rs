//! The graph of regions: an arena of nodes, and the checks that keep it a bounded, acyclic graph.
//!
//! Invariants: child and alias edges together have no cycle; no path is longer than [`MAX_DEPTH`]; a node has at
//! most one parent, whose list of children has what the node itself says of its place; exclusive siblings do not
//! overlap.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Weak};

use base::AddrRange;

use crate::canon::ViewKey;
use crate::children::{ChildSlot, Children};
use crate::extras::NodeExtras;
use crate::owner::Owners;
use crate::region::{Leaf, RegionId};
use crate::space::{SpaceId, SpaceInner};
use crate::table::RangeTable;
use crate::{MapError, OwnerId, Placement, Transparency};

/// Most nodes on one path through child and alias edges: rendering recurses along paths.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most regions in a map.
pub(crate) const MAX_REGIONS: usize = 1 << 20;
/// Most paths followed to find the windows of one change; beyond it everything counts as changed.
const MAX_PATHS: usize = 4096;

/// What a node is.
#[derive(Clone)]
pub(crate) enum NodeKind {
    Leaf(Arc<Leaf>),
    Container,
    Alias { target: RegionId, offset: u64 },
}

/// A region in the graph.
#[derive(Clone)]
pub(crate) struct Node {
    pub name: Arc<str>,
    pub kind: NodeKind,
    /// Offset of the last byte.
    pub last: u64,
    pub parent: Option<RegionId>,
    /// Offset in the parent.
    pub at: u64,
    pub priority: i32,
    pub exclusive: bool,
    /// Number of its attaching, see [`ChildSlot::turn`].
    pub turn: u64,
    pub enabled: bool,
    pub readonly: bool,
    pub nonvolatile: bool,
    pub unmergeable: bool,
    /// Of a ROM device: reads are direct.
    pub romd: bool,
    pub owner: Option<OwnerId>,
    pub transparent: Transparency,
    /// I/O events and coalesced ranges, if there are any.
    pub extras: Option<Arc<NodeExtras>>,
}

impl Node {
    pub fn leaf(&self) -> Option<&Arc<Leaf>> {
        match &self.kind {
            NodeKind::Leaf(leaf) => Some(leaf),
            NodeKind::Container | NodeKind::Alias { .. } => None,
        }
    }

    fn show_priority(&self) {
        if let Some(leaf) = self.leaf() {
            leaf.set_priority(self.priority);
        }
    }

    /// The bytes that a node of this size takes in its parent, cut at 2^64.
    pub fn extent(at: u64, last: u64) -> AddrRange {
        AddrRange::new(at, at.saturating_add(last)).expect("the end was cut, not wrapped")
    }

    /// How its parent lists it.
    fn slot(&self, id: RegionId) -> ChildSlot {
        let extent = Self::extent(self.at, self.last);
        ChildSlot { id, extent, priority: self.priority, exclusive: self.exclusive, turn: self.turn }
    }
}

struct Slot {
    serial: u32,
    node: Option<Node>,
    /// Beside the node, so that a copy of the node is small.
    children: Children,
    /// The aliases that show the node. Removed ones stay until the removal is final.
    aliases: Vec<RegionId>,
    /// The spaces that show it, by their places.
    spaces: Vec<usize>,
    /// Where the node was saved last, for transactions.
    saved: usize,
}

impl Slot {
    fn new() -> Self {
        let (aliases, spaces) = (Vec::new(), Vec::new());
        Self { serial: 0, node: None, children: Children::default(), aliases, spaces, saved: 0 }
    }
}

/// A space and the node that it shows.
pub(crate) struct SpaceEntry {
    pub id: SpaceId,
    pub root: RegionId,
    /// What the root came down to when the space was last looked at; its view shows that.
    pub key: ViewKey,
    pub space: Weak<SpaceInner>,
}

/// The arena.
#[derive(Default)]
pub(crate) struct Graph {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots whose id is in use.
    live: usize,
    ram_ids: BTreeSet<Arc<str>>,
    pub owners: Owners,
    spaces: Vec<SpaceEntry>,
    next_space: u32,
    /// Regions that have I/O events or coalesced ranges, and some that no longer do.
    pub with_extras: BTreeSet<RegionId>,
    next_turn: u64,
}

impl Graph {
    pub fn get(&self, id: RegionId) -> Option<&Node> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.serial == id.serial { slot.node.as_ref() } else { None }
    }

    pub fn node(&self, id: RegionId) -> Result<&Node, MapError> {
        self.get(id).ok_or(MapError::NoRegion(id))
    }

    pub fn node_mut(&mut self, id: RegionId) -> Result<&mut Node, MapError> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.serial == id.serial);
        slot.and_then(|slot| slot.node.as_mut()).ok_or(MapError::NoRegion(id))
    }

    /// The children of a region.
    pub fn children(&self, id: RegionId) -> Result<&Children, MapError> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.serial == id.serial);
        slot.map(|slot| &slot.children).ok_or(MapError::NoRegion(id))
    }

    /// Every region, in no promised order.
    pub fn nodes(&self) -> impl Iterator<Item = (RegionId, &Node)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = RegionId { index: index as u32, serial: slot.serial };
            slot.node.as_ref().map(|node| (id, node))
        })
    }

    /// Finds room for one more region: the id that [`Graph::insert`] will take.
    pub fn reserve(&mut self) -> Result<RegionId, MapError> {
        if self.live >= MAX_REGIONS {
            return Err(MapError::TooManyRegions(MAX_REGIONS));
        }
        let index = match self.free.last() {
            Some(index) => *index,
            None => {
                let index =
                    u32::try_from(self.slots.len()).map_err(|_| MapError::TooManyRegions(MAX_REGIONS))?;
                self.slots.push(Slot::new());
                self.free.push(index);
                index
            }
        };
        Ok(RegionId { index, serial: self.slots[index as usize].serial })
    }

    /// Puts a node where `reserve` found room.
    pub fn insert(&mut self, id: RegionId, node: Node) {
        let taken = self.free.pop();
        debug_assert_eq!(taken, Some(id.index), "the id comes from `reserve`");
        if let NodeKind::Alias { target, .. } = node.kind {
            self.slots[target.index as usize].aliases.push(id);
        }
        if let Some(owner) = node.owner {
            self.owners.enter(owner, id);
        }
        self.slots[id.index as usize].node = Some(node);
        self.live += 1;
    }

    /// Takes a RAM id for a new block.
    pub fn take_ram_id(&mut self, id: &Arc<str>) -> Result<(), MapError> {
        if self.ram_ids.insert(Arc::clone(id)) {
            Ok(())
        } else {
            Err(MapError::DuplicateRamId(id.to_string()))
        }
    }

    /// Gives a RAM id back.
    pub fn free_ram_id(&mut self, id: &str) {
        self.ram_ids.remove(id);
    }

    /// Takes a node out of its slot; the id stays its own until [`Graph::retire`].
    pub fn take(&mut self, id: RegionId) -> Option<Node> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.serial == id.serial)?;
        slot.node.take()
    }

    /// Where a node was saved last, for transactions; its slot keeps the number.
    pub fn saved(&mut self, id: RegionId) -> &mut usize {
        &mut self.slots[id.index as usize].saved
    }

    /// Puts back what a node was, its place among its siblings included.
    pub fn restore(&mut self, id: RegionId, node: Node) {
        self.unlist(id);
        node.show_priority();
        self.slots[id.index as usize].node = Some(node);
        self.list(id);
    }

    /// Enters a node into the list of its parent, if it has one.
    fn list(&mut self, id: RegionId) {
        let Some((parent, slot)) = self.get(id).and_then(|node| Some((node.parent?, node.slot(id)))) else {
            return;
        };
        self.slots[parent.index as usize].children.insert(slot);
    }

    /// Takes a node out of the list of its parent, if it has one.
    fn unlist(&mut self, id: RegionId) {
        let Some((parent, slot)) = self.get(id).and_then(|node| Some((node.parent?, node.slot(id)))) else {
            return;
        };
        let listed = self.slots[parent.index as usize].children.remove(&slot);
        debug_assert!(listed, "the list has what the node says");
    }

    /// Makes the id of a node that was taken out invalid for ever.
    pub fn retire(&mut self, id: RegionId, node: &Node) {
        if let Some(block) = node.leaf().and_then(|leaf| leaf.ram()) {
            self.free_ram_id(block.name());
        }
        // The slot of the target may be another region's by now, which has no such alias.
        if let NodeKind::Alias { target, .. } = node.kind {
            self.slots[target.index as usize].aliases.retain(|alias| *alias != id);
        }
        if let Some(owner) = node.owner {
            self.owners.forget(owner, id);
        }
        self.live -= 1;
        let slot = &mut self.slots[id.index as usize];
        slot.aliases.clear();
        slot.spaces.clear();
        if let Some(serial) = slot.serial.checked_add(1) {
            slot.serial = serial;
            self.free.push(id.index);
        }
    }

    /// Nodes that an edge leads from to `id`: its parent and the aliases that show it.
    fn above(&self, id: RegionId) -> impl Iterator<Item = RegionId> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.serial == id.serial);
        let aliases = slot.into_iter().flat_map(|slot| slot.aliases.iter().copied());
        let parent = self.get(id).and_then(|node| node.parent);
        parent.into_iter().chain(aliases).filter(|above| self.get(*above).is_some())
    }

    /// Nodes that an edge leads to from `id`.
    fn below(&self, id: RegionId) -> Vec<RegionId> {
        match self.get(id) {
            Some(Node { kind: NodeKind::Alias { target, .. }, .. }) => vec![*target],
            Some(_) => self.children(id).into_iter().flat_map(Children::iter).map(|child| child.id).collect(),
            None => Vec::new(),
        }
    }

    /// Number of nodes on the longest path down from `id`. The recursion is as deep as that path.
    pub fn height(&self, id: RegionId) -> usize {
        self.longest(id, &mut HashMap::new(), false)
    }

    fn longest(&self, id: RegionId, known: &mut HashMap<RegionId, usize>, up: bool) -> usize {
        if let Some(length) = known.get(&id) {
            return *length;
        }
        let next: Vec<_> = if up { self.above(id).collect() } else { self.below(id) };
        let branches = next.len() > 1;
        let rest = next.into_iter().map(|next| self.longest(next, known, up)).max();
        let length = 1 + rest.unwrap_or(0);
        if branches {
            known.insert(id, length);
        }
        length
    }

    /// Checks that an edge from `parent` to `child` keeps the graph acyclic and its paths short.
    fn check_edge(&self, parent: RegionId, child: RegionId) -> Result<(), MapError> {
        let above = self.longest(parent, &mut HashMap::new(), true);
        if let Some(length) = self.plain_way(child, parent) {
            return check_depth(above + length);
        }
        if let Some(path) = self.path_down(child, parent) {
            let name = |id: &RegionId| self.get(*id).map_or("?", |node| &*node.name);
            let names = path.iter().chain(path.first()).map(name).collect::<Vec<_>>().join(" > ");
            return Err(MapError::AliasCycle { path, names });
        }
        check_depth(above + self.height(child))
    }

    /// Number of nodes on the way down from `id`, if that is one of aliases to a region without children, and does
    /// not meet `to`. Most of what is attached is such, and needs no search for cycles.
    fn plain_way(&self, mut id: RegionId, to: RegionId) -> Option<usize> {
        let mut length = 1;
        while id != to {
            match self.get(id).map(|node| &node.kind) {
                Some(NodeKind::Alias { target, .. }) => (id, length) = (*target, length + 1),
                Some(NodeKind::Leaf(_) | NodeKind::Container) => {
                    let bare = self.children(id).is_ok_and(Children::is_empty);
                    return bare.then_some(length);
                }
                None => return Some(length),
            }
        }
        None
    }

    /// The nodes on a path from `from` down to `to`, both included, if there is one.
    fn path_down(&self, from: RegionId, to: RegionId) -> Option<Vec<RegionId>> {
        let mut below = HashMap::new();
        let mut seen = HashSet::from([to]);
        let mut open = vec![to];
        while let Some(id) = open.pop() {
            if id == from {
                return Some(std::iter::successors(Some(from), |id| below.get(id).copied()).collect());
            }
            for above in self.above(id) {
                if seen.insert(above) {
                    below.insert(above, id);
                    open.push(above);
                }
            }
        }
        None
    }

    /// Checks an exclusive region at `extent` in `parent` against its siblings, itself left out.
    pub fn check_overlap(
        &self,
        parent: RegionId,
        extent: AddrRange,
        itself: RegionId,
    ) -> Result<(), MapError> {
        let mut siblings = self.children(parent)?.reaching(extent);
        let other = siblings.find(|child| child.exclusive && child.id != itself);
        match other.and_then(|other| Some((other.id, other.extent.intersection(extent)?))) {
            Some((with, range)) => Err(MapError::Overlaps { with, range }),
            None => Ok(()),
        }
    }

    /// Checks whether `child` may be attached.
    pub fn check_attach(
        &self,
        parent: RegionId,
        at: u64,
        child: RegionId,
        how: Placement,
    ) -> Result<(), MapError> {
        let node = self.node(child)?;
        if let NodeKind::Alias { .. } = self.node(parent)?.kind {
            return Err(MapError::AliasHasChildren(parent));
        }
        if let Some(parent) = node.parent {
            return Err(MapError::AlreadyAttached { child, parent });
        }
        self.check_edge(parent, child)?;
        match how {
            Placement::Exclusive => self.check_overlap(parent, Node::extent(at, node.last), child),
            Placement::Overlap { .. } => Ok(()),
        }
    }

    /// Attaches a child after `check_attach`: in front of its equals.
    pub fn attach(
        &mut self,
        parent: RegionId,
        at: u64,
        child: RegionId,
        how: Placement,
    ) -> Result<(), MapError> {
        let (priority, exclusive) = match how {
            Placement::Exclusive => (0, true),
            Placement::Overlap { priority } => (priority, false),
        };
        let turn = self.next_turn;
        let node = self.node_mut(child)?;
        (node.parent, node.at, node.priority, node.exclusive) = (Some(parent), at, priority, exclusive);
        node.turn = turn;
        node.show_priority();
        self.next_turn += 1;
        self.list(child);
        Ok(())
    }

    /// Takes a child out of its parent's list.
    pub fn detach(&mut self, child: RegionId) -> Result<(), MapError> {
        self.node(child)?.parent.ok_or(MapError::NotAttached(child))?;
        self.unlist(child);
        self.node_mut(child)?.parent = None;
        Ok(())
    }

    /// Gives a node a size; its parent's list follows.
    pub fn resize(&mut self, id: RegionId, last: u64) -> Result<(), MapError> {
        self.node(id)?;
        self.unlist(id);
        self.node_mut(id)?.last = last;
        self.list(id);
        Ok(())
    }

    /// The spaces.
    pub fn spaces(&self) -> &[SpaceEntry] {
        &self.spaces
    }

    /// The id of the next space.
    pub fn new_space_id(&mut self) -> SpaceId {
        self.next_space += 1;
        SpaceId(self.next_space - 1)
    }

    /// Adds a space, and forgets those that are gone: not while windows name spaces by their places.
    pub fn add_space(&mut self, entry: SpaceEntry) {
        self.spaces.push(entry);
        self.forget_spaces();
    }

    /// Forgets the spaces that are gone: not while windows name spaces by their places.
    pub fn forget_spaces(&mut self) {
        self.spaces.retain(|entry| entry.space.strong_count() != 0);
        self.slots.iter_mut().for_each(|slot| slot.spaces.clear());
        for (index, entry) in self.spaces.iter().enumerate() {
            let slot = &mut self.slots[entry.root.index as usize];
            // A removed root shows nothing any more.
            if slot.serial == entry.root.serial {
                slot.spaces.push(index);
            }
        }
    }

    /// The table of a space with this key whose place is not among `except`, which are in ascending order.
    pub fn shown_table(&self, key: ViewKey, except: &[usize]) -> Option<Arc<RangeTable>> {
        let spaces = self.spaces.iter().enumerate().filter(|(_, entry)| entry.key == key);
        let mut known = spaces.filter(|(index, _)| except.binary_search(index).is_err());
        known.find_map(|(_, entry)| Some(Arc::clone(entry.space.upgrade()?.view().table())))
    }

    /// Notes what the root of a space has come down to.
    pub fn set_key(&mut self, space: usize, key: ViewKey) {
        self.spaces[space].key = key;
    }

    /// Adds to `windows` where a change of `id` can be seen: its extent along every path that is enabled above it,
    /// by index of the space.
    pub fn windows_of(&self, id: RegionId, windows: &mut Vec<(usize, AddrRange)>) {
        let Some(node) = self.get(id) else { return };
        let mut open = vec![(id, Node::extent(0, node.last))];
        let mut paths = 0;
        while let Some((id, extent)) = open.pop() {
            paths += 1;
            if paths > MAX_PATHS {
                windows.extend((0..self.spaces.len()).map(|space| (space, AddrRange::ALL)));
                return;
            }
            let spaces = &self.slots[id.index as usize].spaces;
            windows.extend(spaces.iter().map(|space| (*space, extent)));
            let seen = self.above(id).filter_map(|above| Some((above, self.seen_from(above, id, extent)?)));
            open.extend(seen);
        }
    }

    /// Where bytes `extent` of `id` lie in `above`, its parent or an alias of it; `None` if they are not seen there.
    fn seen_from(&self, above: RegionId, id: RegionId, extent: AddrRange) -> Option<AddrRange> {
        let node = self.get(above).filter(|node| node.enabled)?;
        match node.kind {
            NodeKind::Alias { offset, .. } => {
                let shown = AddrRange::new(offset, offset.saturating_add(node.last))?.intersection(extent)?;
                AddrRange::new(shown.first() - offset, shown.last() - offset)
            }
            NodeKind::Leaf(_) | NodeKind::Container => {
                let at = self.get(id)?.at;
                let moved =
                    AddrRange::new(at.checked_add(extent.first())?, at.saturating_add(extent.last()))?;
                moved.intersection(AddrRange::new(0, node.last)?)
            }
        }
    }
}

/// Checks the length of a path against the limit.
pub(crate) fn check_depth(depth: usize) -> Result<(), MapError> {
    if depth > MAX_DEPTH { Err(MapError::TooDeep { depth, limit: MAX_DEPTH }) } else { Ok(()) }
}
