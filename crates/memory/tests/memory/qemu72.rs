//! Item 50: what QEMU 7.2 was measured to do, in a space that follows it.

use std::sync::Arc;

use base::AccessSize;
use memory::{
    AccessCx, AccessRules, Cutting, Device, NarrowPolicy, RegionSpec, RejectReason, Row, TxError, TxOutcome,
};

use crate::common::*;

fn legacy(len: u64, rules: AccessRules) -> (World, Arc<Device<Recorder>>) {
    let (world, device) = (World::new(ZEROS.cutting(Cutting::Qemu72)), Recorder::new(len));
    world.put(world.root, 0, 0, RegionSpec::mmio("dev", len, device.clone(), rules));
    (world, device)
}

fn load(world: &World, addr: u64, bytes: u64, row: Row) -> (u64, TxOutcome) {
    let size = AccessSize::from_bytes(bytes).unwrap();
    let (value, outcome) = world.space.view().dispatch_read(addr, size, row, &mut AccessCx::cpu());
    (value, outcome)
}

fn store(world: &World, addr: u64, bytes: u64, value: u64, row: Row) -> TxOutcome {
    let size = AccessSize::from_bytes(bytes).unwrap();
    world.space.view().dispatch_write(addr, size, value, row, &mut AccessCx::cpu())
}

/// Offsets and widths of calls.
fn shape(device: &Device<Recorder>) -> Vec<(char, u64, u64)> {
    calls(device).into_iter().map(|(kind, off, width, _)| (kind, off, width)).collect()
}

#[test]
fn item_050_unaligned_loads_and_stores_of_the_processor() {
    let (world, device) = legacy(0x1000, ANY);
    assert_eq!(load(&world, 1, 4, Row::Cpu).0, 0x1413_1211);
    assert_eq!(shape(&device), [('r', 0, 4), ('r', 4, 4)]);
    assert!(store(&world, 1, 4, 0x4433_2211, Row::Cpu).is_ok());
    assert_eq!(calls(&device), [('w', 1, 1, 0x11), ('w', 2, 1, 0x22), ('w', 3, 1, 0x33), ('w', 4, 1, 0x44)]);
    load(&world, 3, 8, Row::Cpu);
    assert_eq!(shape(&device), [('r', 0, 4), ('r', 4, 4), ('r', 8, 4), ('r', 0xc, 4)]);
    store(&world, 8, 8, 1 << 32, Row::Cpu);
    assert_eq!(calls(&device), [('w', 8, 4, 0), ('w', 0xc, 4, 1)]);
    // Bytes go the way of values.
    let mut bytes = [0; 4];
    world.space.view().read_bytes(0x11, &mut bytes, Row::Cpu, &mut AccessCx::cpu());
    assert_eq!((bytes, shape(&device)), ([0x21, 0x22, 0x23, 0x24], vec![('r', 0x10, 4), ('r', 0x14, 4)]));
    world.space.view().write_bytes(0x11, &[1, 2], Row::Cpu, &mut AccessCx::cpu());
    assert_eq!(shape(&device), [('w', 0x11, 1), ('w', 0x12, 1)]);
    // The other way of cutting does not do that.
    let (pieces, device) = (World::new(ZEROS), Recorder::new(0x1000));
    pieces.put(pieces.root, 0, 0, RegionSpec::mmio("dev", 0x1000, device.clone(), ANY));
    load(&pieces, 1, 4, Row::Cpu);
    assert_eq!(shape(&device), [('r', 1, 1), ('r', 2, 1), ('r', 3, 1), ('r', 4, 1)]);
}

#[test]
fn item_050_ram_that_ends_inside_of_a_load() {
    let world = World::new(ZEROS.cutting(Cutting::Qemu72));
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1_0000));
    world.write(0xfffe, &[0x22, 0x11]);
    let (value, outcome) = load(&world, 0xfffe, 4, Row::Cpu);
    assert_eq!(
        (value, outcome.done, outcome.first_error),
        (0x1122, 2, Some((0x1_0000, TxError::Unassigned)))
    );
    assert_eq!(world.read(0xfffe, 4), [0x22, 0x11, 0, 0]);
}

