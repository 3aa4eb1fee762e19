//! Items 44 to 49, 51 to 58, 106: how an access is cut and what devices are called with.

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{
    AccessCx, AccessRules, AddressSpace, BusDomain, BusError, DenyReason, Device, MemAttrs, MmioDevice,
    NarrowPolicy, OnError, RegionId, RegionSpec, RejectReason, Row, TxError, TxErrorSet, TxOutcome,
};

use crate::common::*;

const ROWS: [Row; 3] = [Row::Cpu, Row::ByteCopy, Row::Typed];

/// A world with one device of `len` bytes at 0.
fn with(len: u64, rules: AccessRules) -> (World, Arc<Device<Recorder>>) {
    let (world, device) = (World::new(ZEROS), Recorder::new(len));
    world.put(world.root, 0, 0, RegionSpec::mmio("dev", len, device.clone(), rules));
    (world, device)
}

fn with_big(len: u64, rules: AccessRules) -> (World, Arc<Device<Recorder>>) {
    let (world, device) = (World::new(ZEROS), Device::new(Recorder::plain(len, true)));
    world.put(world.root, 0, 0, RegionSpec::mmio("dev", len, device.clone(), rules.big_endian()));
    (world, device)
}

fn load(world: &World, addr: u64, bytes: u64, row: Row) -> (u64, TxOutcome) {
    let size = AccessSize::from_bytes(bytes).unwrap();
    world.space.view().dispatch_read(addr, size, row, &mut AccessCx::cpu())
}

fn store(world: &World, addr: u64, bytes: u64, value: u64, row: Row) -> TxOutcome {
    let size = AccessSize::from_bytes(bytes).unwrap();
    world.space.view().dispatch_write(addr, size, value, row, &mut AccessCx::cpu())
}

/// Offsets and widths of the read calls that a load makes.
fn pieces(world: &World, device: &Device<Recorder>, addr: u64, bytes: u64, row: Row) -> Vec<(u64, u64)> {
    load(world, addr, bytes, row);
    calls(device).into_iter().map(|(_, off, width, _)| (off, width)).collect()
}

#[test]
fn item_044_valid_widths_and_the_order_of_checks() {
    for (min, max) in [(1, 1), (1, 2), (1, 4), (1, 8), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)] {
        let (world, device) = with(0x100, AccessRules::new().valid(min, max).implemented(1, 8));
        for bytes in [1, 2, 4, 8] {
            let valid = u64::from(min) <= bytes && bytes <= u64::from(max);
            let error = (!valid).then_some(TxError::Rejected(RejectReason::Width));
            assert_eq!(load(&world, 0x10, bytes, Row::Typed).1.error(), error, "{min}..{max} read {bytes}");
            assert_eq!(store(&world, 0x10, bytes, 1, Row::Cpu).error(), error, "{min}..{max} write {bytes}");
            assert_eq!(calls(&device).len(), if valid { 2 } else { 0 });
        }
    }
    // The region's own check comes before alignment, alignment before width.
    let rules = AccessRules::new()
        .valid(4, 4)
        .accepts(|off, size, write| off != 0x21 && !(write && size == AccessSize::B4));
    let (world, _) = with(0x100, rules);
    let reason = |outcome: TxOutcome| outcome.error();
    let rejected = |reason| Some(TxError::Rejected(reason));
    assert_eq!(reason(load(&world, 0x21, 2, Row::Typed).1), rejected(RejectReason::NotAccepted));
    assert_eq!(reason(load(&world, 0x23, 2, Row::Typed).1), rejected(RejectReason::Unaligned));
    assert_eq!(reason(load(&world, 0x22, 2, Row::Typed).1), rejected(RejectReason::Width));
    assert_eq!(reason(load(&world, 0x24, 4, Row::Typed).1), None);
    assert_eq!(reason(store(&world, 0x24, 4, 0, Row::Typed)), rejected(RejectReason::NotAccepted));
    assert_eq!(world.space.rejections().rejected, 4);
}

