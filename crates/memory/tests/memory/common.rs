//! What the tests share: short ways to build a graph and to say what a view shows, and a recording device.

use std::sync::Arc;

use base::{AccessSize, AddrRange, RegionOffset};
use memory::{
    AccessCx, AccessRules, AddressSpace, BusError, CommitReport, Device, FlatView, MapError, MapTxn,
    MemoryMap, MmioDevice, Placement, RegionId, RegionSize, RegionSpec, SpaceConfig, UnassignedPolicy,
};

pub const ZEROS: SpaceConfig = SpaceConfig::memory(UnassignedPolicy::Zeros);
pub const ONES: SpaceConfig = SpaceConfig::memory(UnassignedPolicy::Ones);
pub const PORTS: SpaceConfig = SpaceConfig::ports(UnassignedPolicy::Ones);

/// The registers that most tests do not care about.
pub const ANY: AccessRules = AccessRules::new();

pub fn prio(priority: i32) -> Placement {
    Placement::Overlap { priority }
}

pub fn range(first: u64, last: u64) -> AddrRange {
    AddrRange::new(first, last).unwrap()
}

/// A map with a container `root` as large as the space, and a space that shows it.
pub struct World {
    pub map: MemoryMap,
    pub root: RegionId,
    pub space: AddressSpace,
}

impl World {
    pub fn new(config: SpaceConfig) -> Self {
        let map = MemoryMap::new();
        let root = map.add(RegionSpec::container("root", RegionSize::WHOLE)).unwrap();
        let space = map.space(root, "space", config).unwrap();
        Self { map, root, space }
    }

    pub fn add(&self, spec: RegionSpec) -> RegionId {
        self.map.add(spec).unwrap()
    }

    /// Adds a region and attaches it to `parent`, in a transaction of its own.
    pub fn put(&self, parent: RegionId, at: u64, priority: i32, spec: RegionSpec) -> RegionId {
        let region = self.add(spec);
        self.edit(|txn| txn.attach(parent, at, region, prio(priority)));
        region
    }

    /// Commits one edit that must succeed.
    pub fn edit(&self, edit: impl FnOnce(&mut MapTxn) -> Result<(), MapError>) -> CommitReport {
        let mut txn = self.map.txn();
        edit(&mut txn).unwrap();
        txn.commit().unwrap()
    }

    /// The addresses that the report says have changed in the world's space.
    pub fn changed(&self, report: &CommitReport) -> Vec<AddrRange> {
        report.delta(self.space.id()).map_or(Vec::new(), |delta| delta.changed.clone())
    }

    pub fn shows(&self) -> String {
        shown(&self.space.view())
    }

    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0x5a; len];
        self.space.read(addr, &mut bytes, &mut AccessCx::dma());
        bytes
    }

    pub fn write(&self, addr: u64, bytes: &[u8]) -> bool {
        self.space.write(addr, bytes, &mut AccessCx::dma()).is_ok()
    }
}

/// The view on one line: `first-last name+offset | ...`, ` w:` where writes go elsewhere.
pub fn shown(view: &FlatView) -> String {
    view.ranges().map(|range| format!("{range:?}")).collect::<Vec<_>>().join(" | ")
}

/// One callback: `r` or `w`, offset, width, and the value written.
pub type Call = (char, u64, u64, u64);

/// A device that records its calls. Reads take the bytes `first, first + 1, ...` of its register file.
#[derive(Debug)]
pub struct Recorder {
    pub calls: Vec<Call>,
    pub bytes: Vec<u8>,
    pub big_endian: bool,
}

impl Recorder {
    /// A register file of `len` bytes: byte n is `n + 0x10`.
    pub fn new(len: u64) -> Arc<Device<Self>> {
        Device::new(Self::plain(len, false))
    }

    pub fn plain(len: u64, big_endian: bool) -> Self {
        Self { calls: Vec::new(), bytes: (0..len).map(|n| (n + 0x10) as u8).collect(), big_endian }
    }
}

/// The calls recorded since they were last asked for.
pub fn calls(device: &Device<Recorder>) -> Vec<Call> {
    std::mem::take(&mut device.lock().calls)
}

impl MmioDevice for Recorder {
    fn read(&mut self, off: RegionOffset, size: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.calls.push(('r', off.0, size.bytes(), 0));
        let mut value = 0;
        for n in 0..size.bytes() {
            let byte = u64::from(self.bytes.get((off.0 + n) as usize).copied().unwrap_or(0xee));
            let place = if self.big_endian { size.bytes() - 1 - n } else { n };
            value |= byte << (8 * place);
        }
        Ok(value)
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        _: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.calls.push(('w', off.0, size.bytes(), value));
        for n in 0..size.bytes() {
            let place = if self.big_endian { size.bytes() - 1 - n } else { n };
            if let Some(byte) = self.bytes.get_mut((off.0 + n) as usize) {
                *byte = (value >> (8 * place)) as u8;
            }
        }
        Ok(())
    }

    fn reset(&mut self) {}
}

pub fn mmio(name: &str, size: impl Into<RegionSize>) -> RegionSpec {
    RegionSpec::mmio(name, size, Recorder::new(0x1000), ANY)
}
