//! Items 60 to 70: where nothing is mapped, ROM writes, ranges that end inside of an access.

use std::sync::Arc;

use base::AccessSize;
use memory::{AccessCx, AccessRules, RegionSpec, RejectReason, Row, Target, Transparency, TxError};

use crate::common::*;

const ROWS: [Row; 3] = [Row::Cpu, Row::ByteCopy, Row::Typed];

#[test]
fn item_060_the_unassigned_value_is_the_spaces() {
    for (config, value) in [(ZEROS, 0), (ONES, 0xff)] {
        let world = World::new(config);
        for row in ROWS {
            for size in AccessSize::ALL {
                let (read, outcome) =
                    world.space.view().dispatch_read(0xd000_0001, size, row, &mut AccessCx::cpu());
                assert_eq!(
                    (read, outcome.error()),
                    ((value * 0x0101_0101_0101_0101) & size.mask(), Some(TxError::Unassigned))
                );
                let written =
                    world.space.view().dispatch_write(0xd000_0000, size, 1, row, &mut AccessCx::cpu());
                assert_eq!(written.error(), Some(TxError::Unassigned));
            }
        }
    }
}

#[test]
fn item_061_unassigned_ports_read_as_ones() {
    let world = World::new(PORTS);
    for row in ROWS {
        for (port, size) in [
            (0x300, AccessSize::B1),
            (0x300, AccessSize::B2),
            (0x301, AccessSize::B4),
            (0x303, AccessSize::B2),
        ] {
            let (value, _) = world.space.view().dispatch_read(port, size, row, &mut AccessCx::cpu());
            assert_eq!(value, size.mask());
        }
    }
    assert_ne!(world.space.rejections().unassigned, 0);
}

#[test]
fn item_062_a_rom_drops_writes() {
    let world = World::new(ZEROS);
    let rom = world.put(world.root, 0, 0, RegionSpec::rom("rom", 0x1000));
    world.map.ram_block(rom).unwrap().write(0, &[1, 2, 3, 4]);
    assert!(matches!(world.space.view().lookup(0).unwrap().write, Target::Discard));
    for row in ROWS {
        assert!(world.space.view().dispatch_write(0, AccessSize::B4, 0, row, &mut AccessCx::cpu()).is_ok());
    }
    assert!(world.write(0, &[9; 8]));
    assert_eq!(world.read(0, 4), [1, 2, 3, 4]);
    assert_eq!(world.space.rejections().rom_writes, 4);
    // The flag is what makes it a ROM.
    world.edit(|txn| txn.set_readonly(rom, false));
    assert!(world.write(0, &[9]));
    assert_eq!(world.read(0, 2), [9, 2]);
}

#[test]
fn item_063_a_readonly_path_holds_for_bus_masters_too() {
    let world = World::new(ZEROS);
    let ram = world.put(world.root, 0x1000, 0, RegionSpec::ram("ram", 0x1000));
    let alias = world.put(world.root, 0, 0, RegionSpec::alias("ro", ram, 0, 0x1000));
    world.write(0x1000, &[0x11; 4]);
    world.edit(|txn| txn.set_readonly(alias, true));
    assert!(world.write(0, &[0x22; 4]));
    assert!(
        world.space.view().dispatch_write(0, AccessSize::B4, 0x33, Row::Cpu, &mut AccessCx::cpu()).is_ok()
    );
    assert_eq!((world.read(0, 4), world.read(0x1000, 4)), (vec![0x11; 4], vec![0x11; 4]));
    world.write(0x1000, &[0x44]);
    assert_eq!(world.read(0, 1), [0x44]);
}

#[test]
fn item_064_firmware_shadows_itself() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x10_0000));
    let rom = world.put(world.root, 0xf_0000, 0, RegionSpec::rom("rom", 0x1_0000));
    let pam = world.put(world.root, 0xf_0000, 1, RegionSpec::alias("pam", ram, 0xf_0000, 0x1_0000));
    world.map.ram_block(rom).unwrap().write(0, b"firmware");
    let open = |transparent| world.edit(|txn| txn.set_transparent(pam, transparent));
    open(Transparency::Reads);
    let code = world.read(0xf_0000, 8);
    assert_eq!(code, b"firmware");
    world.write(0xf_0000, &code);
    world.write(0xf_0000, b"F");
    assert_eq!(world.read(0xf_0000, 8), b"firmware");
    open(Transparency::Writes);
    assert_eq!(world.read(0xf_0000, 8), b"Firmware");
    world.write(0xf_0000, b"x");
    assert_eq!(world.read(0xf_0000, 8), b"Firmware");
    assert_eq!(world.map.ram_block(rom).unwrap().load(0, AccessSize::B1), Some(u64::from(b'f')));
}

