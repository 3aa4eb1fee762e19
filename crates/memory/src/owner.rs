//! Owners: what regions belong to, so that they leave the map together.
//!
//! An owner is a path, which is part of the ids of its RAM blocks, and whatever must live as long as one of its
//! regions can be reached: each leaf region of the owner holds it, and whatever holds the leaf. So it is dropped only
//! when the last view that shows the leaf is gone, and with it every access that goes through such a view.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{MapError, RegionId};

/// Identity of an owner in its map. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub(crate) u32);

/// What an owner keeps alive.
pub(crate) type OwnerData = Arc<dyn Any + Send + Sync>;

/// An owner that is in the map.
pub(crate) struct Owner {
    pub path: Arc<str>,
    pub data: OwnerData,
    regions: BTreeSet<RegionId>,
    /// A transaction takes it out: it gets no more regions.
    leaving: bool,
}

/// The owners of a map.
#[derive(Default)]
pub(crate) struct Owners {
    known: BTreeMap<OwnerId, Owner>,
    next: u32,
}

impl Owners {
    pub fn add(&mut self, path: &str, data: OwnerData) -> OwnerId {
        let id = OwnerId(self.next);
        self.next += 1;
        self.known.insert(id, Owner { path: path.into(), data, regions: BTreeSet::new(), leaving: false });
        id
    }

    /// An owner that is not leaving.
    pub fn get(&self, id: OwnerId) -> Result<&Owner, MapError> {
        self.known.get(&id).filter(|owner| !owner.leaving).ok_or(MapError::NoOwner(id))
    }

    /// Its regions.
    pub fn regions(&self, id: OwnerId) -> Result<Vec<RegionId>, MapError> {
        self.get(id).map(|owner| owner.regions.iter().copied().collect())
    }

    /// Notes that a region belongs to an owner.
    pub fn enter(&mut self, id: OwnerId, region: RegionId) {
        if let Some(owner) = self.known.get_mut(&id) {
            owner.regions.insert(region);
        }
    }

    /// Notes that a region is gone for good.
    pub fn forget(&mut self, id: OwnerId, region: RegionId) {
        if let Some(owner) = self.known.get_mut(&id) {
            owner.regions.remove(&region);
        }
    }

    /// Marks an owner as leaving, or takes that back.
    pub fn set_leaving(&mut self, id: OwnerId, leaving: bool) {
        if let Some(owner) = self.known.get_mut(&id) {
            owner.leaving = leaving;
        }
    }

    /// Takes an owner out for good.
    pub fn take(&mut self, id: OwnerId) -> Option<Owner> {
        self.known.remove(&id)
    }
}
