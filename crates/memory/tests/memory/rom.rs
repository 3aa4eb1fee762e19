//! Items 71 to 75: ROM devices, and code in them.

use std::sync::Arc;

use base::AccessSize;
use memory::{AccessCx, Device, RegionId, RegionSpec, Row, Target};

use crate::common::*;

/// 4 KiB of flash at 0, in read mode, filled with 33h.
fn flash() -> (World, Arc<Device<Recorder>>, RegionId) {
    let (world, device) = (World::new(ZEROS), Recorder::new(0x1000));
    let flash =
        world.put(world.root, 0, 0, RegionSpec::rom_device("flash", 0x1000, device.clone(), ANY, true));
    assert_eq!(world.space.write_rom(0, &[0x33; 0x1000]), []);
    (world, device, flash)
}

#[test]
fn item_071_read_mode() {
    let (world, device, _) = flash();
    let view = world.space.view();
    let range = view.lookup(0).unwrap();
    assert!(
        matches!(range.read, Target::Host(_)) && matches!(range.write, Target::Call(_)) && range.attrs().romd
    );
    assert_eq!((world.read(4, 2), calls(&device)), (vec![0x33, 0x33], vec![]));
    assert!(view.dispatch_write(4, AccessSize::B2, 0x90, Row::Cpu, &mut AccessCx::cpu()).is_ok());
    assert_eq!((calls(&device), world.read(4, 2)), (vec![('w', 4, 2, 0x90)], vec![0x33, 0x33]));
}

#[test]
fn item_072_io_mode() {
    let (world, device, flash) = flash();
    world.edit(|txn| txn.set_romd(flash, false));
    assert_eq!((world.read(4, 1), calls(&device)), (vec![0x14], vec![('r', 4, 1, 0)]));
    world.write(4, &[7]);
    assert_eq!(calls(&device), [('w', 4, 1, 7)]);
}

#[test]
fn item_073_a_toggle_changes_its_range_only() {
    let (world, _, flash) = flash();
    world.put(world.root, 0x1000, 0, RegionSpec::ram("ram", 0x1000));
    world.put(world.root, 0x800, 1, mmio("overlay", 0x100));
    for romd in [false, true] {
        let report = world.edit(|txn| txn.set_romd(flash, romd));
        assert_eq!(world.changed(&report), [range(0, 0x7ff), range(0x900, 0xfff)]);
    }
    assert!(world.edit(|txn| txn.set_romd(flash, true)).deltas.is_empty());
}

#[test]
fn item_074_the_devices_own_stores_hit_code() {
    let (world, _, flash) = flash();
    let block = world.map.ram_block(flash).unwrap();
    block.mark_code(0x100, 0x10);
    block.store(0x200, AccessSize::B1, 0);
    assert!(!world.map.code_writes().pending());
    block.store(0x108, AccessSize::B1, 0);
    assert_eq!(world.map.code_writes().take(), [(block.id(), 0, 1 << 4)]);
}

#[test]
fn item_075_a_long_read_calls_the_overlay_inside() {
    let (world, _, _) = flash();
    let overlay = Recorder::new(0x100);
    world.put(world.root, 0x800, 1, RegionSpec::mmio("overlay", 0x100, overlay.clone(), ANY));
    let bytes = world.read(0, 0x1000);
    assert!(bytes[..0x800].iter().chain(&bytes[0x900..]).all(|byte| *byte == 0x33));
    assert!(bytes[0x800..0x900].iter().enumerate().all(|(n, byte)| *byte == (n + 0x10) as u8));
    let offsets: Vec<_> = calls(&overlay).iter().map(|(_, off, width, _)| (*off, *width)).collect();
    assert!(offsets.iter().copied().eq((0..0x40).map(|n| (n * 4, 4))));
}

#[test]
fn item_079_one_block_seen_twice() {
    let world = World::new(ZEROS);
    let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x2000));
    world.put(world.root, 0x8000, 0, RegionSpec::alias("again", ram, 0x1000, 0x1000));
    let block = world.map.ram_block(ram).unwrap();
    world.write(0x8004, &[7]);
    assert_eq!(world.read(0x1004, 1), [7]);
    block.mark_code(0x1000, 4);
    for (at, row) in [(0x1000, Row::Cpu), (0x8000, Row::Cpu), (0x8000, Row::ByteCopy), (0x1003, Row::Typed)] {
        world.space.view().dispatch_write(at, AccessSize::B1, 1, row, &mut AccessCx::cpu());
        assert_eq!(world.map.code_writes().take(), [(block.id(), 1, 1)], "{at:x} {row:?}");
    }
    // A fill, and a store that only ends in the page with code.
    world.space.fill(0x0f00, 0x200, 0, &mut AccessCx::dma());
    assert_eq!(world.map.code_writes().take(), [(block.id(), 1, 1)]);
    world.space.view().dispatch_write(0xfff, AccessSize::B2, 1, Row::Cpu, &mut AccessCx::cpu());
    assert_eq!(world.map.code_writes().take(), [(block.id(), 1, 1)]);
}