#[test]
fn item_065_a_loader_writes_memory_and_skips_the_rest() {
    let world = World::new(ZEROS);
    let device = Recorder::new(0x1000);
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x10));
    let rom = world.put(world.root, 0x10, 0, RegionSpec::rom("rom", 0x10));
    world.put(world.root, 0x20, 0, RegionSpec::mmio("mmio", 0x10, device.clone(), ANY));
    world.put(world.root, 0x38, 0, RegionSpec::rom_device("flash", 0x10, device.clone(), ANY, true));
    let busy = world.put(world.root, 0x48, 0, RegionSpec::rom_device("busy", 8, device.clone(), ANY, false));
    world.map.ram_block(rom).unwrap().mark_code(0, 1);
    let bytes: Vec<u8> = (1..=0x60).collect();
    let skipped = world.space.write_rom(0, &bytes);
    assert_eq!(skipped, [range(0x20, 0x2f), range(0x30, 0x37), range(0x50, 0x5f)]);
    assert_eq!(
        (world.read(0, 0x20), world.read(0x38, 0x10)),
        (bytes[..0x20].to_vec(), bytes[0x38..0x48].to_vec())
    );
    assert_eq!(world.map.ram_block(busy).unwrap().load(0, AccessSize::B1), Some(0x49));
    assert_eq!(world.map.code_writes().take(), [(world.map.ram_block(rom).unwrap().id(), 0, 1)]);
    assert_eq!(calls(&device), []);
    assert_eq!(world.space.write_rom(u64::MAX, &[1, 2]), [range(u64::MAX, u64::MAX)]);
    assert_eq!(world.space.write_rom(0, &[]), []);
}

#[test]
fn item_067_a_device_ends_inside_of_a_page() {
    let world = World::new(ONES);
    let device = Recorder::new(0x400);
    world.put(
        world.root,
        0xfed0_0000,
        0,
        RegionSpec::mmio("hpet", 0x400, device.clone(), AccessRules::new().valid(1, 8)),
    );
    let read = |addr, size| world.space.view().dispatch_read(addr, size, Row::Cpu, &mut AccessCx::cpu());
    assert!(read(0xfed0_03fc, AccessSize::B4).1.is_ok());
    let (value, outcome) = read(0xfed0_0400, AccessSize::B4);
    assert_eq!((value, outcome.first_error), (0xffff_ffff, Some((0xfed0_0400, TxError::Unassigned))));
    assert!(read(0xfed0_0fff, AccessSize::B1).1.error() == Some(TxError::Unassigned));
    // Widths below the least valid one are refused, and the refusal gives the policy's value.
    let strict = World::new(ZEROS);
    strict.put(strict.root, 0, 0, RegionSpec::mmio("hpet", 0x400, device, AccessRules::new().valid(4, 8)));
    let (value, outcome) =
        strict.space.view().dispatch_read(0, AccessSize::B1, Row::ByteCopy, &mut AccessCx::cpu());
    assert_eq!((value, outcome.error()), (0, Some(TxError::Rejected(RejectReason::Width))));
}

#[test]
fn item_068_two_blocks_meet_inside_of_a_page() {
    let world = World::new(ZEROS);
    let low = world.put(world.root, 0, 0, RegionSpec::ram("low", 0x803));
    let high = world.put(world.root, 0x803, 0, RegionSpec::ram("high", 0x800));
    let (low, high) = (world.map.ram_block(low).unwrap(), world.map.ram_block(high).unwrap());
    for at in 0x7fb..0x803_u64 {
        let value = 0x1122_3344_5566_7788 ^ at;
        let view = world.space.view();
        assert!(view.dispatch_write(at, AccessSize::B8, value, Row::Cpu, &mut AccessCx::cpu()).is_ok());
        assert_eq!(view.dispatch_read(at, AccessSize::B8, Row::Cpu, &mut AccessCx::cpu()).0, value);
        let (mut lows, mut highs) = (vec![0; (0x803 - at) as usize], vec![0; (8 + at - 0x803) as usize]);
        assert!(low.read(at, &mut lows) && high.read(0, &mut highs));
        assert_eq!([lows, highs].concat(), value.to_le_bytes());
    }
    // Nothing was written behind the end of the first region's block.
    assert_eq!(low.load(0x803, AccessSize::B8), Some(0));
}

