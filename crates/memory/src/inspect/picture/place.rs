//! The tree of a space with each region at its addresses, aliases followed.

use base::AddrRange;

use super::super::{MapDump, RegionInfo, RegionKind};
use crate::RegionId;

/// Most regions in a picture: aliases of aliases could multiply without bound.
const MAX_PLACED: usize = 20_000;

/// What a region is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Ram,
    Rom,
    RomDevice,
    Mmio,
    Iommu,
    Reservation,
    Container,
}

impl Fill {
    /// Those that have a colour of their own, with their names.
    pub const NAMED: [(Self, &'static str); 6] = [
        (Self::Ram, "RAM"),
        (Self::Rom, "ROM"),
        (Self::RomDevice, "ROM device"),
        (Self::Mmio, "device"),
        (Self::Iommu, "IOMMU"),
        (Self::Reservation, "reservation"),
    ];

    pub fn of(region: &RegionInfo) -> Self {
        match region.kind {
            RegionKind::Ram if region.readonly => Self::Rom,
            RegionKind::Ram => Self::Ram,
            RegionKind::RomDevice => Self::RomDevice,
            RegionKind::Mmio => Self::Mmio,
            RegionKind::Iommu => Self::Iommu,
            RegionKind::Reservation => Self::Reservation,
            RegionKind::Container | RegionKind::Alias { .. } => Self::Container,
        }
    }

    /// The colour, as SVG and Graphviz write it.
    pub const fn colour(self) -> &'static str {
        match self {
            Self::Ram => "#cfe8cf",
            Self::Rom => "#f5d9b5",
            Self::RomDevice => "#f0e2a8",
            Self::Mmio => "#c9dcf5",
            Self::Iommu => "#e0cff0",
            Self::Reservation => "#dddddd",
            Self::Container => "#ffffff",
        }
    }
}

impl Placed {
    /// What stands in the frame of a region with children.
    pub fn frame_text(&self) -> String {
        [self.caption.as_str(), &self.detail].join(" ").trim_end().to_owned()
    }
}

/// A region at its addresses.
#[derive(Debug)]
pub struct Placed {
    /// Its number in the tree.
    pub number: usize,
    /// Its name, and for an alias those of what it shows.
    pub caption: String,
    /// Kind, offset and priority.
    pub detail: String,
    pub fill: Fill,
    /// Its addresses inside everything that it lies in.
    pub range: AddrRange,
    /// Address of its offset 0.
    pub base: i128,
    pub priority: i32,
    /// What answers where no child does.
    pub leaf: Option<RegionId>,
    /// In the order in which an access meets them.
    pub children: Vec<Placed>,
}

/// The tree below a region that is shown at address 0, and whether it was too large. Nothing if the region is disabled.
pub fn tree(dump: &MapDump, root: RegionId) -> (Option<Placed>, bool) {
    let mut placing = Placing { dump, left: MAX_PLACED };
    let tree = placing.place(root, 0, AddrRange::ALL, 0);
    (tree, placing.left == 0)
}

struct Placing<'d> {
    dump: &'d MapDump,
    /// Regions that may still be placed.
    left: usize,
}

impl Placing<'_> {
    /// Places a region whose offset 0 lies at `base`, as far as it lies inside `clip`.
    fn place(&mut self, id: RegionId, base: i128, clip: AddrRange, depth: usize) -> Option<Placed> {
        let region = self.dump.regions.get(&id).filter(|region| region.enabled)?;
        let range = inside(base, region.last, clip)?;
        self.left = self.left.checked_sub(1)?;
        let number = self.left;
        if let RegionKind::Alias { target, offset } = region.kind {
            return Some(self.alias(region, range, (target, base - i128::from(offset)), depth));
        }
        let mut children = Vec::new();
        for child in region.children.iter().filter_map(|child| self.dump.regions.get(child)) {
            children.extend(self.place(child.id, base + i128::from(child.at), range, depth + 1));
        }
        let is_container = region.kind == RegionKind::Container;
        let tag = if is_container { None } else { Some(region.tag.to_owned()) };
        Some(Placed {
            number,
            caption: region.name.clone(),
            detail: detail(tag, region, depth),
            fill: Fill::of(region),
            range,
            base,
            priority: region.priority,
            leaf: (!is_container).then_some(id),
            children,
        })
    }

    /// Places an alias as what it shows of its target, whose offset 0 lies at `base`.
    fn alias(
        &mut self,
        region: &RegionInfo,
        range: AddrRange,
        (target, base): (RegionId, i128),
        depth: usize,
    ) -> Placed {
        let shown = self.place(target, base, range, depth);
        let name =
            shown.as_ref().map_or_else(|| self.dump.name(target).to_owned(), |shown| shown.caption.clone());
        let caption = format!("{} → {name}", region.name);
        let Some(shown) = shown else {
            let detail = detail(Some("shows nothing".to_owned()), region, depth);
            let (fill, priority) = (Fill::Container, region.priority);
            return Placed {
                number: self.left,
                caption,
                detail,
                fill,
                range,
                base,
                priority,
                leaf: None,
                children: Vec::new(),
            };
        };
        let offset = i128::from(range.first()) - base;
        let at = if offset == 0 { String::new() } else { format!(" @{offset:x}") };
        let fill = if region.readonly && shown.fill == Fill::Ram { Fill::Rom } else { shown.fill };
        let tag = shown.leaf.map(|_| format!("{}{at}", if fill == Fill::Rom { "rom" } else { region.tag }));
        let detail = detail(tag.or((!at.is_empty()).then(|| at.trim_start().to_owned())), region, depth);
        Placed { caption, detail, fill, range: shown.range, priority: region.priority, ..shown }
    }
}

/// The part inside `clip` of a region whose last offset is `last`.
fn inside(base: i128, last: u64, clip: AddrRange) -> Option<AddrRange> {
    let first = base.max(i128::from(clip.first()));
    let last = (base + i128::from(last)).min(i128::from(clip.last()));
    AddrRange::new(u64::try_from(first).ok()?, u64::try_from(last).ok()?)
}

/// What is said of a region besides its name. The priority of the root's children is that of their lanes.
fn detail(tag: Option<String>, region: &RegionInfo, depth: usize) -> String {
    let priority = (depth > 1 && region.priority != 0).then(|| format!("prio {}", region.priority));
    tag.into_iter().chain(priority).collect::<Vec<_>>().join(", ")
}