#[test]
fn item_050_ports_are_typed_for_the_guest_and_byte_wise_for_others() {
    let world = World::new(PORTS.cutting(Cutting::Qemu72));
    let (dword, byte) = (Recorder::new(4), Recorder::new(4));
    let region =
        |name, device: &Arc<Device<Recorder>>, rules| RegionSpec::mmio(name, 4, device.clone(), rules);
    world.put(world.root, 0xe0, 0, region("dword", &dword, AccessRules::new().valid(1, 4)));
    world.put(world.root, 0xe8, 0, region("byte", &byte, AccessRules::new().valid(1, 1)));
    store(&world, 0xe0, 4, 0x8765_4321, Row::Port);
    assert_eq!(load(&world, 0xe0, 4, Row::Port).0, 0x8765_4321);
    // Byte-wise: inw e1 is 6543, inl 301 all ones. By a guest both are rejected as unaligned and read 0.
    assert_eq!(world.read(0xe1, 2), [0x43, 0x65]);
    assert_eq!(world.read(0x301, 4), [0xff; 4]);
    for (port, bytes) in [(0xe1, 2), (0xe3, 2), (0x301, 4)] {
        let (value, outcome) = load(&world, port, bytes, Row::Port);
        assert_eq!(
            (value, outcome.error()),
            (0, Some(TxError::Rejected(RejectReason::Unaligned))),
            "{port:x}"
        );
    }
    // Not a width that the region takes, and the first port that has no background.
    assert_eq!(load(&world, 0xe8, 4, Row::Port).0, 0);
    assert_eq!(load(&world, 0x300, 4, Row::Port).0, 0xffff_ffff);
    assert_eq!(load(&world, 0x300, 1, Row::Port).0, 0xff);
    assert_eq!(world.read(0xfffe, 4), [0xff, 0xff, 0, 0]);
    // The usual way: an `in` instruction is byte-wise.
    let usual = World::new(PORTS);
    usual.put(usual.root, 0xe0, 0, region("dword", &dword, AccessRules::new().valid(1, 4)));
    assert_eq!(load(&usual, 0xe1, 2, Row::Port).0, 0x6543);
}

#[test]
fn item_050_a_region_of_one_byte_is_called_past_its_end() {
    let world = World::new(PORTS.cutting(Cutting::Qemu72));
    let speaker = Recorder::new(1);
    let rules = AccessRules::new().implemented(1, 1);
    world.put(world.root, 0x61, 0, RegionSpec::mmio("pcspk", 1, speaker.clone(), rules));
    world.read(0x61, 2);
    assert_eq!(shape(&speaker), [('r', 0, 1), ('r', 1, 1)]);
    load(&world, 0x61, 2, Row::Port);
    assert_eq!(shape(&speaker), [('r', 0, 1), ('r', 1, 1)]);
}

#[test]
fn item_050_narrow_accesses_pass_through_and_nothing_is_aligned() {
    let rules = AccessRules::new()
        .valid(1, 4)
        .valid_unaligned()
        .implemented(4, 4)
        .narrow(NarrowPolicy::AlignAndExtract, NarrowPolicy::Reject);
    let (world, device) = legacy(0x1000, rules);
    assert_eq!(load(&world, 1, 1, Row::Cpu).0, 0x11);
    store(&world, 2, 1, 0xab, Row::Cpu);
    assert_eq!(calls(&device), [('r', 1, 4, 0), ('w', 2, 4, 0xab)]);
    load(&world, 1, 4, Row::Typed);
    assert_eq!(shape(&device), [('r', 1, 4)]);
}

#[test]
fn item_050_a_page_that_shows_several_ranges() {
    // The event timer of 400h bytes in a page of its own, which takes 4 bytes at least.
    let timer = AccessRules::new().valid(4, 8);
    let (world, device) = legacy(0x400, timer);
    assert_eq!(load(&world, 0, 1, Row::Cpu), (0, load(&world, 0, 1, Row::Cpu).1));
    assert_eq!((load(&world, 0, 2, Row::Cpu).0, calls(&device)), (0, vec![]));
    assert_eq!(load(&world, 0, 4, Row::Cpu).0, 0x1312_1110);
    assert_eq!(load(&world, 2, 4, Row::Cpu).0, 0x1514_1312);
    assert_eq!(shape(&device), [('r', 0, 4), ('r', 0, 4), ('r', 4, 4)]);
    assert_eq!(load(&world, 0x400, 4, Row::Cpu), (0, load(&world, 0x400, 4, Row::Cpu).1));
    // Byte-wise in such a page: a device of single bytes takes a dword there, and rejects it in a page of its own.
    let bytes = AccessRules::new().valid(1, 1);
    let (world, device) = legacy(0x400, bytes);
    assert_eq!(load(&world, 0, 4, Row::Cpu).0, 0x1312_1110);
    assert_eq!(shape(&device).len(), 4);
    let (world, device) = legacy(0x1000, bytes);
    assert_eq!((load(&world, 0, 4, Row::Cpu).0, calls(&device)), (0, vec![]));
    // All of it or nothing: two bytes of the device and two of nothing.
    let (world, device) = legacy(0x402, bytes);
    let (value, outcome) = load(&world, 0x400, 4, Row::Cpu);
    assert_eq!((value, outcome.error(), calls(&device)), (0, Some(TxError::Unassigned), vec![]));
}
