//! Items 43, 80, 104, 107: what lives how long, and threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::AccessSize;
use memory::{AccessCx, Device, MemoryMap, RegionSpec, Row};

use crate::common::*;

#[test]
fn an_old_view_keeps_what_it_shows() {
    let world = World::new(ZEROS);
    let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    world.write(0, &[1, 2]);
    let (view, block) = (world.space.view(), Arc::downgrade(&world.map.ram_block(ram).unwrap()));
    world.map.remove(ram).unwrap();
    assert!(world.shows().is_empty() && block.upgrade().is_some());
    assert_eq!(view.dispatch_read(0, AccessSize::B2, Row::Cpu, &mut AccessCx::cpu()).0, 0x0201);
    drop(view);
    assert!(block.upgrade().is_none());
}

#[test]
fn item_080_a_dropped_map_frees_its_memory_and_devices() {
    let device: Arc<Device<Recorder>> = Recorder::new(4);
    let block = {
        let world = World::new(ZEROS);
        let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
        world.put(world.root, 0x1000, 0, RegionSpec::mmio("dev", 4, device.clone(), ANY));
        let other = world.map.space(world.root, "other", ZEROS).unwrap();
        drop(other);
        Arc::downgrade(&world.map.ram_block(ram).unwrap())
    };
    assert_eq!((block.strong_count(), Arc::strong_count(&device)), (0, 1));
}

#[test]
fn a_dropped_space_is_not_rendered() {
    let world = World::new(ZEROS);
    let region = world.put(world.root, 0, 0, mmio("r", 1));
    let other = world.map.space(world.root, "other", ZEROS).unwrap();
    assert_eq!(world.edit(|txn| txn.move_to(region, 1)).deltas.len(), 2);
    drop(other);
    assert_eq!(world.edit(|txn| txn.move_to(region, 2)).deltas.len(), 1);
}

#[test]
fn item_104_a_reader_sees_one_map_or_the_other() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x1000));
    let rom = world.add(RegionSpec::rom("rom", 0x1000));
    world.map.ram_block(ram).unwrap().write(0, &[0xaa; 0x1000]);
    world.map.ram_block(rom).unwrap().write(0, &[0xbb; 0x1000]);
    world.edit(|txn| txn.attach(world.root, 0, ram, prio(0)));
    world.edit(|txn| txn.attach(world.root, 0, rom, prio(1)));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = [false; 2];
            while !stop.load(Ordering::Relaxed) {
                let bytes = world.read(0x7e0, 64);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{bytes:x?}");
                seen[usize::from(bytes[0] == 0xbb)] = true;
            }
            seen
        });
        for n in 0..20_000 {
            world.edit(|txn| txn.set_enabled(rom, n % 2 == 0));
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(world.space.generation(), world.space.view().generation());
}

#[test]
fn transactions_of_two_threads_follow_each_other() {
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("root", 0x1_0000)).unwrap();
    let space = map.space(root, "space", ZEROS).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let map = map.clone();
            scope.spawn(move || {
                for n in 0..200 {
                    let region = map.add(mmio("r", 0x10)).unwrap();
                    let mut txn = map.txn();
                    txn.attach(root, (n * 2 + thread) * 0x10, region, prio(0)).unwrap();
                    let dropped = n % 3 == 0;
                    if !dropped {
                        txn.commit().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(space.view().len(), 2 * (200 - 67));
    assert!(map.rendered(&space).unwrap().shows_the_same(&space.view()));
}
