//! A second opinion: the visibility search of memory.rst, address by address, on a plain copy of the graph.
//!
//! It shares nothing with the renderer. It does not decide what edits are legal: it repeats those that the map took.

use memory::{RegionId, Transparency};

/// What a region of the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ram,
    RomDevice,
    Mmio,
    Reservation,
    Container,
    Alias { target: usize, offset: u64 },
}

/// A region of the model.
#[derive(Clone, Debug)]
pub struct Region {
    pub id: RegionId,
    pub kind: Kind,
    pub size: u64,
    pub parent: Option<usize>,
    pub at: u64,
    pub priority: i32,
    pub exclusive: bool,
    /// In the order of visiting.
    pub children: Vec<usize>,
    pub enabled: bool,
    pub readonly: bool,
    pub nonvolatile: bool,
    pub unmergeable: bool,
    pub romd: bool,
    pub transparent: Transparency,
    pub removed: bool,
}

/// What one direction of one address is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub region: usize,
    pub offset: u64,
    pub size: u64,
    pub readonly: bool,
    pub nonvolatile: bool,
    /// Of an unmergeable one: first and last address that its path lets through.
    pub unmergeable: Option<(i128, i128)>,
    pub romd: bool,
}

impl Hit {
    /// The hit that one address further on would go on with.
    pub fn next(self) -> Self {
        Self { offset: self.offset.wrapping_add(1), ..self }
    }
}

/// The graph.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub regions: Vec<Region>,
}

/// Flags collected on the way down.
#[derive(Clone, Copy)]
struct Flags {
    readonly: bool,
    nonvolatile: bool,
    unmergeable: bool,
    first: i128,
    last: i128,
}

impl Model {
    pub fn add(&mut self, id: RegionId, kind: Kind, size: u64, romd: bool) {
        self.regions.push(Region {
            id,
            kind,
            size,
            parent: None,
            at: 0,
            priority: 0,
            exclusive: false,
            children: Vec::new(),
            enabled: true,
            readonly: false,
            nonvolatile: false,
            unmergeable: false,
            romd,
            transparent: Transparency::None,
            removed: false,
        });
    }

    /// What reads or writes of `addr` reach in a space that shows `root`.
    pub fn find(&self, root: usize, addr: u64, write: bool) -> Option<Hit> {
        let last = i128::from(u64::MAX);
        let flags = Flags { readonly: false, nonvolatile: false, unmergeable: false, first: 0, last };
        self.search((root, i128::from(addr)), addr, write, flags, 0)
    }

    fn search(
        &self,
        (index, offset): (usize, i128),
        addr: u64,
        write: bool,
        mut flags: Flags,
        depth: usize,
    ) -> Option<Hit> {
        assert!(depth < 100, "the map let a cycle through");
        let region = &self.regions[index];
        let passes = match region.transparent {
            Transparency::None => false,
            Transparency::Reads => !write,
            Transparency::Writes => write,
        };
        if region.removed || !region.enabled || passes || offset < 0 || offset >= i128::from(region.size) {
            return None;
        }
        flags.readonly |= region.readonly;
        flags.nonvolatile |= region.nonvolatile;
        flags.unmergeable |= region.unmergeable;
        let base = i128::from(addr) - offset;
        flags.first = flags.first.max(base);
        flags.last = flags.last.min(base + i128::from(region.size) - 1);
        if let Kind::Alias { target, offset: from } = region.kind {
            return self.search((target, offset + i128::from(from)), addr, write, flags, depth + 1);
        }
        for child in &region.children {
            let inside = offset - i128::from(self.regions[*child].at);
            if let Some(hit) = self.search((*child, inside), addr, write, flags, depth + 1) {
                return Some(hit);
            }
        }
        let hit = Hit {
            region: index,
            offset: offset as u64,
            size: region.size,
            readonly: flags.readonly,
            nonvolatile: flags.nonvolatile,
            unmergeable: flags.unmergeable.then_some((flags.first, flags.last)),
            romd: region.romd,
        };
        (region.kind != Kind::Container).then_some(hit)
    }

    /// Attaches a region; with no priority it is exclusive.
    pub fn attach(&mut self, parent: usize, at: u64, child: usize, overlap: Option<i32>) {
        let priority = overlap.unwrap_or(0);
        let region = &mut self.regions[child];
        (region.parent, region.at) = (Some(parent), at);
        (region.priority, region.exclusive) = (priority, overlap.is_none());
        let siblings = &self.regions[parent].children;
        let place = siblings.iter().position(|other| self.regions[*other].priority <= priority);
        let place = place.unwrap_or(siblings.len());
        self.regions[parent].children.insert(place, child);
    }

    pub fn detach(&mut self, child: usize) {
        if let Some(parent) = self.regions[child].parent.take() {
            self.regions[parent].children.retain(|other| *other != child);
        }
    }

    pub fn remove(&mut self, index: usize) {
        for child in self.regions[index].children.clone() {
            self.detach(child);
        }
        self.detach(index);
        self.regions[index].removed = true;
    }
}
