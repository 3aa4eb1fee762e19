//! The registers, and accesses through an IOMMU region into memory.

use super::*;
use memory::{
    IommuSink, IommuSubscription, IommuWatch, Iotlb, MemAttrs, MemoryMap, NotifyKinds, Placement, RegionId,
    RegionSpec, SpaceConfig, TxError, TxOutcome, UnassignedPolicy,
};

const RAM: u64 = 0x10_0000;

struct Rig {
    map: MemoryMap,
    ram: RegionId,
    iommu: RegionId,
    bus: AddressSpace,
    registers: IommuRegisters,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.map.clear().unwrap();
    }
}

/// 64 KiB of RAM at `RAM` in the target; the bus is the IOMMU alone, larger than its table.
fn rig() -> Rig {
    let map = MemoryMap::new();
    let config = SpaceConfig::memory(UnassignedPolicy::Ones);
    let system = map.add(RegionSpec::container("system", 0x1_0000_0000)).unwrap();
    let ram = map.add(RegionSpec::ram("ram", 0x1_0000)).unwrap();
    let mut txn = map.txn();
    txn.attach(system, RAM, ram, Placement::Exclusive).unwrap();
    txn.commit().unwrap();
    let table = PageTable::new();
    let model = PagedIommu::new(Arc::clone(&table), map.space(system, "system", config).unwrap());
    let iommu = map.add(RegionSpec::iommu("iommu", 0x20_0000, model)).unwrap();
    let bus = map.space(iommu, "bus", config).unwrap();
    Rig { map, ram, iommu, bus, registers: IommuRegisters::new(table) }
}

impl Rig {
    fn map_page(&mut self, page: u64, entry: u32) {
        let cx = &mut AccessCx::cpu();
        self.registers.write(RegionOffset(reg::INDEX), page, AccessSize::B4, cx).unwrap();
        self.registers.write(RegionOffset(reg::ENTRY), entry.into(), AccessSize::B4, cx).unwrap();
    }

    fn entry(&mut self, page: u64) -> u64 {
        let cx = &mut AccessCx::cpu();
        self.registers.write(RegionOffset(reg::INDEX), page, AccessSize::B4, cx).unwrap();
        self.registers.read(RegionOffset(reg::ENTRY), AccessSize::B4, cx).unwrap()
    }

    fn put(&self, addr: u64, bytes: &[u8]) -> TxOutcome {
        self.bus.write(addr, bytes, &mut AccessCx::dma())
    }

    fn get<const N: usize>(&self, addr: u64) -> ([u8; N], Option<TxError>) {
        let mut bytes = [0xee; N];
        let outcome = self.bus.read(addr, &mut bytes, &mut AccessCx::dma());
        (bytes, outcome.error())
    }

    fn ram<const N: usize>(&self, off: u64) -> [u8; N] {
        let mut bytes = [0; N];
        assert!(self.map.ram_block(self.ram).unwrap().read(off, &mut bytes));
        bytes
    }
}

const BOTH: u32 = ENTRY_READ | ENTRY_WRITE;

#[test]
fn neighbours_on_the_bus_lead_to_frames_that_are_none() {
    let mut rig = rig();
    rig.map_page(4, (RAM as u32 + 0x5000) | BOTH);
    rig.map_page(5, (RAM as u32 + 0x2000) | BOTH);
    assert!(rig.put(0x4fff, &[1, 2]).is_ok());
    assert_eq!((rig.ram(0x5fff), rig.ram(0x2000)), ([1], [2]));
    assert_eq!(rig.get(0x4fff), ([1, 2], None));
    rig.map_page(5, (RAM as u32 + 0x3000) | BOTH);
    assert_eq!(rig.get(0x4fff), ([1, 0], None));
}

#[test]
fn each_permission_is_its_own() {
    let mut rig = rig();
    assert!(rig.map.ram_block(rig.ram).unwrap().write(0x1008, &[7]));
    let denied = Some(TxError::Fault(IommuFault::Permission));
    rig.map_page(0, (RAM as u32 + 0x1000) | ENTRY_READ);
    assert_eq!(rig.get(8), ([7], None));
    assert_eq!((rig.put(8, &[9]).error(), rig.ram(0x1008)), (denied, [7]));
    rig.map_page(0, (RAM as u32 + 0x1000) | ENTRY_WRITE);
    assert_eq!(rig.get(8), ([0xff], denied));
    assert_eq!((rig.put(8, &[9]).error(), rig.ram(0x1008)), (None, [9]));
    rig.map_page(0, RAM as u32 + 0x1000);
    let unmapped = Some(TxError::Fault(IommuFault::Unmapped));
    assert_eq!((rig.get(8), rig.put(8, &[3]).error()), (([0xff], unmapped), unmapped));
    assert_eq!(rig.ram(0x1008), [9]);
}

