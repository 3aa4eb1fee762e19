//! Items 105 to 107: one view for one access, and devices side by side.

use std::sync::{Arc, Barrier, Mutex};

use base::{AccessSize, RegionOffset};
use memory::{
    AccessCx, AccessRules, AddressSpace, BusDomain, BusError, DenyReason, Device, MemoryMap, MmioDevice,
    RegionId, RegionSpec, Row, TxError,
};

use crate::common::*;

/// Hides a region when it is read.
struct Hider {
    map: MemoryMap,
    hides: Arc<Mutex<Option<RegionId>>>,
}

impl MmioDevice for Hider {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        if let Some(region) = self.hides.lock().unwrap().take() {
            let mut txn = self.map.txn();
            txn.set_enabled(region, false).unwrap();
            txn.commit().unwrap();
        }
        Ok(0x11)
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}

#[test]
fn item_105_one_access_uses_one_view() {
    let world = World::new(ZEROS);
    let hides = Arc::new(Mutex::new(None));
    let device = Device::new(Hider { map: world.map.clone(), hides: hides.clone() });
    let rules = AccessRules::new().implemented(1, 1);
    world.put(world.root, 0xffe, 0, RegionSpec::mmio("hider", 2, device, rules));
    let ram = world.put(world.root, 0x1000, 0, RegionSpec::ram("ram", 0x1000));
    world.write(0x1000, &[0x22, 0x33]);
    // A bus master's access and each of the processor's: the bytes behind the device are those of the view that was in
    // force when the access began.
    for row in [Row::ByteCopy, Row::Cpu] {
        *hides.lock().unwrap() = Some(ram);
        let mut bytes = [0; 4];
        let view = world.space.view();
        let outcome = view.read_bytes(0xffe, &mut bytes, row, &mut AccessCx::cpu());
        assert_eq!((bytes, outcome.is_ok()), ([0x11, 0x11, 0x22, 0x33], true));
        assert!(view.generation() < world.space.generation());
        world.edit(|txn| txn.set_enabled(ram, true));
    }
    *hides.lock().unwrap() = Some(ram);
    let (mut first, mut second) = ([0; 2], [0; 2]);
    // What crosses a page is two accesses of the processor, each with the view then in force.
    world.space.read(0xffe, &mut first, &mut AccessCx::dma());
    world.space.read(0x1000, &mut second, &mut AccessCx::dma());
    assert_eq!((first, second), ([0x11, 0x11], [0, 0]));
    world.map.clear().unwrap();
}

/// Waits inside of its callback until another device is inside of its own.
struct Meeting(Arc<Barrier>);

impl MmioDevice for Meeting {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.0.wait();
        Ok(1)
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}

#[test]
fn item_107_two_devices_are_called_at_the_same_time() {
    let world = World::new(ZEROS);
    let barrier = Arc::new(Barrier::new(2));
    for at in [0, 0x100] {
        let device = Device::new(Meeting(barrier.clone()));
        world.put(world.root, at, 0, RegionSpec::mmio("meeting", 4, device, ANY));
    }
    // Neither would return if the callbacks were one after the other.
    std::thread::scope(|scope| {
        for at in [0, 0x100] {
            let world = &world;
            scope.spawn(move || assert_eq!(world.read(at, 1), [1]));
        }
    });
}

/// A bus master: a write of an address reads from there.
struct Reader {
    space: AddressSpace,
    reads: u64,
    denied: u64,
    last: Option<TxError>,
}

impl MmioDevice for Reader {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.reads += 1;
        Ok(1)
    }

    fn write(
        &mut self,
        _: RegionOffset,
        addr: u64,
        _: AccessSize,
        cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.last = self.space.read(addr, &mut [0; 4], cx).error();
        self.denied += u64::from(self.last.is_some());
        Ok(())
    }

    fn reset(&mut self) {}
}

fn reader(world: &World) -> Reader {
    Reader { space: world.space.clone(), reads: 0, denied: 0, last: None }
}

#[test]
fn item_106_two_masters_that_reach_each_other_from_two_threads() {
    const TIMES: u64 = 1_000_000;
    let world = World::new(ZEROS);
    let domain = BusDomain::new();
    let masters = [0x100, 0x200].map(|at| {
        let master = Device::master(reader(&world), &domain);
        world.put(world.root, at, 0, RegionSpec::mmio("master", 4, master.clone(), ANY));
        master
    });
    std::thread::scope(|scope| {
        for (own, other) in [(0x100, 0x200_u64), (0x200, 0x100)] {
            let view = world.space.view();
            scope.spawn(move || {
                for _ in 0..TIMES {
                    let mut cx = AccessCx::cpu();
                    assert!(view.dispatch_write(own, AccessSize::B4, other, Row::Cpu, &mut cx).is_ok());
                }
            });
        }
    });
    for master in masters {
        let master = master.lock();
        assert_eq!((master.reads, master.denied), (TIMES, 0));
    }
    world.map.clear().unwrap();
}

#[test]
fn item_106_a_leaf_device_reaches_memory_only() {
    let world = World::new(ZEROS);
    let leaf = Device::new(reader(&world));
    world.put(world.root, 0x100, 0, RegionSpec::mmio("leaf", 4, leaf.clone(), ANY));
    world.put(world.root, 0x200, 0, mmio("other", 4));
    world.put(world.root, 0x1000, 0, RegionSpec::ram("ram", 0x1000));
    let last = |addr: u32| {
        assert!(world.write(0x100, &addr.to_le_bytes()));
        leaf.lock().last
    };
    assert_eq!(last(0x1000), None);
    assert_eq!(last(0x200), Some(TxError::Denied(DenyReason::LeafDevice)));
    // The same for a master that it would reach, and an access of its caller's goes on as before.
    let domain = BusDomain::new();
    let master = Device::master(reader(&world), &domain);
    world.put(world.root, 0x300, 0, RegionSpec::mmio("master", 4, master.clone(), ANY));
    assert_eq!(last(0x300), Some(TxError::Denied(DenyReason::LeafDevice)));
    assert!(world.write(0x300, &0x100_u32.to_le_bytes()));
    assert_eq!((master.lock().last, leaf.lock().reads), (None, 1));
    world.map.clear().unwrap();
}
