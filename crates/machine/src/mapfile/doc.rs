//! A map file as data, and how it is taken from a live map.

use std::collections::{BTreeMap, HashSet};

use memory::inspect::{MapDump, RegionInfo, RegionKind};
use memory::{Placement, RegionId, SpaceConfig, SpaceKind, Transparency, UnassignedPolicy};

use super::Place;

/// A map file.
#[derive(Clone, Debug, Default)]
pub struct MapFile {
    /// The address spaces.
    pub spaces: Vec<SpaceEntry>,
    /// The regions, in the order in which they are attached.
    pub regions: Vec<RegionEntry>,
}

/// An address space of a map file.
#[derive(Clone, Debug)]
pub struct SpaceEntry {
    /// Its name.
    pub name: String,
    /// Id of the region that it shows.
    pub root: String,
    /// How it behaves.
    pub config: SpaceConfig,
    pub(super) lines: Lines,
}

/// A region of a map file.
#[derive(Clone, Debug)]
pub struct RegionEntry {
    /// What the file's other entries call it.
    pub id: String,
    /// Its name in listings.
    pub name: String,
    /// What it is.
    pub kind: RegionEntryKind,
    /// Its size in bytes, at most 2^64.
    pub size: u128,
    /// Bytes of its RAM block where they are more than its size: as many as the region can grow to.
    pub max: Option<u128>,
    /// Path of its owner, a part of the id of its RAM block.
    pub owner: Option<String>,
    /// Id of the region that it is attached to, its offset there and how it stands among its siblings.
    pub place: Option<(String, u64, Placement)>,
    /// Neither it nor what is below it can be seen.
    pub disabled: bool,
    /// Plain memory shown through it drops writes.
    pub readonly: bool,
    /// What is shown through it survives power-off.
    pub nonvolatile: bool,
    /// What is shown through it is not joined with its neighbours.
    pub unmergeable: bool,
    /// The direction of access that passes through it.
    pub transparent: Transparency,
    pub(super) lines: Lines,
}

impl RegionEntry {
    /// The place of one of its keys.
    pub(super) fn at(&self, key: &str) -> Place {
        self.lines.place(&format!("region `{}`", self.id), key)
    }
}

/// What a region of a map file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionEntryKind {
    /// Plain memory.
    Ram,
    /// Memory that drops writes.
    Rom,
    /// Memory whose writes are callbacks.
    RomDevice {
        /// Reads are direct, not callbacks.
        read_mode: bool,
    },
    /// A device.
    Mmio,
    /// An IOMMU.
    Iommu,
    /// A name and nobody who answers.
    Reservation,
    /// Children and holes.
    Container,
    /// A window on another region.
    Alias {
        /// Id of the other region.
        target: String,
        /// Its offset that the first byte shows.
        offset: u64,
    },
}

impl RegionEntryKind {
    /// The word for key `kind`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ram => "ram",
            Self::Rom => "rom",
            Self::RomDevice { .. } => "romd",
            Self::Mmio => "mmio",
            Self::Iommu => "iommu",
            Self::Reservation => "reservation",
            Self::Container => "container",
            Self::Alias { .. } => "alias",
        }
    }

    /// Whether it has a RAM block.
    pub(super) const fn has_ram(&self) -> bool {
        matches!(self, Self::Ram | Self::Rom | Self::RomDevice { .. })
    }
}

/// Lines of an entry and of its keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    pub entry: Option<usize>,
    pub keys: BTreeMap<String, usize>,
}

impl Lines {
    /// The place of a key, or of its entry where the key is not given.
    pub fn place(&self, entry: &str, key: &str) -> Place {
        let line = self.keys.get(key).copied().or(self.entry);
        Place { line, entry: entry.to_owned(), key: Some(key.to_owned()) }
    }
}

impl MapFile {
    /// A live map as a map file. What its devices do is not in it, nor are regions that nothing holds any more.
    #[must_use]
    pub fn of(dump: &MapDump) -> Self {
        let (ids, used, written) = (BTreeMap::new(), HashSet::new(), HashSet::new());
        let mut taken = Taken { dump, ids, used, written, regions: Vec::new() };
        let mut unattached: Vec<_> = dump.regions.values().filter(|region| region.parent.is_none()).collect();
        // Not by identity, which the next map that is made of the file gives anew.
        unattached.sort_by(|one, other| one.name.cmp(&other.name));
        // From the top, so that siblings keep their order.
        let tops = dump.spaces.iter().map(|space| top(dump, space.root));
        let order: Vec<_> = tops.chain(unattached.iter().map(|region| region.id)).collect();
        order.iter().for_each(|root| taken.name(*root));
        order.iter().for_each(|root| taken.region(*root));
        let space = |space: &memory::inspect::SpaceInfo| SpaceEntry {
            name: space.name.clone(),
            root: taken.id(space.root),
            config: space.config,
            lines: Lines::default(),
        };
        let spaces = dump.spaces.iter().map(space).collect();
        Self { spaces, regions: taken.regions }
    }
}