#[test]
fn nothing_passes_beyond_the_table() {
    let mut rig = rig();
    let last = PAGES as u64 - 1;
    for page in [last, last + 1, 0x1_0000_0000 | last] {
        rig.map_page(page & 0xffff_ffff, RAM as u32 | BOTH);
    }
    assert_eq!((rig.entry(last), rig.entry(last + 1)), (RAM | 3, 0));
    assert_eq!(rig.get(last << PAGE_SHIFT), ([0], None));
    let unmapped = Some(TxError::Fault(IommuFault::Unmapped));
    assert_eq!(rig.get((last + 1) << PAGE_SHIFT), ([0xff], unmapped));
    assert_eq!(rig.put((last << PAGE_SHIFT) + 0xfff, &[1, 1]).done, 1);
}

#[test]
fn entries_keep_frame_and_rights_until_reset() {
    let mut rig = rig();
    rig.map_page(3, 0xffff_ffff);
    assert_eq!(rig.entry(3), 0xffff_f003);
    let state = rig.registers.state();
    assert_eq!(
        (state.index, state.entries.len(), state.entries[3], state.entries[2]),
        (3, PAGES, 0xffff_f003, 0)
    );
    rig.registers.reset();
    assert_eq!((rig.registers.state().index, rig.entry(3)), (0, 0));
}

/// Keeps the events.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<IommuEvent>>);

impl IommuSink for Heard {
    fn notify(&self, event: &IommuEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

#[test]
fn changes_of_the_table_are_announced_and_replayed() {
    let mut rig = rig();
    let heard = Arc::new(Heard::default());
    let kinds = NotifyKinds::MAP | NotifyKinds::UNMAP;
    let watch = IommuWatch { kinds, range: AddrRange::ALL, index: 0 };
    let take = || std::mem::take(&mut *heard.0.lock().unwrap());
    rig.map_page(3, 0x5000 | BOTH);
    let subscription: IommuSubscription = rig.map.watch_iommu(rig.iommu, watch, heard.clone()).unwrap();
    subscription.replay();
    let page = AddrRange::new(0x3000, 0x3fff).unwrap();
    let map = |translated, write| IommuEvent {
        change: IommuChange::Map,
        range: page,
        translated,
        read: true,
        write,
    };
    assert_eq!(take(), [map(0x5000, true)]);
    rig.map_page(3, 0x5000 | BOTH);
    assert_eq!(take(), [], "nothing has changed");
    rig.map_page(3, 0x6000 | ENTRY_READ);
    assert_eq!(take(), [IommuEvent::unmap(page), map(0x6000, false)]);
    rig.map_page(3, 0x7000);
    rig.map_page(3, 0);
    assert_eq!(take(), [IommuEvent::unmap(page)], "an entry without permissions maps nothing");
    rig.map_page(3, 0x5000 | ENTRY_READ);
    take();
    rig.registers.reset();
    assert_eq!(take(), [IommuEvent::unmap(page)]);
}

#[test]
fn remembered_translations_follow_the_table() {
    let mut rig = rig();
    let mut iotlb = Iotlb::new(rig.bus.clone());
    let mut at = |rig: &Rig, addr| {
        let found = iotlb.translate(addr, Some(Access::Read), MemAttrs::default()).map(|to| to.addr);
        let asked = rig.bus.translate(addr, Some(Access::Read), MemAttrs::default()).map(|to| to.addr);
        assert_eq!(found, asked);
        (found, iotlb.stats().hits)
    };
    rig.map_page(1, 0x5000 | BOTH);
    rig.map_page(2, 0x6000 | BOTH);
    assert_eq!((at(&rig, 0x1004), at(&rig, 0x2004)), ((Ok(0x5004), 0), (Ok(0x6004), 0)));
    rig.map_page(1, 0x9000 | BOTH);
    assert_eq!((at(&rig, 0x1004), at(&rig, 0x2004)), ((Ok(0x9004), 0), (Ok(0x6004), 1)));
    rig.map_page(1, 0);
    assert_eq!(at(&rig, 0x1004).0, Err(TxError::Fault(IommuFault::Unmapped)));
}