#[test]
fn item_045_a_greatest_width_of_0_is_any() {
    let (world, device) = with(0x100, AccessRules::new().valid(4, 0).implemented(1, 8));
    for bytes in [1, 2, 4, 8] {
        assert!(load(&world, 0x10, bytes, Row::Typed).1.is_ok());
    }
    assert_eq!(calls(&device), [('r', 0x10, 1, 0), ('r', 0x10, 2, 0), ('r', 0x10, 4, 0), ('r', 0x10, 8, 0)]);
    // A byte-wise copy goes by four then.
    assert_eq!(pieces(&world, &device, 0x10, 8, Row::ByteCopy), [(0x10, 4), (0x14, 4)]);
}

#[test]
fn item_046_cut_to_what_the_device_implements() {
    for (max, count) in [(1, 8), (2, 4), (4, 2)] {
        let rules = AccessRules::new().valid(1, 8).implemented(1, max);
        let (little, device) = with(0x100, rules);
        assert_eq!(load(&little, 8, 8, Row::Typed).0, 0x1f1e_1d1c_1b1a_1918);
        let wanted: Vec<_> = (0..count).map(|n| ('r', 8 + n * u64::from(max), u64::from(max), 0)).collect();
        assert_eq!(calls(&device), wanted);
        store(&little, 8, 8, 0x8877_6655_4433_2211, Row::Typed);
        let first = 0x8877_6655_4433_2211 & AccessSize::from_bytes(u64::from(max)).unwrap().mask();
        assert_eq!(calls(&device)[0], ('w', 8, u64::from(max), first));
        assert_eq!(device.lock().bytes[8..16], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);

        let (big, device) = with_big(0x100, rules);
        assert_eq!(load(&big, 8, 8, Row::Typed).0, 0x1f1e_1d1c_1b1a_1918);
        assert_eq!(calls(&device), wanted);
        store(&big, 8, 8, 0x8877_6655_4433_2211, Row::Typed);
        let first = calls(&device)[0].3;
        assert_eq!(first, [0x11, 0x1122, 0x1122_3344][usize::from(max / 2)]);
        assert_eq!(device.lock().bytes[8..16], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    }
}

#[test]
fn item_047_narrow_reads_take_their_lane() {
    let rules = AccessRules::new().valid(1, 4).implemented(4, 4);
    for (world, device) in [with(0x10, rules), with_big(0x10, rules)] {
        for off in 0..4 {
            assert_eq!(load(&world, off, 1, Row::Cpu).0, off + 0x10);
            assert_eq!(calls(&device), [('r', 0, 4, 0)]);
        }
        assert_eq!(load(&world, 6, 2, Row::Typed).0, 0x1716);
        assert_eq!(calls(&device), [('r', 4, 4, 0)]);
    }
}

#[test]
fn item_048_narrow_writes_by_policy() {
    let rules = |policy| AccessRules::new().valid(1, 4).implemented(4, 4).narrow(policy, policy);
    let after = |policy, big: bool| {
        let (world, device) = if big { with_big(0x10, rules(policy)) } else { with(0x10, rules(policy)) };
        let outcome = store(&world, 5, 1, 0xab, Row::Cpu);
        (outcome.error(), calls(&device))
    };
    use NarrowPolicy::{AlignAndExtract, PassThrough, ReadModifyWrite, Reject};
    assert_eq!(after(PassThrough, false), (None, vec![('w', 5, 4, 0xab)]));
    assert_eq!(after(PassThrough, true), (None, vec![('w', 5, 4, 0xab00_0000)]));
    assert_eq!(after(AlignAndExtract, false), (None, vec![('w', 4, 4, 0xab00)]));
    assert_eq!(after(AlignAndExtract, true), (None, vec![('w', 4, 4, 0x00ab_0000)]));
    assert_eq!(after(ReadModifyWrite, false), (None, vec![('r', 4, 4, 0), ('w', 4, 4, 0x1716_ab14)]));
    assert_eq!(after(ReadModifyWrite, true), (None, vec![('r', 4, 4, 0), ('w', 4, 4, 0x14ab_1617)]));
    let rejected = Some(TxError::Rejected(RejectReason::Narrow));
    assert_eq!(after(Reject, false), (rejected, vec![]));
    // The default is to pass it through.
    let (world, device) = with(0x10, AccessRules::new().valid(1, 4).implemented(4, 4));
    store(&world, 6, 2, 0x1234, Row::Typed);
    assert_eq!(calls(&device), [('w', 6, 4, 0x1234)]);
    // Passed through, a read takes the low bits, or the high ones of a big-endian device.
    let (world, device) = with(0x10, rules(PassThrough));
    assert_eq!((load(&world, 5, 1, Row::Cpu).0, calls(&device)), (0x15, vec![('r', 5, 4, 0)]));
    let (world, _) = with_big(0x10, rules(PassThrough));
    assert_eq!(load(&world, 5, 1, Row::Cpu).0, 0x15);
    // No aligned unit at the end of an odd region.
    let (world, device) = with(6, AccessRules::new().valid(1, 4).implemented(4, 4));
    assert_eq!(load(&world, 4, 1, Row::Cpu).1.error(), rejected);
    assert_eq!((load(&world, 3, 1, Row::Cpu).0, calls(&device)), (0x13, vec![('r', 0, 4, 0)]));
}

#[test]
fn item_049_unaligned_accesses_by_row() {
    let rules = AccessRules::new().valid(1, 8).valid_unaligned().implemented(1, 8);
    let (world, device) = with(0x100, rules);
    let cpu: [(u64, u64, &[u64]); 7] = [
        (1, 4, &[1, 1, 1, 1]),
        (2, 4, &[2, 2]),
        (4, 8, &[4, 4]),
        (2, 8, &[2, 2, 2, 2]),
        (3, 8, &[1; 8]),
        (3, 2, &[1, 1]),
        (8, 8, &[8]),
    ];
    for (addr, bytes, widths) in cpu {
        // What a region calls valid but its device does not implement is cut by the processor's row.
        for row in [Row::Cpu, Row::Typed] {
            let got = pieces(&world, &device, addr, bytes, row);
            assert_eq!(
                got.iter().map(|(_, width)| *width).collect::<Vec<_>>(),
                widths,
                "{bytes}@{addr} {row:?}"
            );
            let starts = widths.iter().scan(addr, |at, width| Some(std::mem::replace(at, *at + width)));
            assert!(got.iter().map(|(off, _)| *off).eq(starts));
        }
    }
    assert_eq!(pieces(&world, &device, 1, 8, Row::ByteCopy), [(1, 1), (2, 2), (4, 4), (8, 1)]);
    assert_eq!(pieces(&world, &device, 3, 4, Row::ByteCopy), [(3, 1), (4, 2), (6, 1)]);
    // Not even valid: the processor's pieces are, a typed access is not.
    let (world, device) = with(0x100, AccessRules::new().valid(1, 4));
    assert_eq!(pieces(&world, &device, 1, 4, Row::Cpu), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(load(&world, 1, 4, Row::Typed).1.error(), Some(TxError::Rejected(RejectReason::Unaligned)));
    // Implemented: the device sees it whole, but for the processor, whose row knows nothing of devices.
    let (world, device) = with(0x100, rules.impl_unaligned());
    assert_eq!(pieces(&world, &device, 1, 4, Row::Typed), [(1, 4)]);
    assert_eq!(pieces(&world, &device, 1, 4, Row::ByteCopy), [(1, 4)]);
    assert_eq!(pieces(&world, &device, 1, 4, Row::Cpu), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}

#[test]
fn item_051_the_same_access_makes_the_same_calls() {
    // Both executors and ports come through these entries: value and byte-wise forms agree call by call.
    let rules = AccessRules::new().valid(1, 4).implemented(2, 4);
    let (world, device) = with(0x40, rules);
    for row in ROWS {
        for bytes in [1, 2, 4, 8] {
            for addr in 0..0x20 {
                let (value, outcome) = load(&world, addr, bytes, row);
                let by_value = calls(&device);
                let mut copy = [0; 8];
                let same = world.space.view().read_bytes(
                    addr,
                    &mut copy[..bytes as usize],
                    row,
                    &mut AccessCx::cpu(),
                );
                assert_eq!((u64::from_le_bytes(copy), same, calls(&device)), (value, outcome, by_value));
                // The device's bytes do not change: what one write makes, the other repeats.
                store(&world, addr, bytes, value, row);
                let by_value = calls(&device);
                world.space.view().write_bytes(addr, &copy[..bytes as usize], row, &mut AccessCx::cpu());
                assert_eq!(calls(&device), by_value);
                device.lock().bytes = Recorder::plain(0x40, false).bytes;
            }
        }
    }
}

#[test]
fn item_052_values_match_a_byte_array_in_both_orders() {
    for implemented in [(1, 1), (1, 2), (1, 4), (1, 8), (2, 2), (4, 4), (8, 8)] {
        let rules = AccessRules::new().valid(1, 8).implemented(implemented.0, implemented.1);
        for (world, device) in [with(0x20, rules), with_big(0x20, rules)] {
            for bytes in [1, 2, 4, 8] {
                for addr in (0..0x18).step_by(bytes as usize) {
                    let array = device.lock().bytes.clone();
                    let wanted = (0..bytes)
                        .rev()
                        .fold(0, |value, n| value << 8 | u64::from(array[(addr + n) as usize]));
                    assert_eq!(
                        load(&world, addr, bytes, Row::Typed).0,
                        wanted,
                        "{implemented:?} {bytes}@{addr}"
                    );
                    if bytes < u64::from(implemented.0) {
                        continue;
                    }
                    let value = 0x0102_0304_0506_0708_u64.wrapping_mul(addr + bytes);
                    store(&world, addr, bytes, value, Row::Typed);
                    let kept = device.lock().bytes[addr as usize..(addr + bytes) as usize].to_vec();
                    assert_eq!(kept, value.to_le_bytes()[..bytes as usize], "{implemented:?} {bytes}@{addr}");
                }
            }
        }
    }
}

/// The configuration address register at cf8 and the reset control at cf9 on top of it.
fn cf8() -> (World, Arc<Device<Recorder>>, Arc<Device<Recorder>>) {
    let world = World::new(PORTS);
    let (config, reset) = (Recorder::new(8), Recorder::new(1));
    world.put(world.root, 0xcf8, 0, RegionSpec::mmio("config", 4, config.clone(), ANY));
    world.put(
        world.root,
        0xcf9,
        1,
        RegionSpec::mmio("reset", 1, reset.clone(), AccessRules::new().valid(1, 1)),
    );
    world.put(world.root, 0xcfc, 0, RegionSpec::mmio("data", 4, config.clone(), ANY).device_base(4));
    (world, config, reset)
}

#[test]
fn item_053_a_device_answers_behind_the_overlay_inside_of_it() {
    let (world, config, reset) = cf8();
    assert_eq!(world.shows(), "cf8-cf8 config+0 | cf9-cf9 reset+0 | cfa-cfb config+2 | cfc-cff data+0");
    for row in ROWS {
        assert_eq!(load(&world, 0xcf8, 4, row).0, 0x1312_1110);
        assert_eq!((calls(&config), calls(&reset)), (vec![('r', 0, 4, 0)], vec![]), "{row:?}");
        assert_eq!(load(&world, 0xcf9, 1, row).0, 0x10);
        assert_eq!((calls(&config), calls(&reset)), (vec![], vec![('r', 0, 1, 0)]), "{row:?}");
    }
    store(&world, 0xcfa, 2, 0xaabb, Row::ByteCopy);
    assert_eq!(calls(&config), [('w', 2, 2, 0xaabb)]);
    // Two regions of one device: the second one's offsets follow.
    store(&world, 0xcfc, 4, 5, Row::ByteCopy);
    assert_eq!(calls(&config), [('w', 4, 4, 5)]);
}

#[test]
fn item_054_the_dword_register_and_its_byte_neighbour() {
    // Byte-wise copies as an `in` instruction makes them: a dword register at e0, a byte-wide one at e8.
    let world = World::new(PORTS);
    let (dword, byte) = (Recorder::new(4), Recorder::new(4));
    world.put(
        world.root,
        0xe0,
        0,
        RegionSpec::mmio("dword", 4, dword.clone(), AccessRules::new().valid(1, 4)),
    );
    world.put(world.root, 0xe8, 0, RegionSpec::mmio("byte", 4, byte.clone(), AccessRules::new().valid(1, 1)));
    store(&world, 0xe0, 4, 0x8765_4321, Row::ByteCopy);
    assert_eq!(load(&world, 0xe1, 2, Row::ByteCopy).0, 0x6543);
    // Past the end of the region nobody answers, and the device is not asked.
    assert_eq!(load(&world, 0xe3, 2, Row::ByteCopy).0, 0xff87);
    assert_eq!(load(&world, 0x301, 4, Row::ByteCopy).0, 0xffff_ffff);
    store(&world, 0xe8, 4, 0x8765_4321, Row::ByteCopy);
    assert_eq!(calls(&byte), [('w', 0, 1, 0x21), ('w', 1, 1, 0x43), ('w', 2, 1, 0x65), ('w', 3, 1, 0x87)]);
}

/// Fails every access at an odd offset.
struct Odd;

impl MmioDevice for Odd {
    fn read(&mut self, off: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        if off.0.is_multiple_of(2) { Ok(0x55) } else { Err(BusError::Device(off.0 as u8)) }
    }

    fn write(&mut self, off: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        if off.0 == 6 { Err(BusError::Rejected) } else { Ok(()) }
    }

    fn reset(&mut self) {}
}

/// Fails every access at an odd offset below 8, and writes at 6 in another way.
fn odd_and_held() -> World {
    let world = World::new(ONES);
    world.put(world.root, 0, 0, RegionSpec::mmio("odd", 8, Device::new(Odd), AccessRules::new().valid(1, 1)));
    world.put(world.root, 0x10, 0, RegionSpec::reservation("held", 8));
    world
}

#[test]
fn item_055_the_first_failure_is_reported_and_the_rest_is_done_unless_the_access_stops() {
    let world = odd_and_held();
    let mut bytes = [0; 0x18];
    let outcome = world.space.read(0, &mut bytes, &mut AccessCx::dma());
    assert_eq!(bytes[..8], [0x55, 0xff, 0x55, 0xff, 0x55, 0xff, 0x55, 0xff]);
    assert_eq!((outcome.done, outcome.first_error), (1, Some((1, TxError::Device(1)))));
    let stop = || AccessCx::dma().on_error(OnError::Stop);
    let mut bytes = [0; 0x18];
    let stopped = world.space.read(0, &mut bytes, &mut stop());
    assert_eq!((stopped.done, stopped.first_error), (1, Some((1, TxError::Device(1)))));
    assert_eq!((bytes[0], &bytes[1..]), (0x55, &[0xff; 0x17][..]), "what is not read is filled");
    // One failure was met, not three.
    assert!(!stopped.errors.contains(TxErrorSet::UNASSIGNED));

    // Inside of one dispatch too: an 8-byte read that the device implements by bytes.
    let (world, _) = with(0x20, ANY);
    let rules = AccessRules::new().valid(1, 8).implemented(1, 1);
    world.put(world.root, 0x20, 0, RegionSpec::mmio("odd", 8, Device::new(Odd), rules));
    let view = world.space.view();
    let (value, outcome) = view.dispatch_read(0x20, AccessSize::B8, Row::Typed, &mut AccessCx::cpu());
    assert_eq!(
        (value, outcome.done, outcome.first_error),
        (0x0055_0055_0055_0055, 1, Some((0x21, TxError::Device(1))))
    );
    let (value, outcome) = view.dispatch_read(0x20, AccessSize::B8, Row::Typed, &mut stop());
    assert_eq!((value, outcome.done), (0x55, 1));

    // Writes after a failure are made, or not.
    let world = odd_and_held();
    let ram = world.put(world.root, 0x20, 0, RegionSpec::ram("ram", 0x10));
    let block = world.map.ram_block(ram).unwrap();
    let outcome = world.space.write(0x18, &[7; 16], &mut stop());
    assert_eq!((outcome.done, outcome.first_error), (0, Some((0x18, TxError::Unassigned))));
    assert_eq!(block.load(0, AccessSize::B8), Some(0));
    world.space.write(0x18, &[7; 16], &mut AccessCx::dma());
    assert_eq!(block.load(0, AccessSize::B8), Some(0x0707_0707_0707_0707));
}

#[test]
fn item_056_failures_are_told_apart() {
    let world = odd_and_held();
    let outcome = world.space.read(0, &mut [0; 0x18], &mut AccessCx::dma());
    let kinds = [TxErrorSet::DEVICE, TxErrorSet::UNASSIGNED, TxErrorSet::REJECTED, TxErrorSet::DENIED];
    assert_eq!(kinds.map(|kind| outcome.errors.contains(kind)), [true, true, true, false]);
    let error = |addr| world.space.write(addr, &[0], &mut AccessCx::dma()).error();
    assert_eq!(error(6), Some(TxError::Rejected(RejectReason::Device)));
    assert_eq!(error(8), Some(TxError::Unassigned));
    assert_eq!(error(0x10), Some(TxError::Rejected(RejectReason::Reserved)));
    let counts = world.space.rejections();
    assert_eq!((counts.device, counts.unassigned, counts.rejected), (4, 2, 3));
}

/// RAM, ROM, MMIO, a reservation and a ROM device, 4 KiB each from 0 on; the ROM device and the device of both.
fn one_of_each() -> (World, RegionId, Arc<Device<Recorder>>) {
    let world = World::new(ONES);
    let device = Recorder::new(0x1000);
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    world.put(world.root, 0x1000, 0, RegionSpec::rom("rom", 0x1000));
    world.put(world.root, 0x2000, 0, RegionSpec::mmio("mmio", 0x1000, device.clone(), ANY));
    world.put(world.root, 0x3000, 0, RegionSpec::reservation("held", 0x1000));
    let flash =
        world.put(world.root, 0x4000, 0, RegionSpec::rom_device("flash", 0x1000, device.clone(), ANY, true));
    (world, flash, device)
}

#[test]
fn item_057_an_access_to_memory_only() {
    let (world, flash, device) = one_of_each();
    let only = || AccessCx::with_attrs(MemAttrs { memory_only: true, ..MemAttrs::default() });
    let read = |addr| {
        let by_value = world.space.view().dispatch_read(addr, AccessSize::B2, Row::Cpu, &mut only());
        let outcome = world.space.read(addr, &mut [0; 2], &mut only());
        assert_eq!(outcome.error(), by_value.1.error());
        outcome.error()
    };
    let denied = Some(TxError::Denied(DenyReason::MemoryOnly));
    let wanted = [None, None, denied, denied, denied];
    assert_eq!([0, 0x1000, 0x2000, 0x3000, 0x4000].map(read), wanted);
    world.edit(|txn| txn.set_romd(flash, false));
    assert_eq!(read(0x4000), denied);
    assert!(world.space.write(0, &[1], &mut only()).is_ok());
    let write = |addr| world.space.write(addr, &[1], &mut only()).error();
    assert_eq!([0x2000, 0x3000, 0x4000].map(write), [denied; 3]);
    assert_eq!(calls(&device), []);
    // RAM behind an IOMMU passes: item 97.
}

#[test]
fn item_058_a_denied_read_gives_the_policys_value() {
    for (config, fill) in [(ONES, 0xff), (ZEROS, 0)] {
        let world = World::new(config);
        world.put(world.root, 0x2000, 0, mmio("mmio", 0x1000));
        let mut only = AccessCx::with_attrs(MemAttrs { memory_only: true, ..MemAttrs::default() });
        let mut bytes = [0x5a; 9];
        let outcome = world.space.read(0x2000, &mut bytes, &mut only);
        assert_eq!((bytes, outcome.done), ([fill; 9], 0));
        let (value, _) = world.space.view().dispatch_read(0x2000, AccessSize::B4, Row::Cpu, &mut only);
        assert_eq!(value, u64::from_le_bytes([fill; 8]) & 0xffff_ffff);
    }
}

/// Writes to the address that it is told when it is written to.
struct Poker {
    space: AddressSpace,
    outcome: Option<TxOutcome>,
    /// Forgets to pass the context on.
    careless: bool,
}

impl MmioDevice for Poker {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(1)
    }

    fn write(
        &mut self,
        _: RegionOffset,
        value: u64,
        _: AccessSize,
        cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let mut own = AccessCx::dma();
        let cx = if self.careless { &mut own } else { cx };
        let next = (value & !0xff).to_le_bytes();
        self.outcome = Some(self.space.write(value & 0xff, &next[..4], cx));
        Ok(())
    }

    fn reset(&mut self) {}
}

#[test]
fn item_106_a_device_is_not_entered_twice_by_one_access() {
    let world = World::new(ZEROS);
    let domain = BusDomain::new();
    let poker =
        |careless| Device::master(Poker { space: world.space.clone(), outcome: None, careless }, &domain);
    let (a, b, c) = (poker(false), poker(false), poker(true));
    for (at, device) in [(0x10, &a), (0x20, &b), (0x30, &c)] {
        world.put(world.root, at, 0, RegionSpec::mmio("poker", 4, device.clone(), ANY));
    }
    let reentrant = Some(TxError::Denied(DenyReason::Reentrant));
    let outcome = |device: &Arc<Device<Poker>>| device.lock().outcome.take().unwrap();
    assert!(world.write(0x10, &[0x10, 0, 0, 0]));
    assert_eq!(outcome(&a).error(), reentrant);
    assert!(world.write(0x10, &[0x20, 0, 0, 0]));
    assert!(outcome(&a).is_ok());
    outcome(&b);
    // A to B to A: the value's low byte is where the next write goes.
    let aba = Poker2 { space: world.space.clone() };
    let aba = Device::master(aba, &domain);
    world.put(world.root, 0x40, 0, RegionSpec::mmio("aba", 4, aba, ANY));
    assert!(world.write(0x10, &[0x40, 0, 0, 0]));
    assert!(outcome(&a).error() == Some(TxError::Device(9)));
    // One that does not pass the context on is stopped by its own lock's owner, not deadlocked.
    assert!(world.write(0x30, &[0x30, 0, 0, 0]));
    assert_eq!(outcome(&c).error(), reentrant);
    world.map.clear().unwrap();
}

/// Writes to 10h when written to, and fails if that does.
struct Poker2 {
    space: AddressSpace,
}

impl MmioDevice for Poker2 {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(1)
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, cx: &mut AccessCx) -> Result<(), BusError> {
        let outcome = self.space.write(0x10, &[0; 4], cx);
        if outcome.error() == Some(TxError::Denied(DenyReason::Reentrant)) {
            Err(BusError::Device(9))
        } else {
            Ok(())
        }
    }

    fn reset(&mut self) {}
}

#[test]
fn past_the_end_of_the_space() {
    let world = World::new(ONES);
    let device = Recorder::new(4);
    world.put(world.root, u64::MAX - 3, 0, RegionSpec::mmio("end", 4, device.clone(), ANY));
    let mut bytes = [0x5a; 8];
    let outcome = world.space.read(u64::MAX - 3, &mut bytes, &mut AccessCx::dma());
    assert_eq!(bytes, [0x10, 0x11, 0x12, 0x13, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!((outcome.done, outcome.first_error), (4, Some((0, TxError::PastEnd))));
    for row in ROWS {
        for addr in [u64::MAX, u64::MAX - 1, u64::MAX - 6] {
            let (_, outcome) = load(&world, addr, 8, row);
            assert!(!outcome.is_ok() && !store(&world, addr, 8, 0, row).is_ok());
        }
    }
    assert!(calls(&device).iter().all(|(_, off, width, _)| off + width <= 4));
    assert!(!world.space.fill(u64::MAX - 1, 10, 1, &mut AccessCx::dma()).is_ok());
}
