//! A map as plain data: what listings, pictures, comparisons and map files are made of.
//!
//! A dump is taken at one moment and holds no lock; [`explain`](MapDump::explain) walks it by the search rule of
//! the memory document ("Visibility"), which is another way to the answer than the painter's.

mod compare;
mod dot;
mod explain;
mod flat;
mod picture;

pub use compare::{ViewChange, compare};
pub use explain::{Explanation, Step, Verdict};
pub use picture::{Mark, svg_of_change};

use std::collections::BTreeMap;
use std::sync::Arc;

use base::AddrRange;

use crate::children::Children;
use crate::graph::{Graph, Node, NodeKind};
use crate::region::Backing;
use crate::view::Binding;
use crate::{
    FlatRange, FlatView, MemoryMap, RangeAttrs, RegionId, SpaceConfig, Target, Transparency, lock, text,
};

/// What a region is. ROM is [`RegionKind::Ram`] with the read-only flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// Plain memory.
    Ram,
    /// Memory whose writes are callbacks.
    RomDevice,
    /// A device's registers.
    Mmio,
    /// Addresses that an IOMMU translates.
    Iommu,
    /// A name and nobody who answers.
    Reservation,
    /// Children and holes.
    Container,
    /// A window on another region.
    Alias {
        /// The region shown; it may have been removed.
        target: RegionId,
        /// Its offset that the first byte shows.
        offset: u64,
    },
}

/// A region of a dump.
#[derive(Clone, Debug)]
pub struct RegionInfo {
    /// Its identity in the map.
    pub id: RegionId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RegionKind,
    /// What a listing calls its kind; an alias is called what its target is.
    pub tag: &'static str,
    /// Id of its RAM block, if it has one.
    pub ram_id: Option<String>,
    /// Bytes of its RAM block, if it has one: as many as it can grow to.
    pub ram_bytes: Option<u64>,
    /// Offset of its last byte.
    pub last: u64,
    /// The region that it is attached to.
    pub parent: Option<RegionId>,
    /// Offset in the parent.
    pub at: u64,
    /// Compared between siblings only.
    pub priority: i32,
    /// May not overlap another exclusive sibling.
    pub exclusive: bool,
    /// Children in the order in which an access meets them.
    pub children: Vec<RegionId>,
    /// It and what is below it can be seen.
    pub enabled: bool,
    /// Plain memory shown through it drops writes.
    pub readonly: bool,
    /// What is shown through it survives power-off.
    pub nonvolatile: bool,
    /// What is shown through it is not joined with its neighbours.
    pub unmergeable: bool,
    /// Of a ROM device: it is in read mode.
    pub romd: bool,
    /// The direction of access that passes through it.
    pub transparent: Transparency,
}

/// An address space of a dump.
#[derive(Clone, Debug)]
pub struct SpaceInfo {
    /// Its name.
    pub name: String,
    /// The region that it shows.
    pub root: RegionId,
    /// How it behaves.
    pub config: SpaceConfig,
    /// The view in force.
    pub view: Arc<FlatView>,
}

/// A map at one moment.
#[derive(Clone, Debug)]
pub struct MapDump {
    /// Every region.
    pub regions: BTreeMap<RegionId, RegionInfo>,
    /// The spaces in the order of their creation.
    pub spaces: Vec<SpaceInfo>,
}

impl MapDump {
    /// The space of this name.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&SpaceInfo> {
        self.spaces.iter().find(|space| space.name == name)
    }

    /// Name of a region, also of one that was removed.
    #[must_use]
    pub fn name(&self, region: RegionId) -> &str {
        self.regions.get(&region).map_or("(removed)", |region| &region.name)
    }
}

impl MemoryMap {
    /// The regions and spaces as data.
    #[must_use]
    pub fn dump(&self) -> MapDump {
        // The last handle to a space may be among them: it goes when the graph is not locked any more.
        let mut held = Vec::new();
        let state = lock(&self.0.state);
        let graph = &state.graph;
        let regions = graph.nodes().map(|(id, node)| (id, region_info(id, node, graph)));
        let spaces = graph.spaces().iter().filter_map(|entry| {
            let space = entry.space.upgrade()?;
            held.push(Arc::clone(&space));
            let (name, config) = (space.info.name.to_string(), space.info.config);
            Some(SpaceInfo { name, root: entry.root, config, view: space.view() })
        });
        MapDump { regions: regions.collect(), spaces: spaces.collect() }
    }
}

