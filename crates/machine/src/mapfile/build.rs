//! From a map file to a live map of stubs.

use std::collections::HashMap;
use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{
    Access, AccessCx, AccessRules, AddressSpace, BusError, Iommu, IommuCtx, IommuFault, IotlbEntry, MapError,
    MapTxn, MemoryMap, MmioHandler, RegionId, RegionSize, RegionSpec,
};

use super::doc::{MapFile, RegionEntry, RegionEntryKind};
use super::{MapFileError, Place};

/// A live map made of a map file.
pub struct BuiltMap {
    /// The map.
    pub map: MemoryMap,
    /// Its spaces, in the order of the file.
    pub spaces: Vec<AddressSpace>,
    regions: HashMap<String, RegionId>,
}

impl BuiltMap {
    /// The region that the file calls by this id.
    #[must_use]
    pub fn region(&self, id: &str) -> Option<RegionId> {
        self.regions.get(id).copied()
    }

    /// The space of this name.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&AddressSpace> {
        self.spaces.iter().find(|space| space.name() == name)
    }
}

/// A device that reads as 0 and ignores writes.
struct Stub;

impl MmioHandler for Stub {
    fn read(&self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(&self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&self) {}
}

impl Iommu for Stub {
    fn translate(&self, _: u64, _: Option<Access>, _: &IommuCtx) -> Result<IotlbEntry, IommuFault> {
        Err(IommuFault::Unmapped)
    }
}

impl MapFile {
    /// Builds the map. RAM is zero; devices read as 0; IOMMUs translate nothing.
    ///
    /// # Errors
    /// What the entries say of each other that cannot be: two of one id, an unknown id, a cycle, exclusive siblings
    /// that overlap, an alias past 2^64; no host memory.
    pub fn build(&self) -> Result<BuiltMap, MapFileError> {
        let numbers = self.numbers()?;
        let mut build = Build { file: self, map: MemoryMap::new(), numbers, made: HashMap::new() };
        build.add_all()?;
        build.attach_all()?;
        let spaces = build.spaces()?;
        let id = |(number, region): (&usize, &RegionId)| (self.regions[*number].id.clone(), *region);
        Ok(BuiltMap { regions: build.made.iter().map(id).collect(), map: build.map, spaces })
    }

    /// The number of each region by its id.
    fn numbers(&self) -> Result<HashMap<&str, usize>, MapFileError> {
        let mut numbers = HashMap::new();
        for (number, region) in self.regions.iter().enumerate() {
            if let Some(first) = numbers.insert(region.id.as_str(), number) {
                let line = self.regions[first].lines.entry;
                let first =
                    line.map_or("another region".to_owned(), |line| format!("the region of line {line}"));
                let key = if region.id == region.name { "name" } else { "id" };
                let what = format!("{first} has this id too; give one of them another `id`");
                return Err(MapFileError::new(region.at(key), what));
            }
        }
        for (number, space) in self.spaces.iter().enumerate() {
            if self.spaces[..number].iter().any(|other| other.name == space.name) {
                let place = space.lines.place(&format!("space `{}`", space.name), "name");
                return Err(MapFileError::new(place, "another space has this name"));
            }
        }
        Ok(numbers)
    }
}

struct Build<'f> {
    file: &'f MapFile,
    map: MemoryMap,
    /// Number in the file by id.
    numbers: HashMap<&'f str, usize>,
    /// Regions of the map by number in the file.
    made: HashMap<usize, RegionId>,
}

impl<'f> Build<'f> {
    fn number(&self, id: &str, place: impl FnOnce() -> Place) -> Result<usize, MapFileError> {
        self.numbers
            .get(id)
            .copied()
            .ok_or_else(|| MapFileError::new(place(), format!("there is no region `{id}`")))
    }

    /// Adds every region, the target of an alias before the alias.
    fn add_all(&mut self) -> Result<(), MapFileError> {
        for number in 0..self.file.regions.len() {
            let mut chain = vec![number];
            while let Some(target) = self.target(chain[chain.len() - 1])? {
                if self.made.contains_key(&target) {
                    break;
                }
                if chain.contains(&target) {
                    return Err(self.cycle(&chain, target));
                }
                chain.push(target);
            }
            for number in chain.into_iter().rev() {
                if !self.made.contains_key(&number) {
                    self.add(number)?;
                }
            }
        }
        Ok(())
    }

    /// The target of an alias, by its number.
    fn target(&self, number: usize) -> Result<Option<usize>, MapFileError> {
        let region = &self.file.regions[number];
        match &region.kind {
            RegionEntryKind::Alias { target, .. } => self.number(target, || region.at("target")).map(Some),
            _ => Ok(None),
        }
    }

    fn cycle(&self, chain: &[usize], target: usize) -> MapFileError {
        let start = chain.iter().position(|number| *number == target).unwrap_or(0);
        let ids: Vec<_> = chain[start..]
            .iter()
            .chain([&target])
            .map(|number| self.file.regions[*number].id.as_str())
            .collect();
        let last = &self.file.regions[chain[chain.len() - 1]];
        MapFileError::new(last.at("target"), format!("cycle in the region graph: {}", ids.join(" > ")))
    }