/// The region above all others on the way up from a region.
fn top(dump: &MapDump, mut region: RegionId) -> RegionId {
    while let Some(parent) = dump.regions.get(&region).and_then(|region| region.parent) {
        region = parent;
    }
    region
}

/// A file in the making.
struct Taken<'d> {
    dump: &'d MapDump,
    ids: BTreeMap<RegionId, String>,
    used: HashSet<String>,
    written: HashSet<RegionId>,
    regions: Vec<RegionEntry>,
}

impl Taken<'_> {
    /// Gives a region and what is below it ids: names, made different where they are not.
    fn name(&mut self, id: RegionId) {
        let Some(region) = self.dump.regions.get(&id).filter(|_| !self.ids.contains_key(&id)) else { return };
        let mut name = region.name.clone();
        let mut number = 2;
        while !self.used.insert(name.clone()) {
            name = format!("{}#{number}", region.name);
            number += 1;
        }
        self.ids.insert(id, name);
        region.children.iter().rev().for_each(|child| self.name(*child));
    }

    fn id(&self, id: RegionId) -> String {
        self.ids.get(&id).cloned().unwrap_or_else(|| "(removed)".to_owned())
    }

    /// Writes a region down, then its children: who is visited last was attached first.
    fn region(&mut self, id: RegionId) {
        let Some(region) = self.dump.regions.get(&id).filter(|_| self.written.insert(id)) else { return };
        if let Some(kind) = self.kind(region) {
            self.regions.push(self.entry(region, kind));
        }
        region.children.iter().rev().for_each(|child| self.region(*child));
    }

    /// What the region is; nothing for an alias whose target was removed, which shows nothing.
    fn kind(&self, region: &RegionInfo) -> Option<RegionEntryKind> {
        Some(match region.kind {
            RegionKind::Ram if region.readonly => RegionEntryKind::Rom,
            RegionKind::Ram => RegionEntryKind::Ram,
            RegionKind::RomDevice => RegionEntryKind::RomDevice { read_mode: region.romd },
            RegionKind::Mmio => RegionEntryKind::Mmio,
            RegionKind::Iommu => RegionEntryKind::Iommu,
            RegionKind::Reservation => RegionEntryKind::Reservation,
            RegionKind::Container => RegionEntryKind::Container,
            RegionKind::Alias { target, offset } => {
                RegionEntryKind::Alias { target: self.ids.get(&target)?.clone(), offset }
            }
        })
    }

    fn entry(&self, region: &RegionInfo, kind: RegionEntryKind) -> RegionEntry {
        let how = if region.exclusive {
            Placement::Exclusive
        } else {
            Placement::Overlap { priority: region.priority }
        };
        let owner = region.ram_id.as_ref().and_then(|id| id.strip_suffix(&format!("/{}", region.name)));
        RegionEntry {
            id: self.id(region.id),
            name: region.name.clone(),
            size: u128::from(region.last) + 1,
            max: region.ram_bytes.map(u128::from).filter(|bytes| *bytes > whole_pages(region.last)),
            owner: owner.map(str::to_owned),
            place: region.parent.map(|parent| (self.id(parent), region.at, how)),
            disabled: !region.enabled,
            readonly: region.readonly && kind != RegionEntryKind::Rom,
            nonvolatile: region.nonvolatile,
            unmergeable: region.unmergeable,
            transparent: region.transparent,
            kind,
            lines: Lines::default(),
        }
    }
}

/// Bytes of a RAM block that holds as much as a region whose last byte is `last`, and no more.
fn whole_pages(last: u64) -> u128 {
    (u128::from(last) + 1).next_multiple_of(u128::from(base::PAGE_SIZE))
}

/// The word for a space's kind.
pub(super) const fn space_kind(kind: SpaceKind) -> &'static str {
    match kind {
        SpaceKind::Memory => "memory",
        SpaceKind::Port => "port",
    }
}

/// The word for what unassigned addresses read as.
pub(super) const fn unassigned(policy: UnassignedPolicy) -> &'static str {
    match policy {
        UnassignedPolicy::Ones => "ones",
        UnassignedPolicy::Zeros => "zeros",
    }
}

/// The word for a direction that passes through; nothing for none.
pub(super) const fn transparent(direction: Transparency) -> Option<&'static str> {
    match direction {
        Transparency::None => None,
        Transparency::Reads => Some("reads"),
        Transparency::Writes => Some("writes"),
    }
}