fn region_info(id: RegionId, node: &Node, graph: &Graph) -> RegionInfo {
    let kind = match &node.kind {
        NodeKind::Container => RegionKind::Container,
        NodeKind::Alias { target, offset } => RegionKind::Alias { target: *target, offset: *offset },
        NodeKind::Leaf(leaf) => match &leaf.backing {
            Backing::Ram(_) => RegionKind::Ram,
            Backing::RomDevice(..) => RegionKind::RomDevice,
            Backing::Mmio(_) => RegionKind::Mmio,
            Backing::Iommu(_) => RegionKind::Iommu,
            Backing::Reservation => RegionKind::Reservation,
        },
    };
    let children = graph.children(id).map_or_else(|_| Vec::new(), Children::ordered);
    RegionInfo {
        id,
        name: node.name.to_string(),
        kind,
        tag: text::node_tag(graph, node),
        ram_id: node.leaf().and_then(|leaf| leaf.ram()).map(|block| block.name().to_owned()),
        ram_bytes: node.leaf().and_then(|leaf| leaf.ram()).map(|block| block.len()),
        last: node.last,
        parent: node.parent,
        at: node.at,
        priority: node.priority,
        exclusive: node.exclusive,
        children: children.iter().map(|child| child.id).collect(),
        enabled: node.enabled,
        readonly: node.readonly,
        nonvolatile: node.nonvolatile,
        unmergeable: node.unmergeable,
        romd: node.romd,
        transparent: node.transparent,
    }
}

/// What answers one direction of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Host memory.
    Memory,
    /// A device's callback.
    Callback,
    /// An IOMMU.
    Translation,
    /// Nothing happens and nobody complains: a write to ROM.
    Dropped,
    /// The access is refused.
    Refused,
}

impl Answer {
    /// A word for listings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Callback => "callback",
            Self::Translation => "translation",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }

    fn of(target: &Target) -> Self {
        match target {
            Target::Host(_) => Self::Memory,
            Target::Call(_) => Self::Callback,
            Target::Translate(_) => Self::Translation,
            Target::Discard => Self::Dropped,
            Target::Unassigned => Self::Refused,
        }
    }
}

/// One direction of a flat range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The region reached.
    pub region: RegionId,
    /// Its name.
    pub name: String,
    /// Offset in it of the range's first address.
    pub offset: u64,
    /// What it does.
    pub answer: Answer,
    /// Attributes of the path to it.
    pub attrs: RangeAttrs,
}

/// A flat range as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeInfo {
    /// The addresses.
    pub range: AddrRange,
    /// What a listing calls it.
    pub tag: String,
    /// Priority of its region among its siblings.
    pub priority: i32,
    /// What reads reach.
    pub read: Option<Side>,
    /// What writes reach.
    pub write: Option<Side>,
}

impl RangeInfo {
    /// The direction that names the range: reads, or writes where nothing answers reads.
    #[must_use]
    pub fn shown(&self) -> Option<&Side> {
        self.read.as_ref().or(self.write.as_ref())
    }

    /// Whether reads and writes reach the same byte of the same region.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match (&self.read, &self.write) {
            (Some(read), Some(write)) => read.region == write.region && read.offset == write.offset,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The part of it inside `to`, of which it holds every address.
    #[must_use]
    pub fn cut(mut self, to: AddrRange) -> Self {
        let shift = to.first().wrapping_sub(self.range.first());
        for side in [&mut self.read, &mut self.write].into_iter().flatten() {
            side.offset = side.offset.wrapping_add(shift);
        }
        self.range = to;
        self
    }
}

impl FlatRange {
    /// This range as data.
    #[must_use]
    pub fn info(&self) -> RangeInfo {
        let side = |binding: &Option<Binding>, target: &Target| {
            binding.as_ref().map(|binding| Side {
                region: binding.leaf.id(),
                name: binding.leaf.name().to_owned(),
                offset: binding.offset,
                answer: Answer::of(target),
                attrs: binding.attrs,
            })
        };
        RangeInfo {
            range: self.range,
            tag: text::range_tag(self),
            priority: self.leaf().priority(),
            read: side(&self.reader, &self.read),
            write: side(&self.writer, &self.write),
        }
    }
}