#[test]
fn item_069_a_read_across_the_end_of_memory() {
    let world = World::new(ONES);
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    world.write(0xffe, &[0x22, 0x11]);
    for row in [Row::Cpu, Row::ByteCopy] {
        let (value, outcome) =
            world.space.view().dispatch_read(0xffe, AccessSize::B4, row, &mut AccessCx::cpu());
        assert_eq!((value, outcome.done), (0xffff_1122, 2));
        assert_eq!(outcome.first_error, Some((0x1000, TxError::Unassigned)));
        let written =
            world.space.view().dispatch_write(0xfff, AccessSize::B2, 0x4411, row, &mut AccessCx::cpu());
        assert_eq!((written.done, world.read(0xffe, 2)), (1, vec![0x22, 0x11]));
    }
    let (value, outcome) =
        world.space.view().dispatch_read(0xffe, AccessSize::B4, Row::Typed, &mut AccessCx::cpu());
    assert_eq!((value, outcome.error()), (0xffff_ffff, Some(TxError::Rejected(RejectReason::PastEnd))));
}

#[test]
fn item_119_a_reservation_hides_and_refuses() {
    let world = World::new(ONES);
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    world.put(world.root, 0x100, 1, RegionSpec::reservation("held", 0x100));
    assert_eq!(world.shows(), "0-ff ram+0 | 100-1ff held+0 | 200-fff ram+200");
    for row in ROWS {
        let (value, outcome) =
            world.space.view().dispatch_read(0x100, AccessSize::B4, row, &mut AccessCx::cpu());
        assert_eq!((value, outcome.error()), (0xffff_ffff, Some(TxError::Rejected(RejectReason::Reserved))));
    }
    assert!(!world.write(0x100, &[1]));
}

#[test]
fn item_125_offsets_stay_inside_of_the_leaf() {
    let world = World::new(PORTS);
    let (keyboard, speaker) = (Recorder::new(1), Recorder::new(1));
    let byte = AccessRules::new().valid(1, 1);
    world.put(world.root, 0x60, 0, RegionSpec::mmio("i8042", 1, keyboard.clone(), byte));
    world.put(world.root, 0x61, 0, RegionSpec::mmio("pcspk", 1, speaker.clone(), byte));
    let mut word = [0; 2];
    world.space.read(0x61, &mut word, &mut AccessCx::dma());
    assert_eq!((word, calls(&speaker)), ([0x10, 0xff], vec![('r', 0, 1, 0)]));
    let devices: Vec<_> = (1..=9).map(|len| (len, Recorder::new(len))).collect();
    for (n, (len, device)) in devices.iter().enumerate() {
        let rules =
            [ANY, AccessRules::new().valid(1, 8).implemented(1, 8), AccessRules::new().implemented(2, 4)]
                [n % 3];
        world.put(
            world.root,
            0x100 + 0x10 * n as u64,
            0,
            RegionSpec::mmio("dev", *len, Arc::clone(device) as _, rules),
        );
    }
    for row in ROWS {
        for size in AccessSize::ALL {
            for port in 0xf0..0x1a0 {
                let _ = world.space.view().dispatch_read(port, size, row, &mut AccessCx::cpu());
                let _ = world.space.view().dispatch_write(port, size, 0, row, &mut AccessCx::cpu());
            }
        }
    }
    for (len, device) in devices {
        let all = calls(&device);
        assert!(!all.is_empty());
        for (kind, off, width, _) in all {
            // A narrow write passes through with its offset alone inside.
            assert!(
                off + width <= len || (kind == 'w' && off < len && width == 2),
                "{kind} {width}@{off} of {len}"
            );
        }
    }
}