    fn add(&mut self, number: usize) -> Result<(), MapFileError> {
        let region = &self.file.regions[number];
        let (name, size) = (region.name.as_str(), region_size(region.max.unwrap_or(region.size)));
        let spec = match &region.kind {
            RegionEntryKind::Ram => RegionSpec::ram(name, size),
            RegionEntryKind::Rom => RegionSpec::rom(name, size),
            RegionEntryKind::RomDevice { read_mode } => {
                RegionSpec::rom_device(name, size, Arc::new(Stub), AccessRules::new(), *read_mode)
            }
            RegionEntryKind::Mmio => RegionSpec::mmio(name, size, Arc::new(Stub), AccessRules::new()),
            RegionEntryKind::Iommu => RegionSpec::iommu(name, size, Arc::new(Stub)),
            RegionEntryKind::Reservation => RegionSpec::reservation(name, size),
            RegionEntryKind::Container => RegionSpec::container(name, size),
            RegionEntryKind::Alias { target, offset } => {
                let target = self.number(target, || region.at("target"))?;
                RegionSpec::alias(name, self.made[&target], *offset, size)
            }
        };
        let spec = match &region.owner {
            Some(owner) => spec.owner(owner),
            None => spec,
        };
        let id = self.map.add(spec).map_err(|error| self.refused(region, error))?;
        self.made.insert(number, id);
        Ok(())
    }

    /// Attaches the regions in the order of the file and sets their attributes, in one transaction.
    fn attach_all(&mut self) -> Result<(), MapFileError> {
        let mut txn = self.map.txn();
        for (number, region) in self.file.regions.iter().enumerate() {
            let id = self.made[&number];
            if region.max.is_some() {
                txn.set_size(id, region_size(region.size)).map_err(|error| self.refused(region, error))?;
            }
            if let Some((parent, at, how)) = &region.place {
                let parent = self.number(parent, || region.at("parent"))?;
                txn.attach(self.made[&parent], *at, id, *how).map_err(|error| self.refused(region, error))?;
            }
            set_flags(&mut txn, region, id).map_err(|error| self.refused(region, error))?;
        }
        txn.commit().map_err(|error| MapFileError::new(Place::default(), error.to_string()))?;
        Ok(())
    }

    fn spaces(&self) -> Result<Vec<AddressSpace>, MapFileError> {
        let mut spaces = Vec::new();
        for space in &self.file.spaces {
            let place = || space.lines.place(&format!("space `{}`", space.name), "root");
            let root = self.made[&self.number(&space.root, place)?];
            let made = self.map.space(root, &space.name, space.config);
            spaces.push(made.map_err(|error| MapFileError::new(place(), error.to_string()))?);
        }
        Ok(spaces)
    }

    /// Says in the file's words why the map refused a region.
    fn refused(&self, region: &'f RegionEntry, error: MapError) -> MapFileError {
        let id_of = |wanted: RegionId| {
            let number = self.made.iter().find(|(_, id)| **id == wanted).map(|(number, _)| *number);
            number.map_or("?", |number| self.file.regions[number].id.as_str())
        };
        let (key, what) = match &error {
            MapError::ZeroSize(_) | MapError::Host { .. } | MapError::TooLarge { .. } => {
                ("size", with_source(&error))
            }
            MapError::RangeOverflow { .. } => ("offset", error.to_string()),
            MapError::AliasCycle { .. } => ("parent", error.to_string()),
            MapError::TooDeep { .. } => {
                (if region.place.is_some() { "parent" } else { "target" }, error.to_string())
            }
            MapError::AliasHasChildren(parent) => {
                ("parent", format!("`{}` is an alias, which has no children", id_of(*parent)))
            }
            MapError::Overlaps { with, range } => {
                let other = id_of(*with);
                let what =
                    format!("overlaps `{other}` at {range:?} of the parent; give one of them a `priority`");
                ("at", what)
            }
            MapError::DuplicateRamId(id) => {
                ("name", format!("another RAM block has the id `{id}`; give one of them an `owner`"))
            }
            _ => ("kind", error.to_string()),
        };
        MapFileError::new(region.at(key), what)
    }
}

fn region_size(size: u128) -> RegionSize {
    u64::try_from(size).map_or(RegionSize::WHOLE, RegionSize::from)
}

fn set_flags(txn: &mut MapTxn, region: &RegionEntry, id: RegionId) -> Result<(), MapError> {
    if region.readonly {
        txn.set_readonly(id, true)?;
    }
    if region.nonvolatile {
        txn.set_nonvolatile(id, true)?;
    }
    if region.unmergeable {
        txn.set_unmergeable(id, true)?;
    }
    if region.disabled {
        txn.set_enabled(id, false)?;
    }
    txn.set_transparent(id, region.transparent)
}

/// The error and what it was caused by, on one line.
fn with_source(error: &MapError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
